"""The programs at one hook, run in order, and what they say together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bpf.spec.hooks import BY_PRIORITY, CGROUPS, CHAIN, FIRST_ERROR, Hook
from bpf.spec.program_types import LINK
from runtime.kernel import Attachment, ProgramObject
from runtime.running import Ran
from vm.contexts import DERIVED
from vm.network import Sent, carried
from vm.world import Input

TCX_NEXT, TCX_PASS, TCX_DROP, TCX_REDIRECT = -1, 0, 2, 7
NF_DROP = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A program that ran. where: its hook and place, or the entry of a map; hop: how far the packet had come."""

    where: str
    program: ProgramObject
    given: Input
    ran: Ran
    hop: int = 0

    @property
    def done(self) -> bool:
        """Whether it ran to its end."""
        return self.ran.outcome.status == "done"

    @property
    def code(self) -> int:
        """The return value: 32 bits, signed."""
        return (self.ran.retval ^ 0x8000_0000) - 0x8000_0000

    @property
    def sent(self) -> list[Sent]:
        """Where it has directed packets, as far as its return value says so."""
        return carried(self.ran.outcome.sent or (), self.ran.meaning)

    def __str__(self) -> str:
        """In words."""
        said = str(self.code) + (f" ({self.ran.meaning})" if self.ran.meaning else "")
        return f"{self.where}  {self.program.name} (id {self.program.id}): " + (
            said if self.done else self.ran.outcome.summary()
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What the programs at a hook say.

    code   of the one that decides, by the rule of the hook; of cgroups 1 for yes and 0 for no
    last   the program that ran last, None where there is none
    event  the packet and the context as they are now
    fault  whether one did not run to its end, which ends the chain
    """

    code: int
    last: Step | None
    event: Input
    fault: bool = False


def after(step: Step) -> Input:
    """What the next program, or whoever comes next, gets: the packet and the context as the program has left them."""
    given, ran = step.given, step.ran
    outcome, view, kind = ran.outcome, ran.convention.view, ran.convention.type
    if view is None or outcome.context is None or outcome.packet is None:
        return given
    fields = {
        one.name: outcome.context[one.name]
        for one in view.layout.fields
        if not one.pointer and one.name not in DERIVED and one.name in outcome.context
    }
    if view.layout.name == "xdp_md":
        return replace(given, packet=outcome.packet, metadata=outcome.context["data"], context=fields)
    metadata = given.packet[: given.metadata] if kind is not None and kind.data == LINK else b""
    return replace(given, packet=metadata + outcome.packet, context=fields)


def run(hook: Hook, attached: Sequence[Attachment], event: Input, one: Callable[[Attachment, Input], Step]) -> Said:
    """Run the programs at a hook by its rule. one: runs one of them and whatever it sets off at once."""
    code, last = _DEFAULT.get(hook.rule, 0), None
    for attachment in attached:
        step = one(attachment, event)
        last = step
        if not step.done:
            return Said(code, step, event, fault=True)
        event = after(step)
        if hook.rule == CGROUPS:
            code &= _allows(hook, step)
            continue
        code = step.code
        if (
            (hook.rule == CHAIN and code != TCX_NEXT)
            or (hook.rule == FIRST_ERROR and code)
            or (hook.rule == BY_PRIORITY and code == NF_DROP)
        ):
            break
    if hook.rule == CHAIN and code not in (TCX_PASS, TCX_DROP, TCX_REDIRECT):
        code = TCX_NEXT  # tcx_action_code
    return Said(code, last, event)


_DEFAULT = {CHAIN: TCX_NEXT, CGROUPS: 1, BY_PRIORITY: 1}
_WITH_FLAGS = ("inet_egress", "inet4_bind", "inet6_bind")


def _allows(hook: Hook, step: Step) -> int:
    """1 where a program of a cgroup says yes. Of some hooks the bits above say something else."""
    if hook.name.removeprefix("cgroup_") in _WITH_FLAGS:
        return step.code & 1
    return int(step.code != 0)

"""How a program is entered: what R1 and R2 hold, and which helpers exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bpf.spec import helpers, kfuncs
from bpf.spec.contexts import ATTACHED, OTHERS, VIEWS, View
from bpf.spec.helpers import Helper
from bpf.spec.program_types import PROGRAM_TYPES, ProgramType
from bpf.spec.registers import DEFAULT


@dataclass(frozen=True, slots=True)
class Convention:
    """A calling convention of programs: its name, what it says, the helpers by number.

    context  whether R1 is the address of a context
    type     the program type that it is
    view     what the context is like; None for one with nothing to read there
    kfuncs   the kernel's functions by number (bpf/spec/kfuncs.py)
    orders   byte order -> the name of the convention that stands in for it, where it depends on the machine
    """

    name: str
    help: str
    helpers: Mapping[int, Helper]
    context: bool = False
    type: ProgramType | None = None
    view: View | None = None
    kfuncs: Mapping[int, Helper] = field(default_factory=dict)
    orders: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)


PLAIN = Convention(
    "plain",
    "R1 = address of memory, R2 = its length; 0 and 0 without memory",
    helpers.of_type(""),
    kfuncs=kfuncs.of_type(""),
)
PACKET = Convention(
    "packet", "R1 = a context that stands for a packet, R2 = 0", helpers.of_type(""), context=True,
    kfuncs=kfuncs.of_type(""),
)  # fmt: skip
SUITE = Convention("suite", "as plain, with the public conformance suite's helpers", helpers.SUITE)


def _typed() -> Iterator[Convention]:
    """A convention for each view, and for types whose context is a machine's one that the byte order decides."""
    for name, view in (*VIEWS.items(), *OTHERS.items()):
        kind, _, machine = name.partition(".")
        one = Convention(
            name, f"R1 = the address of a {view.layout.name}", helpers.of_type(kind), context=True,
            type=PROGRAM_TYPES[kind], view=view, kfuncs=kfuncs.of_type(kind),
        )  # fmt: skip
        yield one
        if machine == DEFAULT["little"]:
            orders = {order: f"{kind}.{chosen}" for order, chosen in DEFAULT.items()}
            yield replace(one, name=kind, orders=orders)


TYPED: Mapping[str, Convention] = MappingProxyType({one.name: one for one in _typed()})
"""The program types that run here, by name; `kprobe.arm64` and the like are for that machine's registers."""

OF_ATTACH: Mapping[str, Convention] = MappingProxyType({
    "xdp_devmap": replace(TYPED["xdp"], name="xdp_devmap", view=ATTACHED["xdp"]["xdp_devmap"])
})  # fmt: skip
"""Attach type -> how its programs are entered, where that is not as their type says: entries of a devmap see where a
frame goes (egress_ifindex)."""

NAMES = frozenset({PLAIN.name, PACKET.name, SUITE.name, *TYPED, *OF_ATTACH})
"""All conventions."""

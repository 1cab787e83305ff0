"""What BPF_PROG_TEST_RUN is given for a program type, and what it gives back: packet and context of the live kernel.

The kernel makes packets of its own and takes only a part of a context; what it does not take is refused here.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bpf.errors import Refused
from bpf.object.btf_build import content
from bpf.plan import Unit
from bpf.spec.contexts import LAYOUTS, SKB_MOST, View
from bpf.spec.conventions import Convention
from bpf.spec.program_types import NETWORK
from engines import syscall
from vm.contexts import from_user, read_back, to_user
from vm.world import Input, World

_HOOK = 2  # bytes of hook and pf, which come first in nf_hook_state
ROOM = SKB_MOST  # bytes that a packet may grow by
HEADER = 14  # the link-layer header, which TEST_RUN takes off and puts back as zeros

_SK_BUFF = (
    *("mark", "priority", "ingress_ifindex", "ifindex", "tstamp", "wire_len", "gso_segs", "gso_size", "hwtstamp"),
    *(f"cb[{index}]" for index in range(5)),
)
_BACK = frozenset(_SK_BUFF) - {"gso_size", "hwtstamp"}


@dataclass(frozen=True, slots=True)
class Given:
    """What a run of the kernel gave. retval: the low 32 bits of R0; context, packet: as Outcome has them."""

    retval: int
    context: Mapping[str, int] | None = None
    packet: bytes | None = None


def _user(view: View, values: Mapping[str, int]) -> bytes:
    return to_user(view, values, sys.byteorder)


def _read(view: View, data: bytes, names: frozenset[str]) -> dict[str, int]:
    return {name: value for name, value in from_user(view, data, sys.byteorder).items() if name in names}


def _only(entry: Input, names: tuple[str, ...]) -> Mapping[str, int]:
    for name in entry.context:
        if name not in names:
            raise Refused(f"BPF_PROG_TEST_RUN does not take {name}", remedy=f"it takes {', '.join(names) or 'nothing'}")
    return entry.context


def _xdp(view: View, entry: Input) -> tuple[bytes, frozenset[str]]:
    values = {"data": entry.metadata, "data_end": len(entry.packet)}
    return _user(view, values | dict(_only(entry, ("ingress_ifindex", "rx_queue_index")))), frozenset(
        ("data", "data_end")
    )


def _sk_buff(view: View, entry: Input) -> tuple[bytes, frozenset[str]]:
    return _user(view, _only(entry, _SK_BUFF)), _BACK


def _arguments(view: View, entry: Input) -> tuple[bytes, frozenset[str]]:
    return _user(view, entry.context), frozenset()


_LOOKUP = (
    "family", "protocol", "remote_ip4", "remote_port", "local_ip4", "local_port",
    *(f"{end}_ip6[{index}]" for end in ("remote", "local") for index in range(4)),
)  # fmt: skip


def _sk_lookup(view: View, entry: Input) -> tuple[bytes, frozenset[str]]:
    return _user(view, _only(entry, _LOOKUP)), frozenset()


_CONTEXTS: Mapping[str, Callable[[View, Input], tuple[bytes, frozenset[str]]]] = {
    "xdp_md": _xdp, "__sk_buff": _sk_buff, "raw_tracepoint": _arguments, "bpf_sk_lookup": _sk_lookup,
}  # fmt: skip
assert _CONTEXTS.keys() <= LAYOUTS.keys()

TYPES = frozenset({
    "socket_filter", "sched_cls", "sched_act", "xdp", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "raw_tracepoint",
    "sk_lookup", "syscall", "netfilter",
})  # fmt: skip
"""Names of the types that run there."""


def _state(unit: Unit, entry: Input, world: World) -> bytes:
    """What the kernel takes of a netfilter program's nf_hook_state: hook and pf, which come first. Raises Refused."""
    found = world.kernel.get(entry.context.get("state", 0))
    state = b"" if found is None else content(found, unit.order)
    if any(state[_HOOK:]) or not state:
        raise Refused("BPF_PROG_TEST_RUN takes hook and pf of a nf_hook_state", remedy="describe it, with those alone")
    return state[:_HOOK]


def check(convention: Convention, entry: Input) -> None:
    """Raises Refused for what the kernel does not run."""
    if convention.type is None:
        return
    if convention.name not in TYPES:
        raise Refused(f"BPF_PROG_TEST_RUN does not run programs of type {convention.name} here")
    if convention.type.data == NETWORK and entry.metadata:
        raise Refused("metadata before the frame are for xdp")


def run(descriptor: int, unit: Unit, entry: Input, world: World) -> Given:
    """One run. Raises OSError, and Refused."""
    view, kind = unit.convention.view, unit.convention.type
    assert view is not None
    assert kind is not None
    if view.layout.open:
        given = content(entry.record, unit.order)
        retval, after = syscall.test_run_memory(descriptor, given)
        return Given(retval, read_back(unit, after.ljust(-(-len(after) // 8) * 8, b"\0"), 0))
    if kind.name == "netfilter":
        state = _state(unit, entry, world)
        return Given(syscall.test_run_context(descriptor, entry.packet, state, 0, 0)[0])
    context, back = _CONTEXTS[view.layout.name](view, entry)
    if not kind.data:
        return Given(syscall.test_run_context(descriptor, b"", context, 0, 0)[0])
    try:
        retval, packet, after = syscall.test_run_context(
            descriptor, entry.packet, context, len(entry.packet) + ROOM, len(context)
        )
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise Refused("BPF_PROG_TEST_RUN does not take this packet or context (errno 22)") from None
        raise
    if kind.data == NETWORK:
        packet = entry.packet[:HEADER] + packet[HEADER:]
    return Given(retval, _read(view, after, back), packet)

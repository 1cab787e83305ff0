"""What compiled code asks of its machine besides helpers, at the stubs that bpf/plan.py reserves.

Guests, the native engine's process and the interpreter use the same functions. None of these requests is a helper
call: nothing of them is in Outcome.calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bpf.isa.effects import signed
from bpf.order import Order
from bpf.plan import CALL_TARGET, LOAD_PACKET, SERVICES, Unit
from bpf.spec.contexts import LAYOUTS
from bpf.spec.program_types import READERS
from vm.contexts import data_offset
from vm.memory import Memory
from vm.world import Input

__all__ = ["CALL_TARGET", "SERVICES", "Packet", "Trap", "answer", "load_packet", "place"]

NOTHING = (1 << 64) - 1
"""What a load from the packet gives that lies outside; no number of 32 bits is this one."""

NET_OFF, LL_OFF = -0x10_0000, -0x20_0000  # SKF_NET_OFF, SKF_LL_OFF of linux/filter.h
_WIDTHS = {number: width for width, number in LOAD_PACKET.items()}


class Trap(Exception):
    """The run ends with a Fault of this kind and address."""

    def __init__(self, kind: str, address: int) -> None:
        super().__init__()
        self.kind = kind
        self.address = address


@dataclass(frozen=True, slots=True)
class Packet:
    """What loads from the packet go by.

    context  the address that stands for it, 0 where the convention has none
    start    address of its link-layer header; size: bytes from there on
    network  bytes up to the network header; data: up to where an offset of 0 is
    layout   name of the context's layout, "" for one with nothing in it; order: byte order of the program
    writable whether programs of the type may change it
    """

    context: int
    start: int
    size: int
    network: int
    data: int
    layout: str = ""
    order: Order = "little"
    writable: bool = True

    @classmethod
    def of(cls, unit: Unit, entry: Input) -> Packet:
        """The packet of an input."""
        size = len(entry.packet)
        data = data_offset(unit.convention, entry)
        view = unit.convention.view
        name = view.layout.name if view else ""
        kind = unit.convention.type
        writable = kind is None or kind.name not in READERS
        return cls(unit.context, unit.packet_start(size), size, entry.network, data, name, unit.order, writable)

    def now(self, memory: Memory) -> Packet:
        """As it is by now: the context says where helpers have moved it."""
        if self.layout != "__sk_buff":
            return self
        layout = LAYOUTS[self.layout]
        places = [*(layout.by_name[name].at for name in ("data", "data_end")), layout.state["mac"]]
        places.append(layout.state["network"])
        words = (memory.read(self.context + at, 8) for at in places)
        data, end, mac, network = (int.from_bytes(word, self.order) for word in words)
        return replace(self, start=mac, size=end - mac, network=network - mac, data=data - mac)


NO_PACKET = Packet(0, 0, 0, 0, 0)


def place(size: int, network: int, width: int, offset: int, data: int | None = None) -> int | None:
    """Where in a frame of `size` bytes a load of `width` bits at an offset, of which the low 32 bits count, finds them.

    None outside. data: where an offset of 0 is, by default at the network header.
    Negative offsets count from the network header (down to SKF_NET_OFF) or from the link-layer header
    (down to SKF_LL_OFF), as Linux has them.
    """
    offset = signed(offset, 32)
    at = offset + (network if data is None else data)
    if offset < LL_OFF:
        return None
    if offset < NET_OFF:
        at = offset - LL_OFF
    elif offset < 0:
        at = offset + network - NET_OFF
    return at if at + width // 8 <= size else None


def load_packet(packet: Packet, memory: Memory, width: int, context: int, offset: int) -> int | None:
    """The network-order number of `width` bits at an offset (see place). Raises Trap for what is not the context."""
    if not packet.context or context != packet.context:
        raise Trap("context", context)
    packet = packet.now(memory)
    at = place(packet.size, packet.network, width, offset, packet.data)
    return None if at is None else int.from_bytes(memory.read(packet.start + at, width // 8), "big")


def answer(number: int, packet: Packet, memory: Memory, arguments: Sequence[int]) -> int:
    """What the stub of a load from the packet returns. Raises Trap."""
    found = load_packet(packet, memory, _WIDTHS[number], arguments[0], arguments[1])
    return NOTHING if found is None else found

"""Does a state of the verifier cover what a run is at? Registers, stack slots, callers, each held against its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bpf.plan import FRAME, PAGE, Unit
from bpf.program import Map
from verifier.extend import truncated
from verifier.state import SPILL, ZEROS, Reg, Slot, State
from verifier.types import (
    BASE,
    CTX,
    MAP_KEY,
    MAP_PTR,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    NOT_INIT,
    PACKET,
    PACKET_END,
    PACKET_META,
    RINGBUF,
    SCALAR,
    SOCK_COMMON,
    SOCKET,
    SOCKETS,
    STACK,
    name,
)  # fmt: skip
from vm.contexts import data_offset
from vm.world import Input

_M64 = (1 << 64) - 1
_SAME = frozenset({SOCKET, SOCK_COMMON})  # what helpers give of a socket is that socket's address
_NEVER_NULL = frozenset({MAP_PTR, MAP_KEY, MEM, *SOCKETS})


@dataclass(slots=True)
class Call:
    """A call that a run is in: where it was made, the caller's R6-R9."""

    callsite: int
    saved: tuple[int, ...]


class Places:
    """Where things lie in a run, and the bytes that it has written.

    top      R10 of the entered function; bytes_: address -> byte, of all that was written since the start
    deepest  by depth of calls, how many bytes of its frame the function that is there has written to
    packet_room  addresses that are the packet's or may become it; held: addresses of references that are held
    """

    def __init__(self, unit: Unit, given: Input, top: int) -> None:
        self.top = top
        self.order = unit.order
        self.bytes_: dict[int, int] = {}
        self.deepest: list[int] = []
        self.held: list[int] = []
        self.regions = {map_.name: region for map_, region in zip(unit.maps, unit.map_regions, strict=True)}
        self._fill = given.stack_fill
        self.context = unit.context
        convention = unit.convention
        layout = convention.view.layout if convention.view is not None else None
        head, tail = unit.room(len(given.packet))
        self._fields = {
            field.pointer: field.at for field in (layout.fields if layout is not None else ()) if field.pointer
        }
        first = unit.packet_start(len(given.packet)) if given.packet else 0
        start = first + data_offset(convention, given)
        self.packet_room = range(first - head, first + len(given.packet) + tail + PAGE - 1 & -PAGE)
        self._first = {"packet": start, "packet end": first + len(given.packet), "packet meta": first}

    def wrote(self, address: int, data: bytes) -> None:
        """The run has written this."""
        for at, byte in enumerate(data):
            self.bytes_[address + at] = byte
        depth = (self.top - 1 - address) // FRAME
        if 0 <= depth < len(self.deepest):
            self.deepest[depth] = max(self.deepest[depth], self.top - FRAME * depth - address)

    def called(self, depth: int) -> None:
        """So many calls are active."""
        del self.deepest[depth + 1 :]
        self.deepest.extend([0] * (depth + 1 - len(self.deepest)))

    def now(self, what: str) -> int:
        """A pointer that the context has, where helpers may have moved it."""
        at = self._fields.get(what)
        found = [self.bytes_.get(self.context + at + byte) for byte in range(8)] if at is not None else []
        data = bytes(byte for byte in found if byte is not None)
        return int.from_bytes(data, self.order) if len(data) == 8 else self._first[what]

    @property
    def end(self) -> int:
        """The address behind the packet."""
        return self.now("packet end")

    def byte(self, address: int) -> int:
        """A byte of the stack."""
        return self.bytes_.get(address, self._fill)

    def number(self, address: int, size: int) -> int:
        """A number on the stack."""
        return int.from_bytes(bytes(self.byte(address + at) for at in range(size)), self.order)

    def holds(self, reg: Reg, value: int) -> bool:
        """Whether a register's abstract value covers a concrete one."""
        type_ = reg.type
        if type_ == NOT_INIT:
            return True
        if type_ == SCALAR:
            return reg.num.in_(value)
        if type_ & MAYBE_NULL and value == 0:
            return True
        if reg.ref and (type_ & RINGBUF or type_ & BASE in _SAME) and value - reg.off not in self.held:
            return False
        base = type_ & BASE
        if base == STACK:
            return reg.num.in_(value - (self.top - FRAME * reg.aux + reg.off) & _M64)
        if base == CTX:
            return value == self.context + reg.off
        if base == PACKET:
            return reg.num.in_(value - (self.now("packet") + reg.off) & _M64) and self._range(reg, value, self.end)
        if base == PACKET_META:
            meta = self.now("packet meta")
            return reg.num.in_(value - (meta + reg.off) & _M64) and self._range(reg, value, self.now("packet"))
        if base == PACKET_END:
            return value == self.end
        if base == MAP_VALUE and isinstance(reg.of, Map):
            return self._in_map(reg, reg.of, value)
        if base == MEM and type_ & RINGBUF:
            return any(region.start <= value - reg.off < region.start + region.size for region in self.regions.values())
        return base not in _NEVER_NULL or value != 0

    def _range(self, reg: Reg, value: int, end: int) -> bool:
        """What the comparison with an end has shown: so many bytes are there."""
        return reg.aux <= 0 or value - reg.off + reg.aux <= end

    def _in_map(self, reg: Reg, map_: Map, value: int) -> bool:
        """Some element's start, moved as the register says."""
        region = self.regions.get(map_.name)
        if region is None:  # of a map that is in another
            return value != 0
        if not reg.num.mask:
            start = value - reg.off - reg.num.value & _M64
            return region.start <= start < region.start + max(region.size, 1)
        least = value - reg.off - reg.num.smax
        most = value - reg.off - reg.num.smin
        return least < region.start + max(region.size, 1) and most >= region.start


def uncovered(state: State, regs: Sequence[int], calls: Sequence[Call], places: Places) -> str:
    """The first thing of what a run is at that a state does not cover, "" where it covers all."""
    frames = state.frames
    if len(frames) != len(calls) + 1:
        return "another depth of calls"
    if any(frame.callsite != call.callsite for frame, call in zip(frames[1:], calls, strict=True)):
        return "another caller"
    for number, reg in enumerate(frames[-1].regs):
        if not places.holds(reg, regs[number]):
            return f"R{number} is {regs[number]:#x}, which is no {_shown(reg)}"
    for frame, call in zip(frames, calls, strict=False):
        for number, value in zip(range(6, 10), call.saved, strict=True):
            if not places.holds(frame.regs[number], value):
                return f"R{number} of frame {frame.number} is {value:#x}, which is no {_shown(frame.regs[number])}"
    for frame in frames:
        for index, slot in enumerate(frame.stack):
            what = _slot(slot, places.top - FRAME * frame.number - 8 * (index + 1), places)
            if what:
                return f"fp{-8 * (index + 1)} of frame {frame.number} {what}"
    return ""


def _shown(reg: Reg) -> str:
    num = reg.num
    moved = f"+{reg.off}" if reg.type != SCALAR else ""
    return (
        f"{name(reg.type)}{moved} (bits {num.value:#x}/{num.mask:#x}, {num.umin:#x}..{num.umax:#x}, "
        f"{num.smin}..{num.smax})"
    )


def _slot(slot: Slot, address: int, places: Places) -> str:
    """What is wrong with a slot."""
    kinds = slot.kinds
    for place, kind in enumerate(kinds):
        if kind == ZEROS and places.byte(address + 7 - place):
            return f"has {places.byte(address + 7 - place):#x}, not zero, in byte {7 - place}"
    if kinds[7] != SPILL:
        return ""
    size = 8 - kinds.index(SPILL)
    value = places.number(address, size)
    reg = slot.reg
    if size < 8:
        if reg.type != SCALAR:
            return f"is a {name(reg.type)} of {size} bytes"
        return "" if truncated(reg.num, size).in_(value) else f"holds {value:#x}, which is no {_shown(reg)}"
    return "" if places.holds(reg, value) else f"holds {value:#x}, which is no {_shown(reg)}"

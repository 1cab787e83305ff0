"""Kernel functions on dynptrs: parts of them, copies, and those of packets."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec import layout
from bpf.spec.errno import E2BIG, EINVAL, ERANGE
from vm.helpers.base import Place
from vm.helpers.dynptr import M32, SKB_KIND, XDP_KIND, Dynptr
from vm.helpers.packet import Buffer


def _store(place: Place, address: int, found: Dynptr, size: int, offset: int) -> None:
    word = size | found.kind << layout.DYNPTR_KIND | (layout.DYNPTR_READONLY if found.readonly else 0)
    place.memory.write(address, layout.dynptr(found.data, word, offset, place.order))


def adjust(place: Place, arguments: Sequence[int]) -> int:
    """Make dynptr R1 its bytes from R2 to before R3."""
    found, start, end = Dynptr.at(place, arguments[0]), arguments[1] & M32, arguments[2] & M32
    if not found.data or start > end:
        return -EINVAL & M32
    if end > found.size:
        return -ERANGE & M32
    _store(place, arguments[0], found, end - start, found.offset + start)
    return 0


def is_null(place: Place, arguments: Sequence[int]) -> int:
    """Whether dynptr R1 is null."""
    return int(not Dynptr.at(place, arguments[0]).data)


def is_rdonly(place: Place, arguments: Sequence[int]) -> int:
    """Whether dynptr R1 is read-only."""
    found = Dynptr.at(place, arguments[0])
    return int(bool(found.data) and found.readonly)


def size(place: Place, arguments: Sequence[int]) -> int:
    """How many bytes dynptr R1 has."""
    found = Dynptr.at(place, arguments[0])
    return found.size if found.data else -EINVAL & M32


def clone(place: Place, arguments: Sequence[int]) -> int:
    """Make R2 the same dynptr as R1."""
    found = Dynptr.at(place, arguments[0])
    place.memory.write(arguments[1], place.memory.read(arguments[0], 16) if found.data else bytes(16))
    return 0 if found.data else -EINVAL & M32


def _slice(place: Place, found: Dynptr, offset: int, count: int) -> int:
    """The address of `count` bytes at an offset, 0 where they are not in it."""
    return 0 if not found.data or found.outside(offset, count) else found.start(place) + offset


def slice_(place: Place, arguments: Sequence[int]) -> int:
    """The address of R4 bytes at offset R2 of dynptr R1; packets are in one piece, so the buffer R3 is not needed."""
    return _slice(place, Dynptr.at(place, arguments[0]), arguments[1] & M32, arguments[3] & M32)


def slice_rdwr(place: Place, arguments: Sequence[int]) -> int:
    """As slice, of one that can be written."""
    found = Dynptr.at(place, arguments[0])
    return 0 if found.readonly else _slice(place, found, arguments[1] & M32, arguments[3] & M32)


def copy(place: Place, arguments: Sequence[int]) -> int:
    """Copy R5 bytes from offset R4 of dynptr R3 to offset R2 of dynptr R1."""
    to, source = Dynptr.at(place, arguments[0]), Dynptr.at(place, arguments[2])
    to_offset, from_offset, count = (arguments[at] & M32 for at in (1, 3, 4))
    target = 0 if to.readonly else _slice(place, to, to_offset, count)
    origin = _slice(place, source, from_offset, count)
    if origin and target:
        place.memory.write(target, place.memory.read(origin, count))
        return 0
    if origin and (not to.data or to.readonly):
        return -EINVAL & M32
    if target and not source.data:
        return -EINVAL & M32
    return -E2BIG & M32


def memset(place: Place, arguments: Sequence[int]) -> int:
    """Fill R3 bytes at offset R2 of dynptr R1 with R4."""
    found, offset, count = Dynptr.at(place, arguments[0]), arguments[1] & M32, arguments[2] & M32
    if found.readonly:
        return -EINVAL & M32
    if found.outside(offset, count):
        return -E2BIG & M32
    if count:  # of a null one nothing can be filled
        place.memory.write(found.start(place) + offset, bytes((arguments[3] & 0xFF,)) * count)
    return 0


def _of_packet(place: Place, arguments: Sequence[int], kind: int, count: int) -> int:
    """Make R3 a dynptr of a packet."""
    context, flags, to = arguments[:3]
    place.memory.write(to, bytes(16))
    if flags:
        return -EINVAL & M32
    _store(place, to, Dynptr(context, 0, kind, 0, not place.packet.writable), count, 0)
    return 0


def from_skb(place: Place, arguments: Sequence[int]) -> int:
    """Make R3 a dynptr of the packet of context R1."""
    packet = place.packet
    if packet.layout == "__sk_buff":
        count = Buffer(place, arguments[0], packet.layout).size
    else:
        count = packet.size - packet.data  # netfilter's skb
    return _of_packet(place, arguments, SKB_KIND, count)


def from_xdp(place: Place, arguments: Sequence[int]) -> int:
    """Make R3 a dynptr of the packet of context R1."""
    return _of_packet(place, arguments, XDP_KIND, Buffer(place, arguments[0], "xdp_md").size)

"""Helpers on an xdp buffer: its ends, its metadata, its bytes."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EACCES, EFAULT, EINVAL
from vm.helpers.base import Place
from vm.helpers.packet import ETH_HLEN, M16, M32, Buffer, signed32, xdp

FRAME = 40  # sizeof(struct xdp_frame), which stays free in front
MOST_META = 255


def xdp_adjust_head(place: Place, arguments: Sequence[int]) -> int:
    """Move the start by R2 bytes; metadata go with it."""
    packet, distance = xdp(place, arguments[0]), signed32(arguments[1])
    data, meta = packet["data"], packet["data_meta"]
    size, moved = data - meta, data + distance
    if moved < packet["first"] + FRAME + size or moved > packet["data_end"] - ETH_HLEN:
        return -EINVAL
    packet.memory.write(meta + distance, packet.memory.read(meta, size))
    packet["data_meta"], packet["data"] = meta + distance, moved
    return 0


def xdp_adjust_meta(place: Place, arguments: Sequence[int]) -> int:
    """Move the start of the metadata by R2 bytes: a multiple of 4 below 256 bytes of them."""
    packet = xdp(place, arguments[0])
    data, meta = packet["data"], packet["data_meta"] + signed32(arguments[1])
    if meta < packet["first"] + FRAME or meta > data:
        return -EINVAL
    if (data - meta) % 4 or data - meta > MOST_META:
        return -EACCES
    packet["data_meta"] = meta
    return 0


def xdp_adjust_tail(place: Place, arguments: Sequence[int]) -> int:
    """Move the end by R2 bytes; what it grows by is zero."""
    packet, distance = xdp(place, arguments[0]), signed32(arguments[1])
    old = packet["data_end"]
    if old + distance > packet["last"] or old + distance < packet["data"] + ETH_HLEN:
        return -EINVAL
    if distance > 0:
        packet.memory.write(old, bytes(distance))
    packet["data_end"] = old + distance
    return 0


def xdp_get_buff_len(place: Place, arguments: Sequence[int]) -> int:
    """How many bytes it has."""
    return xdp(place, arguments[0]).size


def _outside(packet: Buffer, offset: int, size: int) -> int:
    if offset > M16 or size > M16:
        return -EFAULT
    return -EINVAL if offset + size > packet.size else 0


def xdp_load_bytes(place: Place, arguments: Sequence[int]) -> int:
    """Copy R4 bytes at offset R2 to R3."""
    packet, offset, size = xdp(place, arguments[0]), arguments[1] & M32, arguments[3] & M32
    failed = _outside(packet, offset, size)
    if not failed:
        place.memory.write(arguments[2], packet.read(offset, size))
    return failed


def xdp_store_bytes(place: Place, arguments: Sequence[int]) -> int:
    """Copy R4 bytes at R3 to offset R2."""
    packet, offset, size = xdp(place, arguments[0]), arguments[1] & M32, arguments[3] & M32
    failed = _outside(packet, offset, size)
    if not failed:
        packet.write(offset, place.memory.read(arguments[2], size))
    return failed

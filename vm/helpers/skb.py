"""Helpers that read and write an skb in place, its checksums, hash and marks (net/core/filter.c of Linux 6.12)."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import E2BIG, EACCES, EAGAIN, EFAULT, EINVAL, ENOMEM, ENOTSUPP, EOPNOTSUPP
from vm.helpers.base import Place
from vm.helpers.checksum import add16, add32, fold
from vm.helpers.maps import map_of
from vm.helpers.packet import ETH_P_IP, ETH_P_IPV6, M16, M32, Buffer, skb

INT_MAX = 0x7FFF_FFFF
RECOMPUTE_CSUM, INVALIDATE_HASH = 1, 2
PSEUDO_HDR, MARK_MANGLED_0, MARK_ENFORCE, IPV6 = 0x10, 0x20, 0x40, 0x80
START_MAC, START_NET = 0, 1
LEVEL_QUERY, LEVEL_INC, LEVEL_DEC, LEVEL_RESET = range(4)
MAX_LEVEL = 3  # SKB_MAX_CSUM_LEVEL
OTHERHOST = 3
CLOCKS = range(3)  # BPF_SKB_CLOCK_REALTIME, MONOTONIC, TAI


def skb_load_bytes(place: Place, arguments: Sequence[int]) -> int:
    """Copy R4 bytes at offset R2 to R3; zeros and -EFAULT where they are not there."""
    packet, offset, size = skb(place, arguments[0]), arguments[1] & M32, arguments[3] & M32
    inside = offset <= INT_MAX and offset + size <= packet.size
    place.memory.write(arguments[2], packet.read(offset, size) if inside else bytes(size))
    return 0 if inside else -EFAULT


def skb_load_bytes_relative(place: Place, arguments: Sequence[int]) -> int:
    """As skb_load_bytes, from the link-layer (R5 = 0) or network (1) header on."""
    packet, offset, size = skb(place, arguments[0]), arguments[1] & M32, arguments[3] & M32
    start = {START_MAC: "mac", START_NET: "network"}.get(arguments[4] & M32)
    inside = start is not None and offset <= M16 and packet[start] + offset + size <= packet["data_end"]
    data = place.memory.read(packet[start] + offset, size) if inside and start else bytes(size)
    place.memory.write(arguments[2], data)
    return 0 if inside else -EFAULT


def skb_store_bytes(place: Place, arguments: Sequence[int]) -> int:
    """Copy R4 bytes at R3 to offset R2. R5 may say to forget the hash."""
    packet, offset, size = skb(place, arguments[0]), arguments[1] & M32, arguments[3] & M32
    if arguments[4] & ~(RECOMPUTE_CSUM | INVALIDATE_HASH):
        return -EINVAL
    if offset > INT_MAX or (offset + size & M32) > packet.size:
        return -EFAULT
    packet.write(offset, place.memory.read(arguments[2], size))
    if arguments[4] & INVALIDATE_HASH:
        _forget_hash(packet)
    return 0


def skb_pull_data(place: Place, arguments: Sequence[int]) -> int:
    """All data are always there: only what is longer than the packet fails."""
    return -ENOMEM if arguments[1] & M32 > skb(place, arguments[0]).size else 0


# Checksums ---------------------------------------------------------------------------------------


def _replaced(old: int, start: int, to: int) -> int:
    """A checksum (csum_replace4) after `start` has become `to`."""
    return fold(add32(add32(~old & M32, ~start & M32), to))


def _checksum(packet: Buffer, offset: int) -> int | None:
    """The 16 bits at an offset, in the program's order; None where none can be changed."""
    if offset > M16 or offset & 1 or offset + 2 > packet.size:
        return None
    return int.from_bytes(packet.read(offset, 2), packet.order)


def l3_csum_replace(place: Place, arguments: Sequence[int]) -> int:
    """Change the IP checksum at offset R2: R3 has become R4, both of R5 bytes; R5 = 0: R4 is the difference."""
    packet, offset, flags = skb(place, arguments[0]), arguments[1] & M32, arguments[4]
    start, to = arguments[2], arguments[3]
    if flags & ~0xF:
        return -EINVAL
    old = _checksum(packet, offset)
    if old is None:
        return -EFAULT
    if flags == 0 and start == 0:
        new = fold(add32(to, ~old & M32))
    elif flags == 2:
        new = ~add16(add16(~old & M16, ~start & M16), to) & M16
    elif flags == 4:
        new = _replaced(old, start & M32, to & M32)
    else:
        return -EINVAL
    packet.write(offset, new.to_bytes(2, packet.order))
    return 0


def l4_csum_replace(place: Place, arguments: Sequence[int]) -> int:
    """As l3_csum_replace for UDP and TCP. R5 besides: 0 is no checksum and stays so, or is written as 0xffff."""
    packet, offset, flags = skb(place, arguments[0]), arguments[1] & M32, arguments[4]
    start, to = arguments[2], arguments[3]
    if flags & ~(0xF | PSEUDO_HDR | MARK_MANGLED_0 | MARK_ENFORCE | IPV6):
        return -EINVAL
    old = _checksum(packet, offset)
    if old is None:
        return -EFAULT
    if flags & MARK_MANGLED_0 and not flags & MARK_ENFORCE and not old:
        return 0
    size = flags & 0xF
    if size == 0 and start == 0:
        new = fold(add32(to, ~old & M32))
    elif size in (2, 4):
        mask = (1 << 8 * size) - 1
        new = _replaced(old, start & mask, to & mask)
    else:
        return -EINVAL
    if flags & MARK_MANGLED_0 and not new:
        new = M16
    packet.write(offset, new.to_bytes(2, packet.order))
    return 0


def csum_update(place: Place, arguments: Sequence[int]) -> int:
    """No packet has a checksum of its whole content here, as none of a test run has."""
    skb(place, arguments[0])
    return -ENOTSUPP


def csum_level(place: Place, arguments: Sequence[int]) -> int:
    """How many checksums are known to be right: R2 asks, adds one, takes one away, or forgets all."""
    packet, what = skb(place, arguments[0]), arguments[1]
    known = packet["checksum"]  # 0: none, else the level + 1
    if what == LEVEL_QUERY:
        return known - 1 if known else -EACCES
    if what == LEVEL_INC:
        packet["checksum"] = min(known + 1, MAX_LEVEL + 1)
    elif what == LEVEL_DEC:
        packet["checksum"] = max(known - 1, 0)
    elif what == LEVEL_RESET:
        packet["checksum"] = 0
    else:
        return -EINVAL
    return 0


# Hash, type, origin --------------------------------------------------------------------------------


def _forget_hash(packet: Buffer) -> None:
    packet["hash"] = packet["hashed"] = 0


def get_hash_recalc(place: Place, arguments: Sequence[int]) -> int:
    """The packet's hash; where it has none, one of its addresses, protocol and ports (FNV-1a), which it then keeps."""
    packet = skb(place, arguments[0])
    if not packet["hashed"]:
        packet["hash"] = _flow_hash(packet)
        packet["hashed"] = 1
    return packet["hash"]


def _flow_hash(packet: Buffer) -> int:
    at, end = packet["network"], packet["data_end"]
    header = packet.memory.read(at, min(max(end - at, 0), 64))
    flow = b""
    if packet.protocol == ETH_P_IP and len(header) >= 20:
        ports = 4 * (header[0] & 0xF)
        flow = header[12:20] + header[9:10] + header[ports : ports + 4]
    elif packet.protocol == ETH_P_IPV6 and len(header) >= 40:
        flow = header[8:40] + header[6:7] + header[40:44]
    found = 0x811C_9DC5
    for byte in flow:
        found = (found ^ byte) * 0x0100_0193 & M32
    return found or 1


def set_hash_invalid(place: Place, arguments: Sequence[int]) -> int:
    """Forget the hash."""
    _forget_hash(skb(place, arguments[0]))
    return 0


def set_hash(place: Place, arguments: Sequence[int]) -> int:
    """R2 is the hash."""
    packet = skb(place, arguments[0])
    packet["hash"], packet["hashed"] = arguments[1], 1
    return 0


def skb_change_type(place: Place, arguments: Sequence[int]) -> int:
    """R2 is the pkt_type: to this host, to all, to some, to another."""
    packet, kind = skb(place, arguments[0]), arguments[1] & M32
    if packet["pkt_type"] > OTHERHOST or kind > OTHERHOST:
        return -EINVAL
    packet["pkt_type"] = kind
    return 0


def skb_set_tstamp(place: Place, arguments: Sequence[int]) -> int:
    """R2 is when it is to be sent, by the clock R3; 0 of the real-time clock takes that back."""
    packet, time, clock = skb(place, arguments[0]), arguments[1], arguments[2] & M32
    if packet.protocol not in (ETH_P_IP, ETH_P_IPV6):
        return -EOPNOTSUPP
    if clock not in CLOCKS or (clock and not time):
        return -EINVAL
    packet["tstamp"], packet["tstamp_type"] = time, clock
    return 0


def skb_under_cgroup(place: Place, arguments: Sequence[int]) -> int:
    """Whether the cgroup of skb R1's socket is the one at index R3 of map R2, or in it."""
    skb(place, arguments[0])
    state, index, world = map_of(place, arguments[1], "skb_under_cgroup"), arguments[2] & M32, place.world
    if index >= state.map.max_entries:
        return -E2BIG
    found = state.value(index.to_bytes(4, state.order))
    if not isinstance(found, bytes):
        return -EAGAIN
    cgroup = int.from_bytes(found, state.order)
    above = world.cgroups[: world.cgroups.index(world.net.cgroup)] if world.net.cgroup in world.cgroups else ()
    return int(cgroup in (*above, world.net.cgroup))


def skb_ecn_set_ce(place: Place, arguments: Sequence[int]) -> int:
    """Say "congestion experienced" in a packet that can: 1, or 0 where it cannot."""
    packet = skb(place, arguments[0])
    at, end, protocol = packet["network"], packet["data_end"], packet.inner_protocol()
    memory = packet.memory
    if protocol == ETH_P_IP and packet.size >= 20 and at + 20 <= end:
        tos = memory.read(at + 1, 1)[0]
        ecn = tos + 1 & 3
        if not ecn & 2:
            return int(not ecn)
        old = int.from_bytes(memory.read(at + 10, 2), "big")
        memory.write(at + 10, add16(old, 0xFFFB + ecn & M16).to_bytes(2, "big"))
        memory.write(at + 1, bytes((tos | 3,)))
        return 1
    if protocol == ETH_P_IPV6 and packet.size >= 40 and at + 40 <= end:
        word = int.from_bytes(memory.read(at, 4), "big")
        if not word >> 20 & 3:
            return 0
        memory.write(at, (word | 3 << 20).to_bytes(4, "big"))
        return 1
    return 0


def get_cgroup_classid(place: Place, arguments: Sequence[int]) -> int:
    """World.net.classid: of the packet, and in types that have none of the task, which is not given a context."""
    return place.world.net.classid & M32


def get_route_realm(place: Place, arguments: Sequence[int]) -> int:
    """World.net.realm."""
    skb(place, arguments[0])
    return place.world.net.realm & M32


def skb_cgroup_id(place: Place, arguments: Sequence[int]) -> int:
    """World.net.cgroup."""
    skb(place, arguments[0])
    return place.world.net.cgroup


def get_socket_uid(place: Place, arguments: Sequence[int]) -> int:
    """World.net.uid."""
    skb(place, arguments[0])
    return place.world.net.uid & M32

"""Helpers that change an skb's length: at its ends, at its VLAN tags, between its headers."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.contexts import SKB_MOST
from bpf.spec.errno import EFAULT, EINVAL, ENOMEM, ENOTSUPP
from vm.helpers.base import Place
from vm.helpers.packet import ETH_HLEN, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6, M16, M32, TAG, VLANS, Buffer, signed32, skb
from vm.kept import ENCAPSULATED, Kept
from vm.services import Trap

TAGGED = 18  # VLAN_ETH_HLEN
ADDRESSES = 12
ETH_P_802_2, ETH_P_802_3, ETH_P_LEAST = 4, 1, 0x600
ROOM_NET, ROOM_MAC = 0, 1
FIXED_GSO, NO_CSUM_RESET, DECAP_IPV4, DECAP_IPV6 = 1, 1 << 5, 1 << 7, 1 << 8
ROOM_FLAGS = (1 << 9) - 1 | 0xFF << 56
ENCAP_IPV4, ENCAP_IPV6, ENCAP_GRE, ENCAP_UDP, ENCAP_ETH = 2, 4, 8, 16, 64
ENCAPSULATES = ENCAP_IPV4 | ENCAP_IPV6
L2_SHIFT, EALREADY = 56, -114
ENCAP_IP, SEGMENTS = 2, (0, 1)  # BPF_LWT_ENCAP_*
MOST_HEADERS = 256  # LWT_BPF_MAX_HEADROOM
SHRINKING = FIXED_GSO | NO_CSUM_RESET | DECAP_IPV4 | DECAP_IPV6


def skb_change_tail(place: Place, arguments: Sequence[int]) -> int:
    """Have R2 bytes, no fewer than up to the network header."""
    packet, size = skb(place, arguments[0]), arguments[1] & M32
    if arguments[2] or size > SKB_MOST or size < max(packet["network"] - packet["data"], 0):
        return -EINVAL
    if not packet.make_room(0, max(size - packet.size, 0)):
        return -ENOMEM
    packet.end_at(packet["data"] + size)
    return 0


def skb_change_head(place: Place, arguments: Sequence[int]) -> int:
    """R2 zeros in front, where the link-layer header then is."""
    packet, size = skb(place, arguments[0]), arguments[1] & M32
    if arguments[2] or size >> 31 or packet.size + size > SKB_MOST:
        return -EINVAL
    if not packet.insert(0, size):
        return -ENOMEM
    packet["mac"] = packet["data"]
    packet.reset_mac_len()
    return 0


# VLAN tags: one may be kept beside the packet ----------------------------------------------------------


def _keep_tag(packet: Buffer, protocol: int, tci: int) -> None:
    packet["vlan_proto"], packet["vlan_tci"] = packet.network_order(protocol), tci
    packet["vlan_present"] = int(bool(protocol or tci))


def skb_vlan_push(place: Place, arguments: Sequence[int]) -> int:
    """A tag of protocol R2 (network order) and TCI R3, kept beside the packet; one that was there goes into it."""
    packet = skb(place, arguments[0])
    protocol = packet.network_order(arguments[1])
    if protocol not in VLANS:
        protocol = ETH_P_8021Q
    if packet["vlan_present"]:
        if not packet.insert(ADDRESSES, TAG):
            return -ENOMEM
        old = packet.network_order(packet["vlan_proto"])
        packet.write(ADDRESSES, old.to_bytes(2, "big") + packet["vlan_tci"].to_bytes(2, "big"))
        packet["mac"] -= TAG
        packet["network"] -= TAG
        packet.protocol = old
    _keep_tag(packet, protocol, arguments[2] & M16)
    packet.reset_mac_len()
    return 0


def _pull_tag(packet: Buffer) -> int | None:
    """Take the first tag out of the packet: its TCI, None for a packet that is too short."""
    if packet.size < TAGGED:
        return None
    tci = int.from_bytes(packet.read(ETH_HLEN, 2), "big")
    protocol = int.from_bytes(packet.read(ETH_HLEN + 2, 2), "big")
    if protocol < ETH_P_LEAST:
        protocol = ETH_P_802_3 if packet.read(TAGGED, 2) == b"\xff\xff" else ETH_P_802_2
    packet.protocol = protocol
    packet.take_out(ADDRESSES, TAG)
    packet["mac"] += TAG
    packet["network"] = max(packet["network"], packet["mac"] + ETH_HLEN)
    return tci


def skb_vlan_pop(place: Place, arguments: Sequence[int]) -> int:
    """Take the outermost tag away; the next one of the packet is kept beside it."""
    packet = skb(place, arguments[0])
    result = _pop(packet)
    packet.reset_mac_len()
    return result


def _pop(packet: Buffer) -> int:
    if packet["vlan_present"]:
        _keep_tag(packet, 0, 0)
    elif packet.protocol not in VLANS:
        return 0
    elif _pull_tag(packet) is None:
        return -ENOMEM
    protocol = packet.protocol
    if protocol not in VLANS:
        return 0
    tci = _pull_tag(packet)
    if tci is None:
        return -ENOMEM
    _keep_tag(packet, protocol, tci)
    return 0


# Between the headers -----------------------------------------------------------------------------------


def _grow(packet: Buffer, offset: int, size: int) -> int:
    if not packet.insert(offset, size):
        return -ENOMEM
    packet["mac"] -= size
    packet["network"] -= size
    return 0


def _shrink(packet: Buffer, offset: int, size: int) -> int:
    if offset + size > packet.size:
        return -ENOMEM
    packet.take_out(offset, size)
    packet["mac"] += size
    packet["network"] += size
    return 0


def skb_change_proto(place: Place, arguments: Sequence[int]) -> int:
    """From IPv4 to IPv6 or back, R2 in network order: 20 bytes of room more or less; the headers are the program's."""
    packet, protocol = skb(place, arguments[0]), 0
    if arguments[2]:
        return -EINVAL
    protocol = packet.network_order(arguments[1])
    offset = packet["network"] - packet["mac"]
    if (packet.protocol, protocol) == (ETH_P_IP, ETH_P_IPV6):
        failed = _grow(packet, offset, 20)
    elif (packet.protocol, protocol) == (ETH_P_IPV6, ETH_P_IP):
        failed = _shrink(packet, offset, 20)
    else:
        return -ENOTSUPP
    if not failed:
        packet.protocol = protocol
        packet["hash"] = packet["hashed"] = 0
    return failed


def _wrong_encapsulation(place: Place, change: int, flags: int) -> int:
    """The errno of flags of an encapsulation that cannot be (bpf_skb_net_grow), 0 for none."""
    inner = flags >> L2_SHIFT & 0xFF
    if flags & ENCAPSULATES == ENCAPSULATES or flags & (ENCAP_GRE | ENCAP_UDP) == ENCAP_GRE | ENCAP_UDP:
        return -EINVAL
    if flags & ENCAP_ETH and inner < ETH_HLEN:
        return -EINVAL
    if Kept(place.memory, place.order).number(ENCAPSULATED):
        return EALREADY
    return -EINVAL if inner > change else 0


def skb_adjust_room(place: Place, arguments: Sequence[int]) -> int:
    """R2 bytes of room more or less behind the link-layer header (R3 = 1) or the network header (0).

    Flags may say that the room is for the headers of a tunnel, whose protocol the packet then has.
    """
    packet, change, mode, flags = skb(place, arguments[0]), signed32(arguments[1]), arguments[2] & M32, arguments[3]
    if flags & ~ROOM_FLAGS:
        return -EINVAL
    if abs(change) > 0xFFF:
        return -EFAULT
    base = {ETH_P_IP: 20, ETH_P_IPV6: 40}.get(packet.protocol)
    if base is None or mode > ROOM_MAC:
        return -ENOTSUPP
    offset = packet["network"] - packet["mac"] + (base if mode == ROOM_NET else 0)
    least, decap, encap = base, flags & (DECAP_IPV4 | DECAP_IPV6), flags & ENCAPSULATES
    if decap:
        if change >= 0 or decap == DECAP_IPV4 | DECAP_IPV6:
            return -EINVAL
        least = 20 if decap == DECAP_IPV4 else 40
    behind = packet["data_end"] - packet["network"]
    if (change < 0 and (-change >= behind or behind + change < least)) or (
        change >= 0 and packet.size + change > SKB_MOST
    ):
        return -ENOTSUPP
    if change < 0 and flags & ~SHRINKING:
        return -EINVAL
    if encap and (error := _wrong_encapsulation(place, change, flags)):
        return error
    failed = _shrink(packet, offset, -change) if change < 0 else _grow(packet, offset, change)
    if not failed:
        if decap or encap:
            packet.protocol = ETH_P_IP if (decap, encap) in ((DECAP_IPV4, 0), (0, ENCAP_IPV4)) else ETH_P_IPV6
        if encap:
            Kept(place.memory, place.order).set_number(ENCAPSULATED, 1)
        if not flags & NO_CSUM_RESET:
            packet["checksum"] = 0
    return failed


# Headers of a tunnel, by themselves ----------------------------------------------------------------------


def lwt_push_encap(place: Place, arguments: Sequence[int]) -> int:
    """Put the R4 bytes at R3, an IP header and what follows it, before the packet (R2 = 2).

    Raises Trap for segment routing (R2 = 0 or 1), which is not here.
    """
    packet, kind, size = skb(place, arguments[0]), arguments[1] & M32, arguments[3] & M32
    if kind != ENCAP_IP:
        if kind in SEGMENTS:
            raise Trap("segments of lwt_push_encap", kind)
        return -EINVAL
    if not 20 <= size <= MOST_HEADERS:
        return -EINVAL
    headers = bytearray(place.memory.read(arguments[2], size))
    version, own = headers[0] >> 4, 4 * (headers[0] & 0xF)
    if version not in (4, 6) or size < (own if version == 4 else 40):
        return -EINVAL
    if version == 4 and not any(headers[10:12]):
        headers[10:12] = ip_checksum(bytes(headers[:own])).to_bytes(2, "big")
    if not packet.insert(0, size):
        return -ENOMEM
    packet.write(0, bytes(headers))
    packet["network"] = packet["data"]
    packet["hash"] = packet["hashed"] = 0
    packet.protocol = ETH_P_IP if version == 4 else ETH_P_IPV6
    return 0


def ip_checksum(header: bytes) -> int:
    """Of an IPv4 header whose own field is 0."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total >> 16:
        total = (total & M16) + (total >> 16)
    return ~total & M16

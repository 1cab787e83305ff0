"""What a packet has come through a tunnel with, and what it is to be sent through one with (net/core/filter.c)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from bpf.spec.errno import EINVAL, ENOENT, ENOMEM, EPROTO
from vm.helpers.base import Place
from vm.helpers.packet import M32, skb
from vm.kept import IS_IPV6, NONE, OPTIONS, TO_SEND, TUNNEL_FLAGS, TUNNEL_KEY, TUNNEL_STATE, Kept, Part

IPV6 = 1
ZERO_CSUM_TX, DONT_FRAGMENT, SEQ_NUMBER, NO_TUNNEL_KEY = 2, 4, 8, 16
FLAGS = 16  # of a reading: give the tunnel's flags
SIZES = (44, 28, 24, 22, 8)  # of struct bpf_tunnel_key, now and before
ONLY_IPV4 = 8  # the size of the first, which has no place for an IPv6 address
CSUM, KEY, SEQ, NO_FRAGMENT, NO_CACHE = 1, 4, 8, 0x100, 0x2000
WITH_OPTIONS = 0xD800  # geneve, vxlan, erspan, gtp
MOST_OPTIONS = 255
TOS, EXT, LABEL, LOCAL = 20, 22, 24, 28  # offsets in the structure


def skb_get_tunnel_key(place: Place, arguments: Sequence[int]) -> int:
    """The tunnel that skb R1 has come through, or that was set, to R3 bytes at R2; zeros where there is none."""
    skb(place, arguments[0])
    kept, size, flags = Kept(place.memory, place.order), arguments[2] & M32, arguments[3]
    key, error = bytearray(kept.read(TUNNEL_KEY)), 0
    its = kept.number(TUNNEL_FLAGS)
    if kept.number(TUNNEL_STATE) == NONE or flags & ~(IPV6 | FLAGS):
        error = -EINVAL
    elif bool(its & IS_IPV6) != bool(flags & IPV6):
        error = -EPROTO
    elif size not in SIZES or (size == ONLY_IPV4 and its & IS_IPV6):
        error = -EINVAL
    if flags & FLAGS:
        key[EXT:LABEL] = (its & 0xFFFF).to_bytes(2, "big")
    place.memory.write(arguments[1], bytes(size) if error else bytes(key[:size]))
    return error


def skb_set_tunnel_key(place: Place, arguments: Sequence[int]) -> int:
    """Send skb R1 through the tunnel that R3 bytes at R2 say. What was its remote end is then read as the local one."""
    skb(place, arguments[0])
    size, flags = arguments[2] & M32, arguments[3]
    if flags & ~(IPV6 | ZERO_CSUM_TX | DONT_FRAGMENT | SEQ_NUMBER | NO_TUNNEL_KEY) or size not in SIZES:
        return -EINVAL
    kept = Kept(place.memory, place.order)
    given = place.memory.read(arguments[1], size).ljust(TUNNEL_KEY.size, b"\0")
    label = int.from_bytes(given[LABEL:LOCAL], kept.order)
    if (label and not flags & IPV6) or any(given[EXT:LABEL]):
        return -EINVAL
    remote, local = given[4:TOS], given[LOCAL:]
    if not flags & IPV6:
        remote, local = remote[:4].ljust(16, b"\0"), local[:4].ljust(16, b"\0")
    label &= 0xFFFFF
    key = given[:4] + local + given[TOS:EXT] + bytes(2) + label.to_bytes(4, kept.order) + remote
    its = NO_CACHE | CSUM | KEY | (IS_IPV6 if flags & IPV6 else 0)
    its ^= (CSUM if flags & ZERO_CSUM_TX else 0) ^ (KEY if flags & NO_TUNNEL_KEY else 0)
    its |= (NO_FRAGMENT if flags & DONT_FRAGMENT else 0) | (SEQ if flags & SEQ_NUMBER else 0)
    kept.write(TUNNEL_KEY, key)
    kept.set_number(TUNNEL_FLAGS, its)
    kept.set_number(TUNNEL_STATE, TO_SEND)
    kept.write(OPTIONS, bytes(OPTIONS.size))
    return 0


def skb_get_tunnel_opt(place: Place, arguments: Sequence[int]) -> int:
    """The options of the tunnel to R3 bytes at R2, and how many bytes they have."""
    skb(place, arguments[0])
    kept, size = Kept(place.memory, place.order), arguments[2] & M32
    count = kept.number(Part(OPTIONS.at, 8))
    error = 0
    if kept.number(TUNNEL_STATE) == NONE or not kept.number(TUNNEL_FLAGS) & WITH_OPTIONS:
        error = -ENOENT
    elif size < count:
        error = -ENOMEM
    found = b"" if error else kept.read(OPTIONS)[8 : 8 + count]
    place.memory.write(arguments[1], found.ljust(size, b"\0"))
    return error or count


def skb_set_tunnel_opt(place: Place, arguments: Sequence[int]) -> int:
    """Send it with the R3 bytes of options at R2; after skb_set_tunnel_key."""
    skb(place, arguments[0])
    kept, size = Kept(place.memory, place.order), arguments[2] & M32
    if kept.number(TUNNEL_STATE) != TO_SEND or size % 4:
        return -EINVAL
    if size > MOST_OPTIONS:
        return -ENOMEM
    kept.write(OPTIONS, size.to_bytes(8, kept.order) + place.memory.read(arguments[1], size))
    kept.set_number(TUNNEL_FLAGS, kept.number(TUNNEL_FLAGS) | WITH_OPTIONS)
    return 0


# IPsec ---------------------------------------------------------------------------------------------------

XFRM_STATE = 28  # sizeof(struct bpf_xfrm_state)
AF_INET, AF_INET6 = 2, 10


def skb_get_xfrm_state(place: Place, arguments: Sequence[int]) -> int:
    """The transform R2 that skb R1 has come through, to R4 bytes at R3; zeros where there is none."""
    skb(place, arguments[0])
    index, size, states = arguments[1] & M32, arguments[3] & M32, place.world.net.transforms
    if index >= len(states) or arguments[4] or size != XFRM_STATE:
        place.memory.write(arguments[2], bytes(size))
        return -EINVAL
    state, order = states[index], Kept(place.memory, place.order).order
    remote = ip_address(state.remote)
    family = AF_INET if remote.version == 4 else AF_INET6
    data = state.reqid.to_bytes(4, order) + state.spi.to_bytes(4, "big") + family.to_bytes(2, order) + bytes(2)
    place.memory.write(arguments[2], (data + remote.packed).ljust(size, b"\0"))
    return 0

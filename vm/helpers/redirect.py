"""Helpers that say where a packet goes: noted in World.sent."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EINVAL, ENODEV
from bpf.spec.program_types import TC, XDP
from vm.helpers.base import Place
from vm.helpers.maps import map_of
from vm.helpers.packet import M32, SKB, Buffer, signed32, skb
from vm.helpers.packet import XDP as XDP_MD
from vm.maps.sockets import SocketArrayState
from vm.network import BROADCAST, INGRESS, Sent

EXCLUDE_INGRESS = 16
ACTIONS = 3  # those of XDP that redirect_map may return in place of a redirect
REDIR_NEIGH = 20  # sizeof(struct bpf_redir_neigh)
CHECK_SEGMENTS = 1
FRAGMENT_NEEDED = 1

_XDP_REDIRECT = next(number for number, name in XDP.items() if name == "XDP_REDIRECT")
_SHOT, _REDIRECT = (next(n for n, name in TC.items() if name == f"TC_ACT_{word}") for word in ("SHOT", "REDIRECT"))


def redirect(place: Place, arguments: Sequence[int]) -> int:
    """To device R1; of an skb R2 may say that it comes in there. The result is what the program returns to do so."""
    device, flags = arguments[0] & M32, arguments[1]
    if place.packet.layout == XDP_MD:
        if flags:
            return 0
        result = _XDP_REDIRECT
    else:
        if flags & ~INGRESS:
            return _SHOT
        result = _REDIRECT
    place.world.sent.append(Sent("redirect", device, flags=flags))
    return result


def redirect_neigh(place: Place, arguments: Sequence[int]) -> int:
    """To device R1, with the link-layer header of the next hop that R2 names, R3 bytes; or, both 0, of the route's."""
    size = signed32(arguments[2])
    if arguments[3] or (size and size < REDIR_NEIGH):
        return _SHOT
    place.world.sent.append(Sent("redirect_neigh", arguments[0] & M32))
    return _REDIRECT


def redirect_peer(place: Place, arguments: Sequence[int]) -> int:
    """To the peer of device R1, in another network namespace."""
    if arguments[1]:
        return _SHOT
    place.world.sent.append(Sent("redirect_peer", arguments[0] & M32))
    return _REDIRECT


def clone_redirect(place: Place, arguments: Sequence[int]) -> int:
    """Send a copy to device R2 at once."""
    packet, device, flags = skb(place, arguments[0]), arguments[1] & M32, arguments[2]
    if flags & ~INGRESS or device not in place.world.net.devices:
        return -EINVAL
    place.world.sent.append(Sent("clone_redirect", device, flags=flags, packet=packet.read(0, packet.size)))
    return 0


def redirect_map(place: Place, arguments: Sequence[int]) -> int:
    """To what entry R2 of map R1 names; where there is none, the result is the action in R3's low bits."""
    state, key, flags = map_of(place, arguments[0], "redirect_map"), arguments[1] & M32, arguments[2]
    devices = state.map.kind.startswith("devmap")
    if flags & ~(ACTIONS | (BROADCAST | EXCLUDE_INGRESS if devices else 0)):
        return 0
    index, socket = key.to_bytes(4, state.order), 0
    offset = state.at(index, place.world.cpu)
    if isinstance(state, SocketArrayState):
        socket = state.member(index) or 0
    if offset is None and not socket and not flags & BROADCAST:
        return flags & ACTIONS
    device = 0
    if devices and offset is not None and not flags & BROADCAST:
        device = int.from_bytes(state.store[offset : offset + 4], state.order)
    place.world.sent.append(Sent("redirect_map", device, state.map.name, key, flags, socket=socket))
    return _XDP_REDIRECT


def check_mtu(place: Place, arguments: Sequence[int]) -> int:
    """Whether the packet, R4 bytes longer, fits device R2 (0: its own). R3: in, a length to test; out, the MTU."""
    packet = Buffer(place, arguments[0], SKB, XDP_MD)
    is_xdp = place.packet.layout == XDP_MD
    index, change, flags = arguments[1] & M32, signed32(arguments[3]), arguments[4]
    length = int.from_bytes(place.memory.read(arguments[2], 4), packet.order)
    if flags & ~(0 if is_xdp else CHECK_SEGMENTS) or (flags and (change or length)):
        return -EINVAL
    device = place.world.net.devices.get(index or packet["ingress_ifindex" if is_xdp else "ifindex"])
    if device is None:
        return -ENODEV
    size = (length + device.header if length else packet.size) + change
    place.memory.write(arguments[2], device.mtu.to_bytes(4, packet.order))
    return 0 if size <= device.mtu + device.header else FRAGMENT_NEEDED

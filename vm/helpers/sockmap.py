"""Maps of sockets: putting the program's own socket into one, sending data to another's, choosing a listener.

Where data go is noted in World.sent, with the cookie of the socket.
"""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EBADFD, EINVAL, ENOENT, EOPNOTSUPP, EPROTOTYPE
from bpf.spec.program_types import SK
from vm.helpers.base import Place
from vm.helpers.maps import map_of
from vm.helpers.packet import M32, Buffer
from vm.maps.sockets import ReuseportState, SocketArrayState
from vm.network import INGRESS, LISTEN, Sent
from vm.services import Trap

SKB, MSG, OPS, REUSEPORT = "__sk_buff", "sk_msg_md", "bpf_sock_ops", "sk_reuseport_md"
ESTABLISHED_OPS = (4, 5, 11)  # BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, _PASSIVE_ESTABLISHED_CB, _TCP_LISTEN_CB
DROP, PASS = (next(number for number, name in SK.items() if name == f"SK_{word}") for word in ("DROP", "PASS"))


def _sockets(place: Place, handle: int, helper: str) -> SocketArrayState:
    state = map_of(place, handle, helper)
    assert isinstance(state, SocketArrayState)
    return state


def _own(place: Place, arguments: Sequence[int], helper: str) -> int:
    """Put the socket of context R1 into map R2 at the key at R3."""
    context, state = Buffer(place, arguments[0], OPS), _sockets(place, arguments[1], helper)
    net = place.world.net
    key = place.memory.read(arguments[2], state.map.key_size)
    if context["op"] not in ESTABLISHED_OPS or net.socket(net.cookie) is None:
        return -EOPNOTSUPP
    return state.join(key, net.cookie, arguments[3])


def sock_map_update(place: Place, arguments: Sequence[int]) -> int:
    """Put the socket of context R1 into sockmap R2 at the key at R3. R4: BPF_ANY, NOEXIST, EXIST."""
    return _own(place, arguments, "sock_map_update")


def sock_hash_update(place: Place, arguments: Sequence[int]) -> int:
    """Put the socket of context R1 into sockhash R2 at the key at R3. R4: BPF_ANY, NOEXIST, EXIST."""
    return _own(place, arguments, "sock_hash_update")


def _redirect(place: Place, arguments: Sequence[int], helper: str, layout: str, key: bytes) -> int:
    """To the socket at a key: SK_PASS, or SK_DROP where there is none that takes it."""
    if not arguments[0] or arguments[0] != place.packet.context or place.packet.layout != layout:
        raise Trap("context", arguments[0])
    state, flags, net = _sockets(place, arguments[1], helper), arguments[3], place.world.net
    cookie = state.member(key)
    if flags & ~INGRESS or cookie is None:
        return DROP
    socket = net.socket(cookie)
    if socket is not None and socket.protocol == "tcp" and socket.state == LISTEN:
        return DROP
    if layout == MSG and not flags and socket is not None and socket.protocol != "tcp":
        return DROP
    number = int.from_bytes(key, state.order)
    place.world.sent.append(Sent(helper, 0, state.map.name, number, flags, socket=cookie))
    return PASS


def _index(place: Place, arguments: Sequence[int]) -> bytes:
    return (arguments[2] & M32).to_bytes(4, place.order)


def _key(place: Place, arguments: Sequence[int], helper: str) -> bytes:
    return place.memory.read(arguments[2], map_of(place, arguments[1], helper).map.key_size)


def sk_redirect_map(place: Place, arguments: Sequence[int]) -> int:
    """Send the data of skb R1 to the socket at index R3 of sockmap R2. R4: BPF_F_INGRESS. SK_PASS or SK_DROP."""
    return _redirect(place, arguments, "sk_redirect_map", SKB, _index(place, arguments))


def sk_redirect_hash(place: Place, arguments: Sequence[int]) -> int:
    """Send the data of skb R1 to the socket at the key at R3 of sockhash R2. See sk_redirect_map."""
    return _redirect(place, arguments, "sk_redirect_hash", SKB, _key(place, arguments, "sk_redirect_hash"))


def msg_redirect_map(place: Place, arguments: Sequence[int]) -> int:
    """Send message R1 to the socket at index R3 of sockmap R2: out of it, or with BPF_F_INGRESS in R4 into it."""
    return _redirect(place, arguments, "msg_redirect_map", MSG, _index(place, arguments))


def msg_redirect_hash(place: Place, arguments: Sequence[int]) -> int:
    """Send message R1 to the socket at the key at R3 of sockhash R2. See msg_redirect_map."""
    return _redirect(place, arguments, "msg_redirect_hash", MSG, _key(place, arguments, "msg_redirect_hash"))


def sk_select_reuseport(place: Place, arguments: Sequence[int]) -> int:
    """Choose the socket at the key at R3 of map R2 for what has come for context R1's group of sockets."""
    if not arguments[0] or arguments[0] != place.packet.context or place.packet.layout != REUSEPORT:
        raise Trap("context", arguments[0])
    state, net = _sockets(place, arguments[1], "sk_select_reuseport"), place.world.net
    key = place.memory.read(arguments[2], state.map.key_size)
    if arguments[3]:
        return -EINVAL
    cookie = state.member(key)
    if cookie is None:
        return -ENOENT
    chosen, own = net.sockets.get(cookie), net.sockets.get(net.cookie)
    if chosen is not None and chosen.group is None:
        return -ENOENT if isinstance(state, ReuseportState) else -EINVAL
    if chosen is not None and own is not None and chosen.group != own.group:
        return -EPROTOTYPE if chosen.protocol != own.protocol else -EBADFD
    number = int.from_bytes(key, state.order)
    place.world.sent.append(Sent("sk_select_reuseport", 0, state.map.name, number, socket=cookie))
    return 0

"""Sockets: those described are looked up, asked for, and chosen for a packet (net/core/filter.c).

A pointer to a socket leads to its slot in the region of vm/kept.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from bpf.spec.errno import EAFNOSUPPORT, EEXIST, EINVAL, ENOENT, EPROTONOSUPPORT, EPROTOTYPE, ESOCKTNOSUPPORT
from vm.helpers.base import Place
from vm.helpers.owners import SOCKET, number_of
from vm.helpers.packet import M32, Buffer, signed32
from vm.helpers.syncookie import TCP, check, generate
from vm.kept import AF_INET, PROTOCOLS, TCP_PART, Kept, address_of
from vm.network import Sent, Socket
from vm.services import Trap

ANY_NETNS = (1 << 32) - 1  # BPF_F_CURRENT_NETNS: any negative number of 32 bits
REPLACE, NO_REUSEPORT = 1, 2
FIN, SYN, RST, ACK = 1, 2, 4, 16
IPV4_TUPLE, IPV6_TUPLE = 12, 36


def socket_at(place: Place, address: int) -> tuple[int, Socket]:
    """The cookie of the socket at an address, and what it is. Raises Trap where there is none."""
    cookie = number_of(place, SOCKET, address)
    socket = None if cookie is None else place.world.net.socket(cookie)
    if cookie is None or socket is None:
        raise Trap("socket", address)
    return cookie, socket


def _context(place: Place, address: int) -> None:
    if not address or address != place.packet.context:
        raise Trap("context", address)


def _address(place: Place, cookie: int) -> int:
    return address_of(Kept(place.memory, place.order).start, place.world.net, cookie)


# Lookup --------------------------------------------------------------------------------------------


def _tuple(data: bytes) -> tuple[str, str, int, int]:
    """Source, destination, source port, destination port of a struct bpf_sock_tuple."""
    size = 4 if len(data) == IPV4_TUPLE else 16
    source, destination = (str(ip_address(data[at : at + size])) for at in (0, size))
    ports = (int.from_bytes(data[at : at + 2], "big") for at in (2 * size, 2 * size + 2))
    return source, destination, *ports  # type: ignore[return-value]


def _same(given: str, wanted: str) -> bool:
    """Whether an address is the wanted one; an IPv6 socket sees IPv4 addresses as mapped ones."""
    one, other = ip_address(given), ip_address(wanted)
    if isinstance(one, IPv6Address) and other.version == 4:
        return str(one.ipv4_mapped) == wanted
    return one == other


def _any(socket: Socket, version: int) -> bool:
    """Whether it takes any local address of a version of IP."""
    return not socket.local or (ip_address(socket.local).is_unspecified and version in (4, socket.version))


def _score(socket: Socket, source: str, to: str, sport: int, dport: int, device: int) -> int:
    """How well a socket fits; 0 where it does not (compute_score, inet_match)."""
    if socket.local_port != dport or socket.device not in (0, device):
        return 0
    score = 1 + (2 if socket.device else 0)
    if not _any(socket, ip_address(to).version):
        if not _same(socket.local, to):
            return 0
        score += 8
    elif socket.local and socket.version == ip_address(to).version:
        score += 1
    if socket.listens:
        return score
    if socket.remote_port:
        if socket.remote_port != sport or not socket.remote or not _same(socket.remote, source):
            return 0
        return score + 16
    return score if socket.protocol == "udp" else 0


def _device(place: Place) -> int:
    """The device that the context is of: where a lookup looks for sockets bound to it."""
    names = {"xdp_md": "ingress_ifindex", "__sk_buff": "ifindex"}
    name = names.get(place.packet.layout)
    return Buffer(place, place.packet.context, place.packet.layout)[name] if name else 0


def _look_up(place: Place, arguments: Sequence[int], protocol: str) -> int:
    """The address of the described socket that a packet of the tuple of R3 bytes at R2 would reach; 0 for none."""
    _context(place, arguments[0])
    size, netns = arguments[2] & M32, arguments[3]
    if size not in (IPV4_TUPLE, IPV6_TUPLE):
        return 0
    low = netns & M32
    if arguments[4] or not (low >> 31 or netns <= 0x7FFF_FFFF) or not low >> 31:
        return 0  # another network namespace has no number here
    wanted = _tuple(place.memory.read(arguments[1], size))
    device, net = _device(place), place.world.net
    scores = {
        cookie: _score(socket, *wanted, device) for cookie, socket in net.sockets.items() if socket.protocol == protocol
    }
    best = max(scores, key=lambda cookie: scores[cookie], default=0)
    return _address(place, best) if best and scores[best] else 0


def sk_lookup_tcp(place: Place, arguments: Sequence[int]) -> int:
    """The TCP socket for the tuple at R2; see _look_up. R4: the network namespace, of which there is this one."""
    return _look_up(place, arguments, "tcp")


def sk_lookup_udp(place: Place, arguments: Sequence[int]) -> int:
    """The UDP socket for the tuple at R2."""
    return _look_up(place, arguments, "udp")


def sk_release(place: Place, arguments: Sequence[int]) -> int:
    """R1 is no longer needed. Nothing is counted: the verifier sees to it."""
    socket_at(place, arguments[0])
    return 0


def sk_fullsock(place: Place, arguments: Sequence[int]) -> int:
    """R1: every socket here is a full one."""
    socket_at(place, arguments[0])
    return arguments[0]


def tcp_sock(place: Place, arguments: Sequence[int]) -> int:
    """The struct bpf_tcp_sock of R1, 0 where it is none of TCP."""
    cookie, socket = socket_at(place, arguments[0])
    return _address(place, cookie) + TCP_PART if socket.protocol == "tcp" else 0


def get_listener_sock(place: Place, arguments: Sequence[int]) -> int:
    """R1 if it listens, else 0."""
    _, socket = socket_at(place, arguments[0])
    return arguments[0] if socket.listens else 0


# Choosing ------------------------------------------------------------------------------------------


def sk_assign(place: Place, arguments: Sequence[int]) -> int:
    """Packet R1 goes to socket R2; in an sk_lookup program the connection, and R2 may be 0 to take a choice back."""
    if place.packet.layout == "bpf_sk_lookup":
        return _choose(place, arguments)
    Buffer(place, arguments[0], "__sk_buff")
    cookie, _ = socket_at(place, arguments[1])
    if arguments[2]:
        return -EINVAL
    place.world.sent.append(Sent("sk_assign", socket=cookie))
    return 0


def _choose(place: Place, arguments: Sequence[int]) -> int:
    context, flags = Buffer(place, arguments[0], "bpf_sk_lookup"), arguments[2]
    if flags & ~(REPLACE | NO_REUSEPORT):
        return -EINVAL
    cookie = 0
    if arguments[1]:
        cookie, socket = socket_at(place, arguments[1])
        if not socket.listens and (socket.protocol == "tcp" or socket.remote_port):
            return -ESOCKTNOSUPPORT
        if PROTOCOLS[socket.protocol][1] != context["protocol"]:
            return -EPROTOTYPE
        if socket.version == 4 and context["family"] != AF_INET:
            return -EAFNOSUPPORT
    if context["sk"] and not flags & REPLACE:
        return -EEXIST
    context["sk"] = arguments[1]
    place.world.sent.append(Sent("sk_assign", flags=flags, socket=cookie))
    return 0


# SYN cookies of a listener -------------------------------------------------------------------------


def _headers(place: Place, arguments: Sequence[int]) -> tuple[Socket, bytes, int]:
    """The socket, the TCP header, the version of IP."""
    _, socket = socket_at(place, arguments[0])
    tcp = place.memory.read(arguments[3], arguments[4] & M32)
    first = place.memory.read(arguments[1], 1) if arguments[2] & M32 else b"\0"
    return socket, tcp, first[0] >> 4


def _version_error(socket: Socket, version: int, size: int) -> int:
    if version == 4:
        return 0
    if version != 6:
        return -EPROTONOSUPPORT
    return 0 if size >= 40 and socket.version == 6 else -EINVAL


def tcp_check_syncookie(place: Place, arguments: Sequence[int]) -> int:
    """0 if the ACK of IP header R2 and TCP header R4 answers a cookie of listener R1, else -ENOENT."""
    socket, tcp, version = _headers(place, arguments)
    if len(tcp) < TCP or not socket.listens:
        return -EINVAL
    if not tcp[13] & ACK or tcp[13] & (RST | SYN):
        return -ENOENT
    size = arguments[2] & M32
    if size < 20:
        return -EINVAL
    if not socket.flooded:
        return -ENOENT
    if error := _version_error(socket, version, size):
        return error
    return 0 if check(place, (arguments[1], arguments[3]), version) == 0 else -ENOENT


def tcp_gen_syncookie(place: Place, arguments: Sequence[int]) -> int:
    """The cookie of listener R1 for the SYN of IP header R2 and TCP header R4, and << 32 the segment size."""
    socket, tcp, version = _headers(place, arguments)
    if len(tcp) < TCP or len(tcp) != 4 * (tcp[12] >> 4) or not socket.listens:
        return -EINVAL
    if not tcp[13] & SYN or tcp[13] & (ACK | FIN | RST):
        return -EINVAL
    size = arguments[2] & M32
    if size < 20:
        return -EINVAL
    if error := _version_error(socket, version, size):
        return error
    return generate(place, (arguments[1], arguments[3], arguments[4]), version) if socket.flooded else -ENOENT


# What a socket is ------------------------------------------------------------------------------------


def own(place: Place, address: int) -> tuple[int, Socket | None]:
    """The cookie of a socket and what it is, of a pointer to one or of a context: then the packet's own."""
    if address == place.packet.context and address:
        net = place.world.net
        return net.cookie, net.socket(net.cookie)
    return socket_at(place, address)


def get_socket_cookie(place: Place, arguments: Sequence[int]) -> int:
    """The cookie of the socket of context R1 (World.net.cookie), or of socket R1; 0 for no socket."""
    return own(place, arguments[0])[0] if arguments[0] else 0


def sk_cgroup_id(place: Place, arguments: Sequence[int]) -> int:
    """The cgroup of socket R1: World.net.cgroup, as that of its packets."""
    socket_at(place, arguments[0])
    return place.world.net.cgroup


def _ancestor(place: Place, level: int) -> int:
    """The cgroup at a level above that of packets, the root's being 0; 0 where there is none."""
    world, cgroup = place.world, place.world.net.cgroup
    path = world.cgroups[: world.cgroups.index(cgroup) + 1] if cgroup in world.cgroups else (cgroup,)
    return path[level] if 0 <= level < len(path) else 0


def sk_ancestor_cgroup_id(place: Place, arguments: Sequence[int]) -> int:
    """The cgroup that level R2 above that of socket R1 is."""
    socket_at(place, arguments[0])
    return _ancestor(place, signed32(arguments[1]))


def skb_ancestor_cgroup_id(place: Place, arguments: Sequence[int]) -> int:
    """The cgroup that level R2 above that of skb R1's socket is."""
    _context(place, arguments[0])
    return _ancestor(place, signed32(arguments[1]))


def skb_cgroup_classid(place: Place, arguments: Sequence[int]) -> int:
    """World.net.classid."""
    _context(place, arguments[0])
    return place.world.net.classid & M32

"""The room for what helpers keep of a run: sockets as programs see them, the tunnel of a packet, a return value.

It is a region of the run's memory (bpf/plan.py, KEPT), so that it is the same on every engine and as new at each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from bpf.errors import BadInput
from bpf.order import Order
from bpf.plan import KEPT, KEPT_SIZE, PAGE, Unit
from bpf.spec.contexts import LAYOUTS, SOCKET_FIELD
from vm.network import ANY, Network, Socket, Tunnel

if TYPE_CHECKING:  # it lays this region out
    from vm.memory import Memory

SLOT, TCP_PART = 256, 128
"""Bytes of a socket: a struct bpf_sock (of one of protocol xdp a struct bpf_xdp_sock), and from TCP_PART on a struct
bpf_tcp_sock."""

MOST = (KEPT_SIZE - PAGE) // SLOT
"""How many sockets there may be."""

NUMBER = TCP_PART + 112
"""Where in a slot the socket's cookie is, which no program sees; 0 for a slot without a socket."""

AF_INET, AF_INET6 = 2, 10
PROTOCOLS = {"tcp": (1, 6), "udp": (2, 17)}  # SOCK_*, IPPROTO_*
TCP_ESTABLISHED, TCP_CLOSE, TCP_LISTEN = 1, 7, 10
OWN_STATE = {"bpf_sock_addr", "bpf_sock_ops", "sk_msg_md", "sk_reuseport_md", "bpf_sockopt"}
"""Contexts whose `sk` is always there. An skb has the one that is described, if it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the first page: where it begins, and how many bytes it has."""

    at: int
    size: int


RETVAL = Part(0, 8)
"""get_retval's number, as 64 bits signed."""
TUNNEL_STATE, TUNNEL_KEY, TUNNEL_FLAGS, OPTIONS = Part(8, 8), Part(16, 44), Part(64, 8), Part(72, 264)
"""TUNNEL_STATE: NONE, RECEIVED or TO_SEND. TUNNEL_KEY: struct bpf_tunnel_key in the program's byte order.
OPTIONS: a word of how many bytes there are, then the bytes."""
TCP_SPACE = Part(336, 8)
"""Bytes that the options of a TCP header may still take."""
ENCAPSULATED = Part(344, 8)
"""1 where skb_adjust_room has made room for a tunnel's headers."""
SETTINGS = Part(512, 1568)
"""What setsockopt has set: records of 56 bytes, socket, level, option, length, 32 bytes of value."""
SYSCTL_NEW = Part(2080, 2016)
"""What sysctl_set_new_value has set: a word of how many bytes there are, then the bytes; 0 for nothing."""

NONE, RECEIVED, TO_SEND = range(3)
IS_IPV6 = 1 << 32
"""In TUNNEL_FLAGS, above the 16 flags that programs see: the addresses are of IPv6."""
OPTION_FLAGS = {"geneve": 0x800, "vxlan": 0x1000, "erspan": 0x4000}
OPTION_SPACE = 40  # MAX_TCP_OPTION_SPACE


def keep(net: Network, order: Order) -> bytes:
    """The region as it is when a run starts. Raises BadInput for too many sockets."""
    byte_order = order
    first = bytearray(PAGE)
    first[TCP_SPACE.at : TCP_SPACE.at + 8] = OPTION_SPACE.to_bytes(8, byte_order)
    if net.tunnel is not None:
        _put_tunnel(first, net.tunnel, byte_order)
    cookies = cookies_of(net)
    if len(cookies) > MOST:
        raise BadInput(f"there are {len(cookies)} sockets: {MOST} have room")
    slots = (_slot(cookie, net.socket(cookie) or Socket(), byte_order) for cookie in cookies)
    return (bytes(first) + b"".join(slots)).ljust(KEPT_SIZE, b"\0")


def cookies_of(net: Network) -> list[int]:
    """The sockets that have a slot, in their order: the packet's own, then those described."""
    return [net.cookie, *(cookie for cookie in net.sockets if cookie != net.cookie)]


def address_of(kept: int, net: Network, cookie: int) -> int:
    """Where a socket's slot is. kept: where the region starts."""
    return kept + PAGE + SLOT * cookies_of(net).index(cookie)


def with_socket(unit: Unit, context: bytes, net: Network) -> bytes:
    """The bytes of a context, with a pointer to its own socket if there is one."""
    view = unit.convention.view
    one = view.layout.by_name.get(SOCKET_FIELD) if view else None
    if one is None or view is None or unit.kept is None:
        return context
    if view.layout.name not in OWN_STATE and (view.layout.name != "__sk_buff" or net.cookie not in net.sockets):
        return context
    address = unit.kept.start + PAGE
    return context[: one.at] + address.to_bytes(one.kept, unit.order) + context[one.at + one.kept :]


def _slot(cookie: int, socket: Socket, order: Order) -> bytes:
    seen = socket.queue.to_bytes(4, order) if socket.protocol == "xdp" else bpf_sock(socket, order)
    return (seen.ljust(TCP_PART, b"\0") + _tcp_sock(socket, order) + cookie.to_bytes(8, order)).ljust(SLOT, b"\0")


def bpf_sock(socket: Socket, order: Order) -> bytes:
    """A struct bpf_sock of linux/bpf.h. Addresses and the remote port are in network order."""
    kind, protocol = PROTOCOLS.get(socket.protocol, (0, 0))
    version6 = socket.version == 6
    state = TCP_LISTEN if socket.listens else TCP_ESTABLISHED
    if socket.protocol != "tcp" and not socket.remote_port:
        state = TCP_CLOSE
    data = bytearray(LAYOUTS["bpf_sock"].size)

    def put(at: int, value: int, size: int = 4) -> None:
        data[at : at + size] = value.to_bytes(size, order)

    for at, number in zip(
        range(0, 24, 4),
        (socket.device, AF_INET6 if version6 else AF_INET, kind, protocol, socket.mark, socket.priority),
        strict=True,
    ):
        put(at, number)
    for at, text in ((24, socket.local), (52, socket.remote)):
        packed = ip_address(text or ("::" if version6 else ANY)).packed
        if len(packed) == 4:
            data[at : at + 4] = packed
            if socket.protocol == "tcp" and not socket.listens:
                packed = b"\0" * 10 + b"\xff\xff" + packed  # a connection has it mapped, too
        if len(packed) == 16:
            data[at + 4 : at + 20] = packed
    put(44, socket.local_port)
    data[48:50] = socket.remote_port.to_bytes(2, "big")
    put(72, state)
    put(76, 0xFFFF_FFFF)
    return bytes(data)


def _tcp_sock(socket: Socket, order: Order) -> bytes:
    """A struct bpf_tcp_sock of 112 bytes, of a connection that has sent nothing yet."""
    numbers = [
        10,
        0,
        0,
        0x7FFF_FFFF,
        0,
        0,
        0,
        536 if socket.listens else 1460,
        *[0] * 12,
    ]  # snd_cwnd, srtt_us, rtt_min, snd_ssthresh, ..., mss
    return b"".join(number.to_bytes(4, order) for number in numbers).ljust(112, b"\0")


def _put_tunnel(page: bytearray, tunnel: Tunnel, order: Order) -> None:
    kind, options = tunnel.options
    page[TUNNEL_STATE.at : TUNNEL_STATE.at + 8] = RECEIVED.to_bytes(8, order)
    page[TUNNEL_KEY.at : TUNNEL_KEY.at + TUNNEL_KEY.size] = tunnel_key(tunnel, order)
    flags = tunnel.flags | OPTION_FLAGS.get(kind, 0) | (IS_IPV6 if ip_address(tunnel.remote).version == 6 else 0)
    page[TUNNEL_FLAGS.at : TUNNEL_FLAGS.at + 8] = flags.to_bytes(8, order)
    page[OPTIONS.at : OPTIONS.at + 8] = len(options).to_bytes(8, order)
    page[OPTIONS.at + 8 : OPTIONS.at + 8 + len(options)] = options


def tunnel_key(tunnel: Tunnel, order: Order) -> bytes:
    """A struct bpf_tunnel_key. IPv4 addresses are numbers of the program's byte order, IPv6 addresses as they are."""

    def address(text: str) -> bytes:
        found = ip_address(text)
        return found.packed if found.version == 6 else int(found).to_bytes(4, order).ljust(16, b"\0")

    head = tunnel.key.to_bytes(4, order) + address(tunnel.remote) + bytes((tunnel.tos, tunnel.ttl))
    return head + bytes(2) + tunnel.label.to_bytes(4, order) + address(tunnel.local)


class Kept:
    """The region in a run. Parts are numbers: signed ones where they can be negative."""

    __slots__ = ("_memory", "order", "start")

    def __init__(self, memory: Memory, order: Order) -> None:
        self._memory = memory
        self.order = order
        self.start = memory.address(KEPT)

    def number(self, part: Part) -> int:
        """A part as a signed number."""
        return int.from_bytes(self.read(part), self.order, signed=True)

    def set_number(self, part: Part, value: int) -> None:
        """Set a part to a number."""
        self.write(part, value.to_bytes(part.size, self.order, signed=value < 0))

    def read(self, part: Part) -> bytes:
        """The bytes of a part."""
        return self._memory.read(self.start + part.at, part.size)

    def write(self, part: Part, data: bytes) -> None:
        """Overwrite the bytes of a part from its start on."""
        self._memory.write(self.start + part.at, data)

    def cookie(self, address: int) -> int | None:
        """The cookie of the socket at an address, None where there is none. A tcp_sock counts as its socket."""
        slot, inside = divmod(address - self.start - PAGE, SLOT)
        if not 0 <= slot < MOST or inside not in (0, TCP_PART):
            return None
        at = self.start + PAGE + SLOT * slot + NUMBER
        return int.from_bytes(self._memory.read(at, 8), self.order) or None

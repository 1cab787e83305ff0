"""From a frame to the socket that it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from bpf.order import Order
from vm.contexts import AF_INET, AF_INET6
from vm.network import LISTEN, Network, Socket

ETHERNET = 14
_PROTOCOLS = {6: "tcp", 17: "udp"}
_VLANS = (0x8100, 0x88A8)


@dataclass(frozen=True, slots=True)
class Flow:
    """Who a frame is from and for.

    transport: where the header of TCP or UDP is; header: its bytes; payload: what follows it.
    """

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    transport: int
    header: int
    payload: bytes

    @property
    def number(self) -> int:
        """Of the protocol, IPPROTO_*."""
        return next(number for number, name in _PROTOCOLS.items() if name == self.protocol)


def flow_of(frame: bytes) -> Flow | None:
    """The flow of a frame of TCP or UDP over IP; None of others, of fragments, and of broken ones."""
    at, kind = ETHERNET, int.from_bytes(frame[12:14], "big")
    if kind in _VLANS:
        at, kind = at + 4, int.from_bytes(frame[16:18], "big")
    header = frame[at:]
    if kind == 0x0800 and len(header) >= 20 and header[0] >> 4 == 4:
        start, protocol = 4 * (header[0] & 0xF), header[9]
        addresses, end = (header[12:16], header[16:20]), int.from_bytes(header[2:4], "big")
        if int.from_bytes(header[6:8], "big") & 0x3FFF:
            return None
    elif kind == 0x86DD and len(header) >= 40 and header[0] >> 4 == 6:
        start, protocol = 40, header[6]
        addresses, end = (header[8:24], header[24:40]), 40 + int.from_bytes(header[4:6], "big")
    else:
        return None
    inner = header[start : min(end, len(header))]
    size = 8 if protocol == 17 else 4 * (inner[12] >> 4) if len(inner) >= 20 else 20
    if protocol not in _PROTOCOLS or start < 20 or len(inner) < size:
        return None
    source, destination = (str(ip_address(address)) for address in addresses)
    ports = [int.from_bytes(inner[place : place + 2], "big") for place in (0, 2)]
    return Flow(_PROTOCOLS[protocol], source, ports[0], destination, ports[1], at + start, size, inner[size:])


def _ends(ends: Iterable[tuple[str, str]], order: Order) -> dict[str, int]:
    """The fields of a context for (remote or local, address): in network byte order, and the family."""
    found: dict[str, int] = {}
    for name, text in ends:
        packed = ip_address(text).packed
        found["family"] = AF_INET if len(packed) == 4 else AF_INET6
        words = [int.from_bytes(packed[at : at + 4], order) for at in range(0, len(packed), 4)]
        found |= {f"{name}_ip4": words[0]} if len(words) == 1 else {f"{name}_ip6[{n}]": w for n, w in enumerate(words)}
    return found


def lookup_fields(flow: Flow, device: int, order: Order) -> dict[str, int]:
    """What the context of an sk_lookup program says of a flow. order: of the program."""
    found = _ends((("remote", flow.source), ("local", flow.destination)), order)
    found |= {"protocol": flow.number, "ingress_ifindex": device, "local_port": flow.destination_port}
    return found | {"remote_port": int.from_bytes(flow.source_port.to_bytes(2, "big"), order)}


def socket_fields(socket: Socket, order: Order) -> dict[str, int]:
    """What the context of sk_skb and sk_msg programs says of the socket whose data they see. order: of the program."""
    found = _ends(((name, text) for name, text in (("remote", socket.remote), ("local", socket.local)) if text), order)
    return found | {
        "local_port": socket.local_port, "remote_port": int.from_bytes(socket.remote_port.to_bytes(2, "big"), order)
    }  # fmt: skip


def socket_for(net: Network, flow: Flow, device: int) -> int:
    """The cookie of the socket that gets a flow, 0 for none: a connected one before one that takes all."""

    def score(one: Socket) -> int:
        local = one.local in ("", flow.destination) and one.local_port == flow.destination_port
        if one.protocol != flow.protocol or not local or one.device not in (0, device):
            return -1
        connected = bool(one.remote or one.remote_port) and one.state != LISTEN
        if connected and (one.remote, one.remote_port) != (flow.source, flow.source_port):
            return -1
        return 4 * connected + 2 * bool(one.local) + bool(one.device)

    best = max(net.sockets, key=lambda cookie: score(net.sockets[cookie]), default=0)
    return best if best and score(net.sockets[best]) >= 0 else 0


def other_end(net: Network, cookie: int) -> int:
    """The cookie of the described socket that one is connected to, 0 for none."""
    mine = net.sockets.get(cookie)
    if mine is None or not mine.remote_port:
        return 0
    for number, one in net.sockets.items():
        hears = (one.protocol, one.local_port) == (mine.protocol, mine.remote_port) and one.local in ("", mine.remote)
        if hears and (not one.remote_port or (one.remote_port, one.remote) == (mine.local_port, mine.local)):
            return number
    return 0

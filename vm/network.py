"""What lies around a packet: devices, routes, neighbours, the socket and cgroup it belongs to; where packets go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from typing import NamedTuple

INGRESS, BROADCAST = 1, 8  # BPF_F_*
ANY = str(IPv4Address(0))  # of IPv4
LISTEN, ESTABLISHED = "listen", "established"
UNICAST, LOCAL, BLACKHOLE, UNREACHABLE, PROHIBIT = "unicast", "local", "blackhole", "unreachable", "prohibit"


class Sent(NamedTuple):
    """A packet that a helper has directed somewhere.

    helper  its name; only clone_redirect sends at once, otherwise the program's return value decides
    device  the ifindex, 0 where it is no device; map, key: the entry that names it, if one does
    flags   as given to the helper; packet: a clone's bytes
    socket  the cookie of the socket that it goes to, 0 where it is none
    """

    helper: str
    device: int = 0
    map: str = ""
    key: int = 0
    flags: int = 0
    packet: bytes = b""
    socket: int = 0

    @property
    def clone(self) -> bool:
        """Whether it was sent at once."""
        return self.helper == "clone_redirect"

    def __str__(self) -> str:
        """In words."""
        to = f"device {self.device}" if self.device else "" if self.map else "device 0"
        if self.socket:
            to = f"socket {self.socket}"
        if self.map:
            entry = f"{self.map}[{self.key}]"
            to = f"all of {self.map}" if self.flags & BROADCAST else f"{entry}, {to}" if to else entry
        elif self.helper == "redirect_peer":
            to = f"the peer of {to}"
        elif self.helper == "redirect_neigh":
            to += ", by its neighbours"
        elif self.flags & INGRESS:
            to += ", coming in there"
        return f"a copy of {len(self.packet)} bytes sent to {to}" if self.clone else f"redirected to {to}"


def carried(sent: Iterable[Sent], meaning: str) -> list[Sent]:
    """Of what a run has directed somewhere, what counts: clones, and what was named last, if the program says so.

    meaning: what its return value says. A redirect counts with _REDIRECT, a socket with SK_PASS.
    """
    sent = tuple(sent)
    redirects = [one for one in sent if one.helper.startswith("redirect")]
    sockets = [one for one in sent if not one.clone and one not in redirects]
    last = redirects[-1:] if meaning.endswith("_REDIRECT") else sockets[-1:] if meaning == "SK_PASS" else []
    return [one for one in sent if one.clone] + last


@dataclass(frozen=True, slots=True)
class Device:
    """A network device. header: bytes of its link-layer header; forwarding: whether it is let through to others.

    peer  the ifindex of the device at the other end of it (a veth pair), 0 for none that is described
    """

    name: str
    mtu: int = 1500
    mac: bytes = bytes(6)
    header: int = 14
    forwarding: bool = True
    peer: int = 0


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket. protocol: tcp, udp or xdp; state: of tcp, LISTEN or ESTABLISHED; cgroup: the path of its cgroup.

    local, remote   addresses, "" for any; device: the ifindex that it is bound to, 0 for none; queue: of xdp
    reuseport       whether others may have its address too, SO_REUSEPORT
    flooded         its queue of SYNs is full, so that it gives and takes SYN cookies
    mark, priority  of what it sends
    """

    protocol: str = "tcp"
    local: str = ""
    local_port: int = 0
    remote: str = ""
    remote_port: int = 0
    state: str = ESTABLISHED
    cgroup: str = "/"
    uid: int = 0
    device: int = 0
    queue: int = 0
    reuseport: bool = False
    flooded: bool = False
    mark: int = 0
    priority: int = 0

    @property
    def mappable(self) -> bool:
        """Whether a sockmap takes it: TCP that listens or is connected, UDP that has an address."""
        if self.protocol == "tcp":
            return self.state in (LISTEN, ESTABLISHED)
        return self.protocol == "udp" and bool(self.local_port)

    @property
    def group(self) -> tuple[str, str, int] | None:
        """What the sockets that share its address have in common; None where it shares none."""
        shared = self.reuseport and self.mappable and (self.protocol != "tcp" or self.state == LISTEN)
        return (self.protocol, self.local, self.local_port) if shared else None

    @property
    def version(self) -> int:
        """4 or 6, by its address; one of any address is of IPv4 and takes both."""
        return ip_address(self.local or self.remote or ANY).version

    @property
    def listens(self) -> bool:
        """Whether it is a listener of TCP."""
        return self.protocol == "tcp" and self.state == LISTEN


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What a packet came through a tunnel with. remote: who sent it; local: whom to; key: the tunnel's number.

    options  kind: geneve, vxlan or erspan, "" for none; and their bytes, which are a multiple of 4
    """

    key: int = 0
    remote: str = ANY
    local: str = ANY
    tos: int = 0
    ttl: int = 64
    label: int = 0
    flags: int = 0
    options: tuple[str, bytes] = ("", b"")


@dataclass(frozen=True, slots=True)
class Transform:
    """An IPsec state that a packet has come through. remote: who sent it; spi: of the state; reqid: of its policy."""

    remote: str = ANY
    spi: int = 0
    reqid: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """A route. to: a prefix; via: the gateway, "" for none; source: the preferred address; mtu: 0 for the device's."""

    to: str
    device: int = 0
    via: str = ""
    kind: str = UNICAST
    metric: int = 0
    source: str = ""
    mtu: int = 0
    table: int = 254  # RT_TABLE_MAIN

    @property
    def length(self) -> int:
        """Of the prefix, in bits."""
        return ip_network(self.to).prefixlen


@dataclass(frozen=True, slots=True)
class Network:
    """Devices by ifindex, routes, MAC addresses by (ifindex, address); what a packet's socket and cgroups are.

    sockets  cookie -> socket
    tunnel   that the packet has come through; transforms: of IPsec, the outermost first
    """

    devices: Mapping[int, Device] = field(default_factory=lambda: {1: Device("lo", 65536)})
    routes: tuple[Route, ...] = ()
    neighbours: Mapping[tuple[int, str], bytes] = field(default_factory=dict)
    cookie: int = 1
    uid: int = 0
    cgroup: int = 1
    classid: int = 0
    realm: int = 0
    sockets: Mapping[int, Socket] = field(default_factory=dict)
    tunnel: Tunnel | None = None
    transforms: tuple[Transform, ...] = ()

    def device_named(self, name: str) -> int:
        """The ifindex of a device, 0 where there is none of that name."""
        return next((index for index, device in self.devices.items() if device.name == name), 0)

    def socket(self, cookie: int) -> Socket | None:
        """The socket with this cookie. A packet's own is one that is connected, where it is not described."""
        return self.sockets.get(cookie) or (Socket() if cookie == self.cookie else None)


NETWORK = Network()
"""The loopback device alone."""


def best_route(net: Network, address: str, table: int = 254) -> Route | None:
    """The route with the longest prefix, of those the one with the least metric."""
    wanted = ip_address(address)
    fitting = [route for route in net.routes if route.table == table and wanted in ip_network(route.to)]
    return min(fitting, key=lambda route: (-route.length, route.metric), default=None)


def next_hop(net: Network, packet: bytes) -> str:
    """The address that a packet goes to next, by its route in the main table; "" where it has no address of IP."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        to = str(ip_address(packet[16:20]))
    elif version == 6 and len(packet) >= 40:
        to = str(ip_address(packet[24:40]))
    else:
        return ""
    route = best_route(net, to)
    return route.via if route is not None and route.via else to

"""fib_lookup, over the routes of World.net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from bpf.order import Order
from bpf.spec.errno import EAFNOSUPPORT, EINVAL, ENODEV
from vm.contexts import AF_INET, AF_INET6
from vm.helpers.base import Place
from vm.helpers.packet import M32, SKB, XDP, Buffer, signed32
from vm.network import BLACKHOLE, PROHIBIT, UNICAST, UNREACHABLE, Network, best_route

DIRECT, OUTPUT, SKIP_NEIGH, TBID, SRC, MARK = 1, 2, 4, 8, 16, 32
FLAGS = DIRECT | OUTPUT | SKIP_NEIGH | TBID | SRC | MARK
SUCCESS, NOT_FORWARDED, FORWARDING_OFF, NO_NEIGHBOUR, FRAGMENT_NEEDED, NO_SOURCE = 0, 4, 5, 7, 8, 9
SIZE = 64
_FAILS = {BLACKHOLE: 1, UNREACHABLE: 2, PROHIBIT: 3}  # BPF_FIB_LKUP_RET_*
MAIN = 254


@dataclass(slots=True)
class Params:
    """struct bpf_fib_lookup as bytes that can be changed."""

    data: bytearray
    order: Order

    def number(self, at: int, size: int) -> int:
        """A number of the program's byte order."""
        return int.from_bytes(self.data[at : at + size], self.order)

    def put(self, at: int, size: int, value: int) -> None:
        """Store one."""
        self.data[at : at + size] = value.to_bytes(size, self.order)

    @property
    def six(self) -> bool:
        """Whether it is of IPv6."""
        return self.data[FAMILY] == AF_INET6

    def address(self, at: int) -> str:
        """An address."""
        return str(ip_address(bytes(self.data[at : at + (16 if self.six else 4)])))

    def put_address(self, at: int, address: str) -> None:
        """Store one, of either family: a gateway of IPv4 stays in its place in a lookup of IPv4."""
        packed = ip_address(address).packed
        self.data[at : at + len(packed)] = packed


FAMILY, LENGTH, IFINDEX, METRIC, SOURCE, DESTINATION, VLAN, SMAC, DMAC = 0, 6, 8, 12, 16, 32, 48, 52, 58


def fib_lookup(place: Place, arguments: Sequence[int]) -> int:
    """Look up where the packet that R2 (R3 bytes) describes goes on; the next hop's addresses are written there."""
    packet = Buffer(place, arguments[0], SKB, XDP)
    if signed32(arguments[2]) < SIZE or arguments[3] & M32 & ~FLAGS:
        return -EINVAL
    params = Params(bytearray(place.memory.read(arguments[1], SIZE)), place.order)
    if params.data[FAMILY] not in (AF_INET, AF_INET6):
        return -EAFNOSUPPORT
    checks = place.packet.layout == XDP or params.number(LENGTH, 2) != 0
    result, changed = _looked_up(params, place.world.net, arguments[3] & M32, checks=checks)
    if result == SUCCESS and not checks:
        device = place.world.net.devices[params.number(IFINDEX, 4)]
        params.put(LENGTH, 2, min(device.mtu, 0xFFFF) if device.mtu <= 0xFFFF else device.mtu & 0xFFFF)
        result = SUCCESS if packet.size <= device.mtu + device.header else FRAGMENT_NEEDED
    if changed:
        place.memory.write(arguments[1], bytes(params.data))
    return result


def _looked_up(params: Params, net: Network, flags: int, *, checks: bool) -> tuple[int, bool]:
    """The result, and whether the parameters have changed."""
    device = net.devices.get(params.number(IFINDEX, 4))
    if device is None:
        return -ENODEV, False
    if not device.forwarding:
        return FORWARDING_OFF, False
    destination = params.address(DESTINATION)
    table = params.number(VLAN, 4) if flags & DIRECT and flags & TBID else MAIN
    route = best_route(net, destination, table)
    if route is None:
        return NOT_FORWARDED, False
    if route.kind != UNICAST:
        return _FAILS.get(route.kind, NOT_FORWARDED), False
    out = net.devices[route.device]
    mtu = route.mtu or out.mtu
    if checks and params.number(LENGTH, 2) > mtu:
        params.put(LENGTH, 2, mtu)
        return FRAGMENT_NEEDED, True
    params.put(METRIC, 4, route.metric)
    params.put(IFINDEX, 4, route.device)
    if flags & SRC:
        if not route.source:
            return NO_SOURCE, True
        params.put_address(SOURCE, route.source)
    if route.via:
        params.put_address(DESTINATION, route.via)
    if not flags & SKIP_NEIGH:
        hardware = net.neighbours.get((route.device, route.via or destination))
        if hardware is None:
            return NO_NEIGHBOUR, True
        params.data[DMAC : DMAC + 6] = hardware
        params.data[SMAC : SMAC + 6] = out.mac
    params.put(VLAN, 4, 0)
    if checks and params.number(LENGTH, 2):
        params.put(LENGTH, 2, mtu & 0xFFFF)
    return SUCCESS, True

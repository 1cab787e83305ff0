"""--net FILE: devices, routes, neighbours and sockets as JSON.

    {"devices": {"eth0": {"ifindex": 2, "mtu": 1500, "mac": "02:00:00:00:00:01", "peer": "eth1"}, "eth1": {}},
     "routes": [{"to": "10.0.0.0/8", "dev": "eth1", "via": "10.0.0.1"}],
     "neighbours": [{"dev": "eth1", "to": "10.0.0.1", "mac": "02:00:00:00:00:02"}],
     "sockets": [{"cookie": 7, "protocol": "udp", "local": "10.0.0.9", "local_port": 53, "cgroup": "/web"}],
     "tunnel": {"key": 5, "remote": "192.0.2.1", "local": "192.0.2.2", "options": {"geneve": "0102030405060708"}},
     "transforms": [{"remote": "192.0.2.1", "spi": 256, "reqid": 1}],
     "cookie": 1, "uid": 0, "cgroup": 1, "classid": 0, "realm": 0}

Whatever is left out has the value of vm/network.py. Devices without an ifindex are numbered on; `lo` is there, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

import click

from bpf.errors import BadInput
from crossbpf.inputs import read_bytes
from vm.network import (
    BLACKHOLE,
    ESTABLISHED,
    LISTEN,
    LOCAL,
    NETWORK,
    PROHIBIT,
    UNICAST,
    UNREACHABLE,
    Device,
    Network,
    Route,
    Socket,
    Transform,
    Tunnel,
)

KINDS = (UNICAST, LOCAL, BLACKHOLE, UNREACHABLE, PROHIBIT)
PROTOCOLS = ("tcp", "udp", "xdp")
_NUMBERS = ("cookie", "uid", "cgroup", "classid", "realm")
_TABLES = ("devices", "routes", "neighbours", "sockets", "tunnel", "transforms")
_OPTIONS = ("geneve", "vxlan", "erspan")
One = TypeVar("One", Device, Route, Socket, Tunnel, Transform)

_SAID = "crossbpf.net"


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    context.meta[_SAID] = value


net_option = click.option(
    "--net", metavar="FILE", help="Devices, routes, neighbours and sockets, as JSON (docs/runtime.md).",
    expose_value=False, callback=_keep,
)  # fmt: skip
"""--net: `network_said` finds what it says."""


def network_said() -> Network:
    """What --net of the command in hand says; without it the loopback device alone. Raises BadInput."""
    return read_network(click.get_current_context().meta.get(_SAID))


def read_network(file: str | None) -> Network:
    """A file's network, None: the loopback device alone. Raises BadInput naming the place in the file."""
    if file is None:
        return NETWORK
    try:
        data = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is no JSON: {error}", file=file) from None
    try:
        return network(data)
    except BadInput as error:
        raise error.at(file=file) from None


def network(data: Any) -> Network:
    """A network from what JSON gives. Raises BadInput."""
    _members(data, "the network", (*_NUMBERS, *_TABLES))
    devices = _devices(_table(data, "devices", dict))
    found = {"lo": 1} | {device.name: index for index, device in devices.items()}
    numbers: dict[str, Any] = {name: _number(data[name], name) for name in _NUMBERS if name in data}

    def named(name: Any, place: str) -> int:
        if not isinstance(name, str) or name not in found:
            raise BadInput(f"no device {name!r}", place=place, remedy="devices: " + ", ".join(found))
        return found[name]

    return Network(
        devices,
        tuple(_route(one, f"routes[{at}]", named) for at, one in enumerate(_table(data, "routes", list))),
        dict(_neighbour(one, f"neighbours[{at}]", named) for at, one in enumerate(_table(data, "neighbours", list))),
        sockets=dict(_sockets(_table(data, "sockets", list), named)),
        tunnel=_tunnel(data["tunnel"]) if "tunnel" in data else None,
        transforms=tuple(_transform(one, at) for at, one in enumerate(_table(data, "transforms", list))),
        **numbers,
    )


def _table(data: Mapping[str, Any], name: str, kind: type) -> Any:
    found = data.get(name, kind())
    if not isinstance(found, kind):
        raise BadInput("is no " + ("object" if kind is dict else "list"), place=name)
    return found


def _members(data: Any, place: str, known: Iterable[str]) -> Mapping[str, Any]:
    known = tuple(known)
    if not isinstance(data, dict):
        raise BadInput("is no object", place=place)
    unknown = [name for name in data if name not in known]
    if unknown:
        raise BadInput(f"has no member {unknown[0]!r}", place=place, remedy="members: " + ", ".join(known))
    return data


def _number(value: Any, place: str, most: int = (1 << 64) - 1) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise BadInput(f"{value!r} is no number from 0 to {most}", place=place)
    return value


def _plain(kind: type[One], data: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The members that a record has with the same type."""
    found = {}
    for one in fields(kind):
        if one.name not in data:
            continue
        value = data[one.name]
        if one.type == "int":
            value = _number(value, f"{place}.{one.name}", (1 << 32) - 1)
        elif one.type != type(value).__name__:
            raise BadInput(f"{value!r} is no {one.type}", place=f"{place}.{one.name}")
        found[one.name] = value
    return found


def _mac(value: Any, place: str) -> bytes:
    try:
        found = bytes.fromhex(value.replace(":", ""))
    except (AttributeError, ValueError):
        found = b""
    if len(found) != 6:
        raise BadInput(f"{value!r} is no MAC address", place=place, remedy="write 02:00:00:00:00:01, say")
    return found


def _address(value: Any, place: str, *, prefix: bool = False) -> str:
    try:
        if isinstance(value, str):
            return str(ip_network(value) if prefix else ip_address(value))
        raise ValueError
    except ValueError:
        raise BadInput(f"{value!r} is no {'prefix' if prefix else 'address'}", place=place) from None


def _devices(table: Mapping[str, Any]) -> dict[int, Device]:
    known = [one.name for one in fields(Device) if one.name != "name"]
    numbers: dict[str, int] = {} if "lo" in table else {"lo": 1}
    for name, data in table.items():
        _members(data, f"devices.{name}", ("ifindex", *known))
        if "ifindex" in data:
            number = _number(data["ifindex"], f"devices.{name}.ifindex", (1 << 31) - 1)
            if not number or number in numbers.values():
                raise BadInput(f"{number} is another device's, or none", place=f"devices.{name}.ifindex")
            numbers[name] = number
    for name in table:
        numbers.setdefault(name, 1 if name == "lo" else max((1, *numbers.values())) + 1)
    found = dict(NETWORK.devices) if "lo" not in table else {}
    for name, data in table.items():
        place, rest = f"devices.{name}", dict(data)
        peer, mac = rest.pop("peer", None), rest.pop("mac", None)
        device = Device(name=name, **_plain(Device, rest, place))
        if mac is not None:
            device = replace(device, mac=_mac(mac, f"{place}.mac"))
        if peer is not None:
            if not isinstance(peer, str) or peer not in table:
                raise BadInput(f"no device {peer!r}", place=f"{place}.peer")
            device = replace(device, peer=numbers[peer])
        found[numbers[name]] = device
    for index, device in list(found.items()):  # a pair may be said at one end
        if device.peer and not found[device.peer].peer:
            found[device.peer] = replace(found[device.peer], peer=index)
    return found


def _route(data: Any, place: str, named: Callable[[Any, str], int]) -> Route:
    rest = dict(_members(data, place, ("dev", *(one.name for one in fields(Route) if one.name != "device"))))
    if "to" not in rest:
        raise BadInput("has no `to`", place=place)
    to = _address(rest.pop("to"), f"{place}.to", prefix=True)
    device = named(rest.pop("dev"), f"{place}.dev") if "dev" in rest else 0
    for name in ("via", "source"):
        if name in rest:
            rest[name] = _address(rest[name], f"{place}.{name}")
    route = Route(to=to, device=device, **_plain(Route, rest, place))
    if route.kind not in KINDS:
        raise BadInput(f"no kind {route.kind!r}", place=f"{place}.kind", remedy="kinds: " + ", ".join(KINDS))
    if route.kind == UNICAST and not device:
        raise BadInput("has no `dev`", place=place)
    return route


def _neighbour(data: Any, place: str, named: Callable[[Any, str], int]) -> tuple[tuple[int, str], bytes]:
    _members(data, place, ("dev", "to", "mac"))
    missing = [name for name in ("dev", "to", "mac") if name not in data]
    if missing:
        raise BadInput(f"has no `{missing[0]}`", place=place)
    key = named(data["dev"], f"{place}.dev"), _address(data["to"], f"{place}.to")
    return key, _mac(data["mac"], f"{place}.mac")


def _sockets(table: Iterable[Any], named: Callable[[Any, str], int]) -> Iterable[tuple[int, Socket]]:
    seen: set[int] = set()
    for at, data in enumerate(table):
        place = f"sockets[{at}]"
        rest = dict(_members(data, place, ("cookie", "dev", *(f.name for f in fields(Socket) if f.name != "device"))))
        cookie = _number(rest.pop("cookie", at + 1), f"{place}.cookie")
        if not cookie or cookie in seen:
            raise BadInput(f"{cookie} is another socket's cookie, or none", place=f"{place}.cookie")
        seen.add(cookie)
        device = named(rest.pop("dev"), f"{place}.dev") if "dev" in rest else 0
        socket = Socket(device=device, **_plain(Socket, _addresses(rest, place), place))
        for name, known in (("protocol", PROTOCOLS), ("state", (LISTEN, ESTABLISHED))):
            if getattr(socket, name) not in known:
                raise BadInput(
                    f"no {name} {getattr(socket, name)!r}", place=f"{place}.{name}", remedy=f"one of {', '.join(known)}"
                )
        yield cookie, socket


def _tunnel(data: Any) -> Tunnel:
    rest = dict(_members(data, "tunnel", (one.name for one in fields(Tunnel))))
    options = rest.pop("options", {})
    if not isinstance(options, dict) or len(options) > 1 or not set(options) <= set(_OPTIONS):
        raise BadInput(
            "is no object of one kind and hex bytes", place="tunnel.options", remedy="of " + ", ".join(_OPTIONS)
        )
    found = ("", b"")
    for kind, text in options.items():
        try:
            found = kind, bytes.fromhex(text)
        except (TypeError, ValueError):
            raise BadInput(f"{text!r} is no hex bytes", place=f"tunnel.options.{kind}") from None
        if len(found[1]) % 4:
            raise BadInput(f"{len(found[1])} bytes are no multiple of 4", place=f"tunnel.options.{kind}")
    return Tunnel(options=found, **_plain(Tunnel, _addresses(rest, "tunnel"), "tunnel"))


def _transform(data: Any, at: int) -> Transform:
    place = f"transforms[{at}]"
    rest = _members(data, place, (one.name for one in fields(Transform)))
    return Transform(**_plain(Transform, _addresses(rest, place), place))


def _addresses(data: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The same with its addresses in one spelling."""
    ends = {name: _address(data[name], f"{place}.{name}") for name in ("local", "remote") if name in data}
    return dict(data) | ends

"""What the tests of hooks share: programs by section, a network, frames."""

from __future__ import annotations

from samples import text

from bpf.program import Map, Program
from crossbpf.net import network
from runtime import Loaded
from runtime.fired import Fired
from vm.world import World

NET = network(
    {
        "devices": {
            "eth0": {"mac": "02:00:00:00:00:10"}, "eth1": {"mtu": 1000}, "veth0": {"peer": "veth1"}, "veth1": {},
        },
        "routes": [{"to": "10.0.0.0/8", "dev": "eth1", "via": "192.168.0.1"}],
        "neighbours": [{"dev": "eth1", "to": "192.168.0.1", "mac": "02:00:00:00:00:77"}],
        "sockets": [
            {"cookie": 7, "protocol": "udp", "local": "10.0.0.2", "local_port": 53, "cgroup": "/web/dns", "uid": 12},
            {"cookie": 8, "local_port": 80, "state": "listen"},
            {"cookie": 9, "local": "10.0.0.2", "local_port": 80, "remote": "10.0.0.5", "remote_port": 9},
            {"cookie": 10, "protocol": "xdp", "dev": "eth0", "queue": 1},
        ],
    }
)  # fmt: skip
ETH0, ETH1, VETH0, VETH1 = (NET.device_named(name) for name in ("eth0", "eth1", "veth0", "veth1"))
ETHERNET = bytes.fromhex("0200000000100200000000200800")


def packet(protocol: str = "udp", port: int = 53, payload: bytes = b"hello", sender: int = 9) -> bytes:
    """A frame from 10.0.0.5 for 10.0.0.2."""
    ports = sender.to_bytes(2, "big") + port.to_bytes(2, "big")
    if protocol == "udp":
        inner = ports + (8 + len(payload)).to_bytes(2, "big") + bytes(2)
    else:
        inner = ports + bytes(8) + b"\x50" + bytes(7)
    size = (20 + len(inner) + len(payload)).to_bytes(2, "big")
    number = {"udp": 17, "tcp": 6}[protocol]
    head = b"\x45\0" + size + bytes(4) + bytes((64, number)) + bytes(2) + bytes((10, 0, 0, 5, 10, 0, 0, 2))
    return ETHERNET + head + inner + payload


def loaded(*programs: Program) -> Loaded:
    """Programs in the described network."""
    return Loaded(programs, verify=False, world=World(net=NET))


def returns(code: int, name: str, section: str, maps: tuple[Map, ...] = ()) -> Program:
    """A program that does nothing but return."""
    return text(f"r0 = {code}; exit", name, section, maps)


def redirects(device: int, name: str, section: str, flags: int = 0) -> Program:
    """A program that redirects to a device."""
    return text(f"r1 = {device}; r2 = {flags}; call 23; exit", name, section)


FRAME = packet()


def said(fired: Fired) -> list[str]:
    """The trail in words."""
    return [str(one) for one in fired.trail]

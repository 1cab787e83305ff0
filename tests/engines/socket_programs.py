"""Small programs that ask for sockets and tunnels, and the sockets that they find."""

from __future__ import annotations

from ipaddress import ip_address

from tests.engines.typed import Typed
from vm.network import LISTEN, Network, Socket, Tunnel

PORTS = {"listener": 40001, "any": 40002, "six": 40003, "client": 40004, "udp": 40005, "connected": 40006}
M64 = (1 << 64) - 1
EINVAL, ENOENT, EPROTO, ENOMEM = (n & M64 for n in (-22, -2, -71, -12))
HOME, SIX = "127.0.0.1", "::1"


def network(ports: dict[str, int], **more: object) -> Network:
    """Listeners of one address, of any, of IPv6; a connection to the first; sockets of UDP."""
    at = ports.__getitem__
    sockets = {
        10: Socket("tcp", HOME, at("listener"), state=LISTEN),
        11: Socket("tcp", "0.0.0.0", at("any"), state=LISTEN),
        12: Socket("tcp", "::", at("six"), state=LISTEN),
        13: Socket("tcp", HOME, at("client"), HOME, at("listener")),
        14: Socket("tcp", HOME, at("listener"), HOME, at("client")),
        15: Socket("udp", HOME, at("udp")),
        16: Socket("udp", HOME, at("connected"), HOME, at("udp")),
    }
    return Network(sockets=sockets, **more)  # type: ignore[arg-type]


NET = network(PORTS)


def on_stack(data: bytes, size: int = 40) -> str:
    """Put bytes at R10 - size, as the program's byte order has its stores: for both, byte by byte."""
    return "".join(f"*(u8 *)(r10 - {size - at}) = {byte};" for at, byte in enumerate(data.ljust(size, b"\0")))


def named(source: str, to: str, sport: int, dport: int) -> bytes:
    """A struct bpf_sock_tuple."""
    ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    return ip_address(source).packed + ip_address(to).packed + ports


def lookup(helper: int, wanted: bytes, then: str = "r0 = 1", netns: int = -1, flags: int = 0) -> str:
    """Look a socket up; with R7 = the socket do something that gives R0; release it. R0 = 0 where there is none."""
    return f"""r6 = r1; {on_stack(wanted)} r1 = r6; r2 = r10; r2 += -40; r3 = {len(wanted)}; r4 = {netns}
        r5 = {flags}; call {helper}; if r0 == 0 goto out; r7 = r0; {then}; r8 = r0; r1 = r7; call 86; r0 = r8
        out: exit"""


def lookups(ports: dict[str, int]) -> dict[str, tuple[int, bytes]]:
    """What is looked up: helper, and the tuple."""
    at = ports.__getitem__
    return {
        "a listener": (84, named(HOME, HOME, 5, at("listener"))),
        "a connection": (84, named(HOME, HOME, at("client"), at("listener"))),
        "its other end": (84, named(HOME, HOME, at("listener"), at("client"))),
        "a listener of any address": (84, named("1.2.3.4", "9.9.9.9", 5, at("any"))),
        "a listener of IPv6": (84, named(SIX, SIX, 5, at("six"))),
        "IPv4 at a listener of IPv6": (84, named(HOME, HOME, 5, at("six"))),
        "IPv6 at a listener of IPv4": (84, named(SIX, SIX, 5, at("any"))),
        "another address": (84, named(HOME, "127.0.0.2", 5, at("listener"))),
        "UDP": (85, named(HOME, HOME, 5, at("udp"))),
        "UDP that is connected": (85, named(HOME, HOME, at("udp"), at("connected"))),
        "UDP that is connected to another": (85, named(HOME, HOME, at("udp") + 1, at("connected"))),
        "TCP by UDP": (85, named(HOME, HOME, 5, at("listener"))),
        "a size that no tuple has": (84, named(HOME, HOME, 5, at("listener"))[:11]),
    }


FOUND = {
    "a listener", "a connection", "its other end", "a listener of any address", "a listener of IPv6",
    "IPv4 at a listener of IPv6", "UDP", "UDP that is connected",
}  # fmt: skip
FIELDS = ((0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 4), (24, 4), (36, 4), (40, 4), (44, 4), (48, 2), (52, 4),
          (68, 4), (72, 4))  # fmt: skip
"""Offset and size of the fields of a struct bpf_sock that follow from what made the socket."""

FLAGS = {"fullsock": 95, "get_listener_sock": 98, "tcp_sock": 96}


def asked(helper: int) -> str:
    """1 if a helper gives something for socket R7."""
    return f"r1 = r7; call {helper}; if r0 == 0 goto none; r0 = 1; none: r2 = 0"


# Tunnels -----------------------------------------------------------------------------------------------

_BUFFER = "r6 = r1;" + "".join(f"*(u64 *)(r10 - {at}) = 0;" for at in range(8, 72, 8))
_FILLED = f"""{_BUFFER} *(u32 *)(r10 - 64) = 0x1234; *(u32 *)(r10 - 60) = 0x0a000001; *(u8 *)(r10 - 44) = 4
    *(u8 *)(r10 - 43) = 9; *(u32 *)(r10 - 36) = 0x0a000002;"""


def _key(number: int, size: int = 44, flags: int = 0) -> str:
    return f"r1 = r6; r2 = r10; r2 += -64; r3 = {size}; r4 = {flags}; call {number};"


def _options(number: int, size: int) -> str:
    return f"r1 = r6; r2 = r10; r2 += -64; r3 = {size}; call {number};"


def _tc(body: str, r0: int, big: int | None = None) -> Typed:
    return Typed("sched_cls", f"{body} exit", r0, big)


_SET = _FILLED + _key(21)
TUNNELS: dict[str, Typed] = {
    "no tunnel": _tc(_BUFFER + _key(20), EINVAL),
    "set": _tc(_SET, 0),
    "what was remote is local": _tc(_SET + _key(20) + "r0 = *(u32 *)(r10 - 36);", 0x0A00_0001),
    "what was local is remote": _tc(_SET + _key(20) + "r0 = *(u32 *)(r10 - 60);", 0x0A00_0002),
    "number": _tc(_SET + _key(20) + "r0 = *(u32 *)(r10 - 64);", 0x1234),
    "tos and ttl": _tc(_SET + _key(20) + "r0 = *(u8 *)(r10 - 44); r0 <<= 8; r1 = *(u8 *)(r10 - 43); r0 |= r1;", 0x409),
    **{
        f"flags {flags:#x}": _tc(
            _FILLED + _key(21, 44, flags) + _key(20, 44, 16 | flags & 1) + "r0 = *(u16 *)(r10 - 42); r0 = be16 r0;", its
        )
        for flags, its in ((0, 0x2005), (1, 0x2005), (2, 0x2004), (4, 0x2105), (8, 0x200D), (16, 0x2001), (32, 0))
    },
    "unknown flags": _tc(_FILLED + _key(21, 44, 32), EINVAL),
    **{f"size {size}": _tc(_FILLED + _key(21, size), 0) for size in (44, 28, 24, 22, 8)},
    "no such size": _tc(_FILLED + _key(21, 43), EINVAL),
    "read less": _tc(_SET + _key(20, 8) + "r0 = *(u32 *)(r10 - 60);", 0x0A00_0002),
    "read a size that there is not": _tc(_SET + _key(20, 9), EINVAL),
    "IPv6 of IPv4": _tc(_SET + _key(20, 44, 1), EPROTO),
    "flags of a reading": _tc(_SET + _key(20, 44, 2), EINVAL),
    "a label of IPv4": _tc(_FILLED + "*(u32 *)(r10 - 40) = 5;" + _key(21), EINVAL),
    "a label of IPv6": _tc(
        _FILLED + "*(u32 *)(r10 - 40) = 0x512345;" + _key(21, 44, 1) + _key(20, 44, 1) + "r0 = *(u32 *)(r10 - 40);",
        0x12345,
    ),
    "no options": _tc(_SET + _options(29, 8), ENOENT),
    "options without a tunnel": _tc(_BUFFER + _options(30, 8), EINVAL),
    "options": _tc(_SET + _options(30, 8) + _BUFFER.removeprefix("r6 = r1;") + _options(29, 8) + "r7 = r0;"
        "r0 = *(u32 *)(r10 - 64); r0 += r7;", 0x123C),
    "options have less room": _tc(_SET + _options(30, 8) + _options(29, 4), ENOMEM),
    "options have more room": _tc(_SET + _options(30, 8) + _options(29, 16), 8),
    "options of an odd size": _tc(_SET + _options(30, 7), EINVAL),
    "flags of options": _tc(_SET + _options(30, 8) + _key(20, 44, 16) + "r0 = *(u16 *)(r10 - 42); r0 = be16 r0;",
        0xF805),
    "another tunnel has no options": _tc(_SET + _options(30, 8) + _key(21) + _options(29, 8), ENOENT),
    "lwt_xmit has a tunnel": Typed("lwt_xmit", f"{_SET} exit", 0),
}  # fmt: skip

CAME = Tunnel(7, "10.0.0.1", "10.0.0.2", 1, 33, options=("geneve", b"\1\2\3\4"))
RECEIVED: dict[str, Typed] = {
    "number of what came": _tc(_BUFFER + _key(20) + "r0 = *(u32 *)(r10 - 64);", 7),
    "who sent it": _tc(_BUFFER + _key(20) + "r0 = *(u32 *)(r10 - 60);", 0x0A00_0001),
    "its options": _tc(_BUFFER + _options(29, 4) + "r0 = *(u32 *)(r10 - 64);", 0x04030201, 0x01020304),
    "its options are not set": _tc(_BUFFER + _options(30, 4), EINVAL),
}

# Room for the headers of a tunnel, times of sending ------------------------------------------------------


def room(change: int, mode: int, flags: int) -> str:
    """A call of skb_adjust_room; R6 is the context."""
    return f"r1 = r6; r2 = {change}; r3 = {mode}; r4 = {flags:#x} ll; call 50;"


_PROTOCOL = "r0 = *(u16 *)(r6 + 16); r0 = be16 r0;"
EALREADY = -114 & M64


def _room(body: str, r0: int) -> Typed:
    return Typed("sched_cls", f"r6 = r1; {body} exit", r0)


ROOMS: dict[str, Typed] = {
    "IPv6 around IPv4": _room(room(40, 1, 4) + _PROTOCOL, 0x86DD),
    "IPv4 around IPv4": _room(room(20, 1, 2) + _PROTOCOL, 0x0800),
    "both": _room(room(40, 1, 6), EINVAL),
    "GRE and UDP": _room(room(40, 1, 2 | 8 | 16), EINVAL),
    "a link of nothing": _room(room(40, 1, 2 | 64), EINVAL),
    "a link": _room(room(40, 1, 2 | 64 | 14 << 56), 0),
    "a link that is too long": _room(room(20, 1, 2 | 30 << 56), EINVAL),
    "twice": _room(room(20, 1, 2) + room(20, 1, 2), EALREADY),
    "once, then plain room": _room(room(20, 1, 2) + room(20, 1, 0), 0),
    "less room for a tunnel": _room(room(-8, 1, 2), EINVAL),
    "less room, after a tunnel": _room(room(20, 1, 2) + room(-20, 1, 0), 0),
    "less room, for IPv6": _room(room(40, 1, 4) + room(-20, 1, 4), EINVAL),
}


def _time(time: int, clock: int, then: str = "") -> str:
    return f"r1 = r6; r2 = {time}; r3 = {clock}; call 192; {then}"


TIMES: dict[str, Typed] = {
    "real time": _room(_time(5, 0, "r0 = *(u64 *)(r6 + 152);"), 5),
    "a clock": _room(_time(5, 2, "r0 = *(u8 *)(r6 + 180);"), 2),
    "no time": _room(_time(0, 1), EINVAL),
    "no clock": _room(_time(5, 3), EINVAL),
}

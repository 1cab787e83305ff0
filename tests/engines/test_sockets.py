"""Sockets that are described are found, and tunnels set, alike on all engines; and as the live kernel has them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from bpf.errors import NotHere
from bpf.object import load
from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from crossbpf import cc
from engines import ENGINES, Options
from engines.linux import LinuxEngine
from runtime.permission import ROOT, may_load
from tests.engines import socket_programs as programs
from tests.engines.socket_programs import FIELDS, FLAGS, FOUND, NET, PORTS, RECEIVED, TUNNELS, Typed, asked, lookup
from tests.engines.typed import FRAME
from tests.live_kernel import live
from vm.network import Network, Sent, Transform
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, Sysctl, World


def everywhere(kind: str, text: str, order: str, net: Network = NET, plan: str = "high", **given: object) -> Outcome:
    """What the interpreter says, and all other engines too."""
    unit = Unit((assemble(text, order=order),), convention=TYPED[kind], plan=PLANS[plan])
    entry = Input(packet=FRAME, **given)  # type: ignore[arg-type]
    expected = ENGINES["interpreter"].prepare(unit).run(entry, World(net=net), Limits())
    for engine in ENGINES.values():
        if order in engine.abilities.orders:
            outcome = engine.prepare(unit, Options(observe=True)).run(entry, World(net=net), Limits())
            assert not difference(expected, outcome), engine.name
    return expected


def alone(kind: str, text: str, net: Network = NET, order: str = "little", **given: object) -> Outcome:
    """What the interpreter says."""
    unit = Unit((assemble(text, order=order),), convention=TYPED[kind])
    entry = Input(packet=FRAME, **given)  # type: ignore[arg-type]
    return ENGINES["interpreter"].prepare(unit).run(entry, World(net=net), Limits())


@pytest.mark.parametrize("name", programs.lookups(PORTS))
def test_lookups(name: str) -> None:
    helper, wanted = programs.lookups(PORTS)[name]
    for order in ("little", "big"):
        outcome = everywhere("xdp", lookup(helper, wanted), order)
        assert (outcome.status, outcome.r0) == ("done", int(name in FOUND))
    assert alone("sched_cls", lookup(helper, wanted)).r0 == int(name in FOUND)


@pytest.mark.parametrize("name", [*TUNNELS, *RECEIVED])
def test_tunnels(name: str) -> None:
    case = TUNNELS[name] if name in TUNNELS else RECEIVED[name]
    net = replace(NET, tunnel=programs.CAME) if name in RECEIVED else NET
    for order in ("little", "big"):
        outcome = (
            everywhere(case.type, case.text, order, net)
            if "flags" not in name
            else alone(case.type, case.text, net, order)
        )
        assert (outcome.status, hex(outcome.r0)) == ("done", hex(case.result(order)))


@live
@pytest.mark.parametrize("name", TUNNELS)
def test_tunnels_on_the_live_kernel(name: str) -> None:
    case = TUNNELS[name]
    assert kernel(case).r0 & 0xFFFF_FFFF == case.result(sys.byteorder) & 0xFFFF_FFFF


def kernel(case: Typed) -> Outcome:
    unit = Unit((assemble(case.text, order=sys.byteorder),), convention=TYPED[case.type])
    return LinuxEngine().prepare(unit).run(Input(packet=FRAME), World(), Limits())


@pytest.mark.parametrize("name", [*programs.ROOMS, *programs.TIMES])
def test_room_and_times(name: str) -> None:
    case = {**programs.ROOMS, **programs.TIMES}[name]
    assert hex(alone(case.type, case.text, order="big").r0) == hex(case.r0)
    outcome = everywhere(case.type, case.text, "little")
    assert (outcome.status, hex(outcome.r0)) == ("done", hex(case.r0))


@live
@pytest.mark.parametrize("name", [*programs.ROOMS, *programs.TIMES])
def test_room_and_times_on_the_live_kernel(name: str) -> None:
    case = {**programs.ROOMS, **programs.TIMES}[name]
    outcome = kernel(case)
    assert outcome.r0 & 0xFFFF_FFFF == case.r0 & 0xFFFF_FFFF
    assert outcome.packet == alone(case.type, case.text, order=sys.byteorder).packet


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """Real sockets as socket_programs.network describes them."""
    with ExitStack() as stack:

        def made(family: int, kind: int, host: str) -> socket.socket:
            found = stack.enter_context(socket.socket(family, kind))
            found.bind((host, 0))
            return found

        tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
        listener, any_ = made(socket.AF_INET, tcp, "127.0.0.1"), made(socket.AF_INET, tcp, "0.0.0.0")
        six, one, other = made(socket.AF_INET6, tcp, "::"), made(socket.AF_INET, udp, "127.0.0.1"), socket.AF_INET
        for each in (listener, any_, six):
            each.listen()
        client, connected = made(other, tcp, "127.0.0.1"), made(other, udp, "127.0.0.1")
        client.connect(listener.getsockname())
        stack.enter_context(listener.accept()[0])
        connected.connect(one.getsockname())
        every = {"listener": listener, "any": any_, "six": six, "client": client, "udp": one, "connected": connected}
        yield {name: each.getsockname()[1] for name, each in every.items()}


@live
@pytest.mark.parametrize("name", programs.lookups(PORTS))
def test_lookups_on_the_live_kernel(name: str, ports: dict[str, int]) -> None:
    helper, wanted = programs.lookups(ports)[name]
    net = programs.network(ports)
    does = [f"r0 = *(u{8 * size} *)(r7 + {at})" for at, size in FIELDS] if name in FOUND else ["r0 = 1"]
    for then in (*does, *(asked(number) for number in FLAGS.values())):
        text = lookup(helper, wanted, then)
        there = kernel(Typed("sched_cls", text, 0)).r0
        assert alone("sched_cls", text, net, sys.byteorder).r0 & 0xFFFF_FFFF == there & 0xFFFF_FFFF, then


def test_the_queue_of_a_socket() -> None:
    """Not compared with the live kernel: whether a connection over lo has recorded queue 0 or none is chance there."""
    helper, wanted = programs.lookups(PORTS)["a connection"]
    for order in ("little", "big"):
        assert everywhere("sched_cls", lookup(helper, wanted, "r0 = *(u32 *)(r7 + 76)"), order).r0 == 0xFFFF_FFFF


@pytest.mark.parametrize("order", ["little", "big"])
def test_where_a_packet_goes(order: str) -> None:
    helper, wanted = programs.lookups(PORTS)["a listener"]
    text = lookup(helper, wanted, "r1 = r6; r2 = r7; r3 = 0; call 124")
    outcome = everywhere("sched_cls", text, order)
    assert (outcome.r0, outcome.sent) == (0, (Sent("sk_assign", socket=10),))
    assert str(Sent("sk_assign", socket=10)) == "redirected to socket 10"


def test_a_cookie_and_a_cgroup() -> None:
    helper, wanted = programs.lookups(PORTS)["a listener"]
    assert alone("cgroup_skb", lookup(helper, wanted, "r1 = r7; call 128")).r0 == NET.cgroup
    assert alone("cgroup_skb", lookup(helper, wanted, "r1 = r7; r2 = 0; call 129")).r0 == NET.cgroup
    assert alone("cgroup_skb", lookup(helper, wanted, "r1 = r7; r2 = 7; call 129")).r0 == 0
    assert alone("cgroup_skb", "call 46; exit").r0 == NET.cookie
    own = replace(NET, cookie=13)
    text = (
        "r6 = r1; r1 = *(u64 *)(r6 + 168); r0 = 0; if r1 == 0 goto out; r0 = *(u32 *)(r1 + 44); out: r7 = r0; r1 = r6"
    )
    assert alone("cgroup_skb", f"{text}; call 46; r0 <<= 16; r0 |= r7; exit", own).r0 == 13 << 16 | PORTS["client"]


@pytest.mark.parametrize("kind", ["xdp", "sched_cls", "socket_filter"])
def test_a_class_of_the_packet_or_the_task(kind: str) -> None:
    assert alone(kind, "r1 = 7; call 17; exit", replace(NET, classid=5)).r0 == 5


def test_what_is_no_socket_is_a_fault() -> None:
    outcome = alone("xdp", "r1 = 8; call 86; exit")
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.address) == ("socket", 8)


def syn(flags: int, number: int, acknowledged: int = 0) -> bytes:
    ports = (1000).to_bytes(2, "big") + PORTS["listener"].to_bytes(2, "big")
    return ports + number.to_bytes(4, "big") + acknowledged.to_bytes(4, "big") + bytes((0x50, flags)) + bytes(6)


def cookies(tcp: bytes, helper: int, net: Network, who: str = "a listener", version: int = 0x45) -> int:
    """A SYN cookie of a socket for the headers, or whether one is right."""
    helper_of, wanted = programs.lookups(PORTS)[who]
    ip = bytes((version,)) + bytes(11) + bytes((127, 0, 0, 1)) * 2
    text = programs.on_stack(ip + tcp, 80).replace("r10 - ", "r10 - ")
    then = f"{text} r1 = r7; r2 = r10; r2 += -80; r3 = 20; r4 = r10; r4 += -60; r5 = 20; call {helper}"
    return alone("xdp", lookup(helper_of, wanted, then), net).r0


def test_syn_cookies_of_a_listener() -> None:
    flooded = replace(NET, sockets={**NET.sockets, 10: replace(NET.sockets[10], flooded=True)})
    made = cookies(syn(2, 77), 110, flooded)
    assert made >> 32 == 536
    answer = syn(16, 78, (made + 1) & 0xFFFF_FFFF)
    assert cookies(answer, 100, flooded) == 0
    enoent, einval, unsupported = (n & (1 << 64) - 1 for n in (-2, -22, -93))
    assert cookies(syn(16, 78, made + 99 & 0xFFFF_FFFF), 100, flooded) == enoent
    assert cookies(syn(2, 77), 100, flooded) == enoent  # no ACK
    assert cookies(syn(18, 77), 110, flooded) == einval
    assert cookies(syn(2, 77), 110, NET) == enoent
    assert cookies(answer, 100, NET) == enoent
    assert cookies(syn(2, 77), 110, flooded, "a connection") == einval
    assert cookies(syn(2, 77), 110, flooded, version=0x55) == unsupported
    assert cookies(syn(2, 77), 110, flooded, version=0x65) == einval


# Options, and what cgroups' programs do ----------------------------------------------------------------

OWN = replace(NET, cookie=13)
EINVAL, ENOENT, EPERM, ENOSPC, EEXIST, ENOMSG, EAFNOSUPPORT = (
    n & (1 << 64) - 1 for n in (-22, -2, -1, -28, -17, -42, -97)
)  # fmt: skip


def option(number: int, level: int, name: int, size: int = 4, context: str = "r6") -> str:
    return f"r1 = {context}; r2 = {level}; r3 = {name}; r4 = r10; r4 += -16; r5 = {size}; call {number};"


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("body", "r0"), [
    (option(49, 1, 36), 0),
    (option(49, 1, 36) + "*(u64 *)(r10 - 16) = 0;" + option(57, 1, 36) + "r0 = *(u32 *)(r10 - 16)", 7),
    (option(49, 1, 7) + option(57, 1, 7) + "r0 = *(u32 *)(r10 - 16)", 14),  # SO_SNDBUF
    (option(57, 6, 1) + "r0 = *(u32 *)(r10 - 16)", 0),
    (option(57, 6, 13, 6) + "r0 = *(u8 *)(r10 - 16)", ord("c")),  # cubic
    (option(49, 1, 36, 8), EINVAL),
    (option(49, 1, 3), EINVAL),
    (option(49, 41, 67), EINVAL),  # of a socket of IPv4
    (option(57, 99, 1) + "r0 = *(u32 *)(r10 - 16)", 0),
])  # fmt: skip
def test_options(body: str, r0: int, order: str) -> None:
    text = f"r6 = r1; w1 = 7; *(u32 *)(r10 - 16) = w1; *(u32 *)(r10 - 12) = 0; {body.rstrip(';')}; exit"
    for kind in ("sock_ops", "cgroup_sock_addr"):
        assert everywhere(kind, text, order, OWN).r0 == r0


def test_options_of_the_socket_in_a_context() -> None:
    text = f"r6 = r1; *(u64 *)(r10 - 16) = 3; r7 = *(u64 *)(r6 + 0); {option(49, 1, 12, context='r7')} r8 = r0"
    text += f"; *(u64 *)(r10 - 16) = 0; {option(57, 1, 12, context='r7')} r0 = *(u32 *)(r10 - 16); r0 += r8; exit"
    assert everywhere("cgroup_sockopt", text, "little", OWN).r0 == 3


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("address", "size", "r0"), [
    ((2, 4242, "10.0.0.9"), 16, 0), ((2, 4242, "10.0.0.9"), 15, EINVAL), ((1, 0, "10.0.0.9"), 16, EAFNOSUPPORT),
    ((10, 1, "10.0.0.9"), 16, EINVAL), ((2, 0, "10.0.0.9"), 1, EINVAL),
])  # fmt: skip
def test_bind(address: tuple[int, int, str], size: int, r0: int, order: str) -> None:
    family, port, host = address
    data = family.to_bytes(2, order) + port.to_bytes(2, "big") + ip_address(host).packed  # type: ignore[arg-type]
    text = f"r6 = r1; {programs.on_stack(data)} r1 = r6; r2 = r10; r2 += -40; r3 = {size}; call 64"
    assert everywhere("cgroup_sock_addr", f"{text}; exit", order, OWN).r0 == r0
    if not r0:
        read = "r6 = *(u64 *)(r6 + 64); r0 = *(u32 *)(r6 + 44); r0 <<= 8; r1 = *(u8 *)(r6 + 27); r0 |= r1"
        assert everywhere("cgroup_sock_addr", f"{text}; {read}; exit", order, OWN).r0 == 4242 << 8 | 9


@pytest.mark.parametrize("order", ["little", "big"])
def test_return_values(order: str) -> None:
    text = "r1 = -13; call 187; r6 = r0; call 186; r0 += r6; exit"
    assert everywhere("cgroup_sock_addr", text, order).r0 == -13 & (1 << 64) - 1
    outcome = everywhere("cgroup_sockopt", text, order)
    assert outcome.r0 == -13 & (1 << 64) - 1
    assert outcome.context is not None
    assert outcome.context["retval"] == -13 & 0xFFFF_FFFF


HEADER = bytes(12) + bytes((0x80, 2)) + bytes(6) + bytes((2, 4, 5, 0xB4, 1, 254, 4, 0x12, 0x34, 3, 3, 7))
"""A TCP header with a segment size, an experiment of number 0x1234, and a scale."""


def options(number: int, given: bytes, size: int = 0, flags: int = 0) -> str:
    size = size or len(given)
    return f"{programs.on_stack(given)} r1 = r6; r2 = r10; r2 += -40; r3 = {size}; r4 = {flags}; call {number}"


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("body", "op", "r0"), [
    (options(142, b"\2\0\0\0"), 15, 4),
    (options(142, b"\2\0\0\0") + "; r0 = *(u8 *)(r10 - 37)", 15, 0xB4),
    (options(142, b"\2\0\0"), 15, ENOSPC),
    (options(142, b"\x05\0\0\0"), 15, ENOMSG),
    (options(142, b"\xfe\4\x12\x34"), 15, 4),
    (options(142, b"\xfe\4\x12\x35"), 15, ENOMSG),
    (options(142, b"\xfe\3\x12\x34"), 15, EINVAL),
    (options(142, b"\1\0"), 15, EINVAL),
    (options(142, b"\2\0\0\0"), 14, EPERM),
    (options(142, b"\2\0\0\0", flags=1), 15, ENOENT),
    (options(143, b"\xfd\4\1\2"), 15, 0),
    (options(143, b"\xfe\4\x12\x34"), 15, EEXIST),
    (options(143, b"\xfd\4\1\2"), 14, EPERM),
    (options(143, b"\xfd\3\1"), 15, EINVAL),
    (options(143, b"\x05\x29".ljust(40, b"\0"), 40), 15, EINVAL),
    ("r1 = r6; r2 = 40; r3 = 0; call 144", 14, 0),
    ("r1 = r6; r2 = 41; r3 = 0; call 144", 14, ENOSPC),
    ("r1 = r6; r2 = 4; r3 = 0; call 144", 15, EPERM),
    ("r1 = r6; r2 = 4; r3 = 1; call 144", 14, EINVAL),
    ("r1 = r6; r2 = 0x81; call 59", 1, 0x80),
    ("r1 = r6; r2 = 3; call 59; r0 = *(u32 *)(r6 + 84)", 1, 3),
])  # fmt: skip
def test_tcp_options(body: str, op: int, r0: int, order: str) -> None:
    unit = Unit((assemble(f"r6 = r1; {body}; exit", order=order),), convention=TYPED["sock_ops"], plan=PLANS["fence"])
    entry = Input(packet=HEADER, network=0, context={"op": op})
    expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), Limits())
    assert (expected.status, hex(expected.r0)) == ("done", hex(r0))
    for engine in ENGINES.values():
        if order in engine.abilities.orders:
            outcome = engine.prepare(unit, Options(observe=True)).run(entry, World(), Limits())
            assert not difference(expected, outcome), engine.name
    if "call 143" in body and not r0:
        assert expected.packet == HEADER + b"\xfd\4\1\2"


OUTER = bytes.fromhex("4500001400000000402f0000 0a000001 0a000002".replace(" ", ""))


@pytest.mark.parametrize(("headers", "kind", "r0"), [
    (OUTER, 2, 0), (OUTER[:19], 2, EINVAL), (b"\x65" + OUTER[1:], 2, EINVAL), (b"\x15" + OUTER[1:], 2, EINVAL),
    (OUTER, 3, EINVAL), (b"\x60" + OUTER[1:] + bytes(20), 2, 0),
])  # fmt: skip
def test_headers_are_pushed(headers: bytes, kind: int, r0: int) -> None:
    text = f"r6 = r1; {programs.on_stack(headers)} r1 = r6; r2 = {kind}; r3 = r10; r3 += -40; r4 = {len(headers)}"
    outcome = everywhere("lwt_xmit", f"{text}; call 73; exit", "little")
    assert outcome.r0 == r0
    if not r0 and headers == OUTER:
        whole = OUTER[:10] + b"\x66\xb9" + OUTER[12:]  # with the checksum that was left out
        assert outcome.packet == FRAME[:14] + whole + FRAME[14:]


def test_segments_are_not_here() -> None:
    fault = alone("lwt_in", "r6 = r1; r2 = 0; r3 = r10; r3 += -8; *(u64 *)(r10 - 8) = 0; r4 = 8; call 73; exit").fault
    assert fault is not None
    assert fault.kind == "segments of lwt_push_encap"


def test_cgroups_of_packets() -> None:
    groups = Map("groups", "cgroup_array", 4, 4, 3)
    text = "r6 = r1; r2 = map[idx:0]; r3 = {0}; call 33; r7 = r0; r1 = r6; r2 = {0}; call 83; r0 <<= 8; r0 |= r7; exit"
    for index, r0 in ((0, 0x101), (1, 0x2A00)):
        program = replace(assemble(text.format(index)), maps=(groups,))
        unit = Unit((program,), (groups,), TYPED["sched_cls"])
        net, elements = replace(NET, cgroup=42), {"groups": ((0, 1), (1, 7))}
        outcome = (
            ENGINES["interpreter"]
            .prepare(unit)
            .run(Input(packet=FRAME), World(net=net, cgroups=(1, 42), elements=elements), Limits())
        )
        assert outcome.r0 == r0


# Settings, messages, IPsec -----------------------------------------------------------------------------


def setting(number: int, size: int, last: int = 0) -> str:
    """Ask for something of a setting into 16 bytes of the stack, which are full of 0xff."""
    return f"""r6 = r1; *(u64 *)(r10 - 16) = -1; *(u64 *)(r10 - 8) = -1; r1 = r6; r2 = r10; r2 += -16; r3 = {size}
        r4 = {last}; call {number}"""


NAME, CURRENT, NEW, SET = 101, 102, 103, 104
E2BIG = -7 & (1 << 64) - 1


@pytest.mark.parametrize(("body", "write", "r0", "first"), [
    (setting(NAME, 16), 0, 10, b"net/x/name\0"),
    (setting(NAME, 16, 1), 0, 4, b"name\0\xff"),
    (setting(NAME, 10), 0, E2BIG, b"net/x/nam\0"),
    (setting(CURRENT, 16), 0, 3, b"12\n" + bytes(13)),
    (setting(CURRENT, 3), 0, E2BIG, b"12\0\xff"),
    (setting(NEW, 16), 1, 2, b"34" + bytes(14)),
    (setting(NEW, 16), 0, EINVAL, bytes(16)),
    (setting(SET, 16), 0, EINVAL, b"\xff"),
    (setting(SET, 16), 1, 0, b"\xff"),
    (setting(SET, 3) + "; r1 = r6; r2 = r10; r2 += -16; r3 = 16; call 103", 1, 3, b"\xff\xff\xff" + bytes(13)),
])  # fmt: skip
def test_settings(body: str, write: int, r0: int, first: bytes) -> None:
    for order in ("little", "big"):
        unit = Unit((assemble(f"{body}; exit", order=order),), convention=TYPED["cgroup_sysctl"])
        world = World(sysctl=Sysctl("net/x/name", b"12\n", b"34"))
        for engine in ENGINES.values():
            if order in engine.abilities.orders:
                prepared = engine.prepare(unit, Options(observe=True))
                outcome = prepared.run(Input(context={"write": write}), world, Limits())
                assert (outcome.status, hex(outcome.r0)) == ("done", hex(r0)), engine.name
                assert outcome.regions is not None
                assert outcome.regions["stack"][-16:].startswith(first), engine.name


def test_messages() -> None:
    text = """r6 = r1; r2 = {0}; r3 = {1}; r4 = {2}; call 63; r7 = r0; r0 = *(u64 *)(r6 + 8); r1 = *(u64 *)(r6 + 0)
        r0 -= r1; r2 = *(u8 *)(r1 + 0); r0 <<= 8; r0 |= r2; if r7 == 0 goto out; r0 = r7; out: exit"""
    given = {"network": 0}
    assert everywhere("sk_msg", text.format(3, 7, 0), "little", **given).r0 == 4 << 8 | FRAME[3]
    for wrong in ((3, 7, 1), (7, 7, 0), (0, len(FRAME) + 1, 0)):
        assert alone("sk_msg", text.format(*wrong), **given).r0 == EINVAL
    assert alone("sk_msg", "r6 = r1; r2 = 5; call 61; r7 = r0; r1 = r6; r2 = 5; call 62; r0 |= r7; exit").r0 == 0


def test_transforms() -> None:
    net = replace(NET, transforms=(Transform("10.0.0.1", 0x1234, 7),))
    text = """r6 = r1; r2 = {0}; r3 = r10; r3 += -32; r4 = {1}; r5 = {2}; call 66; if r0 != 0 goto out
        r0 = *(u32 *)(r10 - 28); r0 = be32 r0; r1 = *(u32 *)(r10 - 32); r0 <<= 8; r0 |= r1; r1 = *(u16 *)(r10 - 24)
        r0 <<= 8; r0 |= r1; r1 = *(u8 *)(r10 - 17); r0 <<= 8; r0 |= r1; out: exit"""
    for order in ("little", "big"):
        outcome = everywhere("sched_cls", text.format(0, 28, 0), order, net)
        assert outcome.r0 == 0x1234 << 24 | 7 << 16 | 2 << 8 | 1
    for wrong in ((1, 28, 0), (0, 27, 0), (0, 28, 1)):
        assert alone("sched_cls", text.format(*wrong), net).r0 == EINVAL


@live
def test_no_transforms_on_the_live_kernel() -> None:
    text = "r2 = 0; r3 = r10; r3 += -32; r4 = 28; r5 = 0; call 66; exit"
    assert kernel(Typed("sched_cls", text, 0)).r0 & 0xFFFF_FFFF == EINVAL & 0xFFFF_FFFF


# C --------------------------------------------------------------------------------------------------------

SOURCE = Path(__file__).parents[1] / "data" / "types" / "sockets.c"
OF_C = {"only_served": ("xdp", 2), "steer": ("sched_cls", 0), "through_a_tunnel": ("sched_cls", 0),
        "from_here": ("cgroup_sock_addr", 1), "not_so": ("cgroup_sockopt", 1),
        "listens_to_retransmits": ("sock_ops", 1)}  # fmt: skip


@pytest.mark.parametrize("order", ["little", "big"])
def test_c_programs(order: str) -> None:
    try:
        data = cc.compile_c(SOURCE, order)
    except NotHere as error:
        pytest.skip(str(error))
    for name, (kind, r0) in OF_C.items():
        program = load(data, name=name)[0]
        may_load(ROOT, program, kind)
        unit = Unit((program,), program.maps, TYPED[kind])
        expected = ENGINES["interpreter"].prepare(unit).run(Input(packet=FRAME), World(net=NET), Limits())
        assert (expected.status, expected.r0) == ("done", r0), name
        for engine in ENGINES.values():
            if order in engine.abilities.orders:
                outcome = engine.prepare(unit).run(Input(packet=FRAME), World(net=NET), Limits())
                assert not difference(expected, outcome), (name, engine.name)


def test_structures_have_the_kernels_sizes(tmp_path: Path) -> None:
    sizes = {"bpf_sock_tuple": 36, "bpf_tcp_sock": 112, "bpf_tunnel_key": 44, "bpf_xfrm_state": 28,
             "bpf_redir_neigh": 20}  # fmt: skip
    places = {"bpf_tcp_sock.mss_cache": 28, "bpf_tcp_sock.bytes_received": 80, "bpf_tcp_sock.delivered": 100,
              "bpf_tunnel_key.tunnel_flags": 22, "bpf_tunnel_key.local_ipv6": 28}  # fmt: skip
    lines = [f'_Static_assert(sizeof(struct {name}) == {size}, "{name}");' for name, size in sizes.items()]
    for name, at in places.items():
        struct, field = name.split(".")
        lines.append(f'_Static_assert(__builtin_offsetof(struct {struct}, {field}) == {at}, "{name}");')
    path = tmp_path / "sizes.c"
    path.write_text("\n".join(["#include <linux/bpf.h>", *lines, "int f(void) { return 0; }", ""]))
    try:
        cc.compile_c(path, "little")
    except NotHere as error:
        pytest.skip(str(error))

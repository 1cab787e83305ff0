"""Sockets that are described are found, and tunnels set, alike on all engines; and as the live kernel has them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from bpf.plan import PLANS, Unit
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines import ENGINES, Options
from engines.linux import LinuxEngine, unavailable
from tests.engines import socket_programs as programs
from tests.engines.socket_programs import FIELDS, FLAGS, FOUND, NET, PORTS, RECEIVED, TUNNELS, Typed, asked, lookup
from tests.engines.typed import FRAME
from vm.network import Network, Sent
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

live = pytest.mark.skipif(bool(unavailable()), reason=f"no live kernel: {unavailable()}")


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

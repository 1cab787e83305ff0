"""Where packets go, what of them is sent to a reader, what a route says; who may call what; helpers in any order."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.spec.callers import callers
from bpf.spec.conventions import TYPED
from bpf.spec.helpers import KERNEL
from bpf.text import assemble
from engines import ENGINES, Options
from engines.linux import LinuxEngine
from tests.engines.typed import FRAME
from tests.live_kernel import live
from vm.network import BLACKHOLE, Device, Network, Route, Sent
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

M64 = (1 << 64) - 1
ENGINE_ORDERS = [(name, order) for name, engine in ENGINES.items() for order in sorted(engine.abilities.orders)]
each_engine = pytest.mark.parametrize(("engine", "order"), ENGINE_ORDERS)

DEVICES = Map("tx", "devmap", 4, 4, 4)
CPUS = Map("cpus", "cpumap", 4, 4, 4)
EVENTS = Map("events", "perf_event_array", 4, 4, 4)
NET = Network(
    devices={1: Device("lo", 65536), 2: Device("eth0", 1500, b"\2\0\0\0\0\2"), 3: Device("off", forwarding=False)},
    routes=(
        Route("10.0.0.0/8", 2, via="192.168.0.1", metric=7, source="192.168.0.9"),
        Route("10.1.0.0/16", 1), Route("10.2.0.0/16", kind=BLACKHOLE), Route("fd00::/8", 2),
    ),
    neighbours={(2, "192.168.0.1"): b"\2\0\0\0\0\1", (2, "fd00::1"): b"\2\0\0\0\0\3"},
)  # fmt: skip


def run(
    engine: str, order: str, kind: str, text: str, *maps: Map, world: World | None = None, frame: bytes = FRAME
) -> Outcome:
    unit = Unit((assemble(text, order=order),), maps, TYPED[kind])
    outcome = ENGINES[engine].prepare(unit, Options(observe=True)).run(Input(packet=frame), world or World(), Limits())
    assert outcome.status == "done", outcome.fault
    return outcome


def to_map(key: int, flags: int) -> str:
    return f"r1 = map[idx:0]; r2 = {key}; r3 = {flags}; call 51; exit"


@each_engine
def test_a_map_says_where_a_packet_goes(engine: str, order: str) -> None:
    def directed(map_: Map, key: int, flags: int) -> tuple[int, tuple[Sent, ...] | None]:
        world = World(net=NET, elements={map_.name: [(1, 2)]})
        outcome = run(engine, order, "xdp", to_map(key, flags), map_, world=world)
        return outcome.r0, outcome.sent

    assert directed(DEVICES, 1, 0) == (4, (Sent("redirect_map", 2, "tx", 1),))
    assert directed(DEVICES, 2, 0) == (0, ())
    assert directed(DEVICES, 2, 2) == (2, ())
    assert directed(DEVICES, 1, 32) == (0, ())
    assert directed(DEVICES, 2, 8) == (4, (Sent("redirect_map", 0, "tx", 2, 8),))
    assert directed(CPUS, 1, 0) == (4, (Sent("redirect_map", 0, "cpus", 1),))
    assert directed(CPUS, 1, 8) == (0, ())


@each_engine
def test_a_copy_is_sent_at_once(engine: str, order: str) -> None:
    text = "r6 = r1; r2 = 1; r3 = {}; call 13; r7 = r0; r1 = r6; r2 = 20; r3 = 0; call 38; r0 = r7; exit"
    outcome = run(engine, order, "sched_cls", text.format(1))
    assert (outcome.r0, outcome.packet) == (0, FRAME[:20])
    assert outcome.sent == (Sent("clone_redirect", 1, flags=1, packet=FRAME),)
    assert run(engine, order, "sched_cls", text.format(2)).r0 == -22 & M64
    assert run(engine, order, "sched_cls", text.format(0).replace("r2 = 1;", "r2 = 9;", 1)).r0 == -22 & M64


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (Sent("redirect", 3), "redirected to device 3"),
        (Sent("redirect", 3, flags=1), "redirected to device 3, coming in there"),
        (Sent("redirect_peer", 3), "redirected to the peer of device 3"),
        (Sent("redirect_neigh", 3), "redirected to device 3, by its neighbours"),
        (Sent("redirect_map", 3, "tx", 1), "redirected to tx[1], device 3"),
        (Sent("redirect_map", 0, "cpus", 1), "redirected to cpus[1]"),
        (Sent("redirect_map", 0, "tx", 1, 8), "redirected to all of tx"),
        (Sent("clone_redirect", 3, packet=FRAME), "a copy of 60 bytes sent to device 3"),
    ],
)
def test_in_words(sent: Sent, words: str) -> None:
    assert str(sent) == words


@each_engine
@pytest.mark.parametrize("kind", ["xdp", "sched_cls"])
def test_an_event_takes_bytes_of_the_packet_along(kind: str, engine: str, order: str) -> None:
    text = """
        r6 = r1; *(u64 *)(r10 - 8) = 0x0101; r2 = map[idx:0]; r3 = {} ll; r4 = r10; r4 += -8; r5 = 8; call 25; exit"""

    def event(size: int, more: int = 0) -> tuple[int, object]:
        outcome = run(engine, order, kind, text.format(more | size << 32 | 0xFFFF_FFFF), EVENTS)
        return outcome.r0, (outcome.maps or {})["events"]

    number = (0x0101).to_bytes(8, order)  # type: ignore[arg-type]
    assert event(0) == (0, (number,))
    assert event(14) == (0, (number + FRAME[:14],))
    assert event(60) == (0, (number + FRAME,))
    assert event(61) == (-14 & M64, ())
    assert event(14, 1 << 60) == (-22 & M64, ())


def lookup(family: int, device: int, address: bytes, flags: int = 0, length: int = 0, size: int = 64) -> str:
    """A program that looks a route up and returns the result; the parameters are the first 64 bytes of the packet."""
    stores = [f"*(u8 *)(r7 + {at}) = 0" for at in range(64)]
    stores += [f"*(u8 *)(r7 + 0) = {family}", f"*(u16 *)(r7 + 6) = {length}", f"*(u32 *)(r7 + 8) = {device}"]
    stores += [f"*(u8 *)(r7 + {32 + at}) = {byte}" for at, byte in enumerate(address)]
    return f"""r6 = r1; r7 = *(u32 *)(r6 + 76); {"; ".join(stores)}
        r1 = r6; r2 = r7; r3 = {size}; r4 = {flags}; call 69; exit"""


@each_engine
def test_routes(engine: str, order: str) -> None:
    def looked_up(*arguments: object, **more: int) -> tuple[int, bytes]:
        text = lookup(*arguments, **more)  # type: ignore[arg-type]
        outcome = run(engine, order, "sched_cls", text, world=World(net=NET), frame=bytes(80))
        return outcome.r0, outcome.packet or b""

    result, params = looked_up(2, 1, bytes((10, 9, 0, 1)))
    assert result == 0
    assert params[8:12] == (2).to_bytes(4, order)  # type: ignore[arg-type]
    assert params[12:16] == (7).to_bytes(4, order)  # type: ignore[arg-type]
    assert params[32:36] == bytes((192, 168, 0, 1))
    assert (params[52:58], params[58:64]) == (b"\2\0\0\0\0\2", b"\2\0\0\0\0\1")
    result, params = looked_up(2, 1, bytes((10, 9, 0, 1)), flags=16)
    assert (result, params[16:20]) == (0, bytes((192, 168, 0, 9)))
    assert looked_up(10, 1, bytes((0xFD, *bytes(14), 1)))[0] == 0
    assert looked_up(10, 1, bytes((0xFD, *bytes(14), 2)))[0] == 7
    assert looked_up(10, 1, bytes((0xFD, *bytes(14), 2)), flags=4)[0] == 0
    assert looked_up(2, 1, bytes((10, 1, 0, 1)))[0] == 7
    assert looked_up(2, 1, bytes((10, 2, 0, 1)))[0] == 1
    assert looked_up(2, 1, bytes((11, 2, 0, 1)))[0] == 4
    assert looked_up(2, 3, bytes((10, 9, 0, 1)))[0] == 5
    assert looked_up(2, 4, bytes((10, 9, 0, 1)))[0] == -19 & M64
    assert looked_up(2, 1, bytes((10, 9, 0, 1)), length=1501)[0] == 8
    assert looked_up(3, 1, b"")[0] == -97 & M64
    assert looked_up(2, 1, b"", size=63)[0] == -22 & M64
    assert looked_up(2, 1, b"", flags=64)[0] == -22 & M64


@pytest.mark.parametrize("number", [number for number, helper in KERNEL.items() if helper.typed])
def test_programs_of_other_types_are_refused(number: int) -> None:
    helper = KERNEL[number]
    program = assemble(f"call {number}; exit")
    for name, convention in TYPED.items():
        if name.partition(".")[0] in callers(number):
            assert Unit((program,), convention=convention)
        else:
            with pytest.raises(Refused, match=f"insn 0: program of this type cannot use helper bpf_{helper.name}#"):
                Unit((program,), convention=convention)
    with pytest.raises(Refused, match=f"cannot use helper bpf_{helper.name}#{number}"):
        Unit((program,))


@each_engine
def test_what_is_no_context_is_a_fault(engine: str, order: str) -> None:
    unit = Unit((assemble("r1 = 8; r2 = 0; call 44; exit", order=order),), convention=TYPED["xdp"])
    outcome = ENGINES[engine].prepare(unit).run(Input(packet=FRAME), World(), Limits())
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.pc, outcome.fault.address) == ("context", 2, 8)


def test_the_live_kernel_sends_no_copies() -> None:
    unit = Unit((assemble("r2 = 1; r3 = 0; call 13; exit", order=sys.byteorder),), convention=TYPED["sched_cls"])
    with pytest.raises(Refused, match="clone_redirect would send the packet through a device of this machine"):
        LinuxEngine().prepare(unit)


def test_a_frame_that_is_long_cannot_grow() -> None:
    frame = bytes(4000)
    for order in ("little", "big"):
        longer = run("interpreter", order, "xdp", "r2 = 1; call 65; exit", frame=frame)
        assert (longer.r0, longer.packet) == (-22 & M64, frame)
        shorter = run("interpreter", order, "xdp", "r2 = -1000; call 65; exit", frame=frame)
        assert (shorter.r0, shorter.packet) == (0, frame[:3000])


# Any order ---------------------------------------------------------------------------------------------

NEAR = st.integers(-300, 300)
LENGTHS = st.integers(0, 4200)
LONG = st.integers(2000, 4200)


def _skb_calls(tails: st.SearchStrategy[int], heads: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.one_of(
        tails.map("r2 = {}; r3 = 0; call 38".format),
        heads.map("r2 = {}; r3 = 0; call 43".format),
        st.tuples(st.sampled_from(("0x8100", "0x88a8")), st.integers(0, 0xFFFF)).map(
            lambda tag: f"r2 = {tag[0]}; r2 = be16 r2; r3 = {tag[1]}; call 18"
        ),
        st.just("call 19"),
        st.sampled_from(("0x86dd", "0x800")).map("r2 = {}; r2 = be16 r2; r3 = 0; call 31".format),
        st.tuples(NEAR, st.integers(0, 2), st.sampled_from((0, 1, 32, 128, 256))).map(
            lambda room: f"r2 = {room[0]}; r3 = {room[1]}; r4 = {room[2]}; call 50"
        ),
        st.tuples(st.integers(0, 90), st.integers(1, 8)).map(
            lambda to: f"r2 = {to[0]}; r3 = r10; r3 += -8; r4 = {to[1]}; r5 = 0; call 9"
        ),
        st.tuples(st.integers(0, 90), st.integers(1, 8), st.integers(0, 1)).map(
            lambda to: f"r2 = {to[0]}; r3 = r10; r3 += -16; r4 = {to[1]}; r5 = {to[2]}; call 68"
        ),
        st.tuples(st.sampled_from((10, 11)), st.integers(0, 70), st.sampled_from((2, 4))).map(
            lambda to: f"r2 = {to[1]}; r3 = 0x1234; r4 = 0x4321; r5 = {to[2]}; call {to[0]}"
        ),
        st.just("call 97"),
        st.tuples(st.sampled_from((0, -0x10_0000, -0x20_0000)), st.integers(0, 40)).map(
            lambda at: f"r0 = *(u16 *)skb[{sum(at)}]"
        ),
    )


def _xdp_calls() -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(st.sampled_from((44, 54, 65)), NEAR).map(lambda to: f"r2 = {to[1]}; call {to[0]}"),
        st.tuples(st.sampled_from((44, 54, 65)), st.integers(-8, 8).map(lambda n: 4 * n)).map(
            lambda to: f"r2 = {to[1]}; call {to[0]}"
        ),
        LENGTHS.map("r2 = {}; call 65".format),
        st.tuples(st.integers(0, 90), st.integers(1, 8)).map(
            lambda to: f"r2 = {to[0]}; r3 = r10; r3 += -8; r4 = {to[1]}; call 190"
        ),
        st.just("call 188"),
    )


def sequence(calls: list[str], result: int) -> str:
    """A program that makes calls and adds up what they return, and what was loaded."""
    body = "".join(f"r1 = r6; {call}; r7 *= 31; r7 += r0\n" for call in calls)
    fill = "r1 = 0x0102030405060708 ll; r1 = be64 r1; *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 16) = r1"
    ends = "r1 = *(u64 *)(r10 - 16); r1 = be64 r1; r7 += r1"
    return f"r6 = r1; r7 = {result}; {fill}\n{body}{ends}; r0 = r7; exit"


KINDS = {"sched_cls": _skb_calls(LENGTHS, LENGTHS), "xdp": _xdp_calls()}
LIVE = {"sched_cls": _skb_calls(LONG, st.integers(0, 90)), "xdp": _xdp_calls()}
"""Lengths that the kernel refuses for the headers' sake are left out: once it has taken a longer buffer, it believes
that there is a transport header, and where (skb_headers_offset_update moves one that was never set)."""


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_calls(kind: str, data: st.DataObject) -> None:
    text = sequence(data.draw(st.lists(KINDS[kind], min_size=1, max_size=12)), 1)
    plan = PLANS[data.draw(st.sampled_from(sorted(PLANS)))]
    for order in ("little", "big"):
        unit = Unit((assemble(text, order=order),), convention=TYPED[kind], plan=plan)
        expected = ENGINES["interpreter"].prepare(unit).run(Input(packet=FRAME), World(), Limits())
        assert expected.status == "done", expected.fault
        for name, engine in ENGINES.items():
            if order in engine.abilities.orders and not (name == "native" and plan.name == "kernel"):
                outcome = engine.prepare(unit, Options(observe=True)).run(Input(packet=FRAME), World(), Limits())
                assert not difference(expected, outcome), name


@live
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_calls_on_the_live_kernel(kind: str, data: st.DataObject) -> None:
    text = sequence(data.draw(st.lists(LIVE[kind], min_size=1, max_size=12)), 1)
    unit = Unit((assemble(text, order=sys.byteorder),), convention=TYPED[kind])
    expected = ENGINES["interpreter"].prepare(unit).run(Input(packet=FRAME), World(), Limits())
    outcome = LinuxEngine().prepare(unit).run(Input(packet=FRAME), World(), Limits())
    assert not (found := difference(expected, outcome)), found.what

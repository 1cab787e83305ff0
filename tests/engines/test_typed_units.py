"""Programs of a type with maps, callbacks and tail calls: the context goes everywhere, and pcs stay the source's."""

from __future__ import annotations

import sys

import pytest

from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines import ENGINES, Options
from engines.linux import LinuxEngine, unavailable
from engines.lockstep import lockstep
from engines.surroundings import judge
from tests.engines.typed import FRAME
from vm.outcome import Fault, difference
from vm.world import Input, Limits, World

ORDERS = ("little", "big")
COUNTS = Map("counts", "array", 4, 8, 4)
TABLE = Map("table", "prog_array", 4, 4, 2, programs=(1, -1))

COUNT = """
    r6 = r1; r1 = 2; *(u32 *)(r10 - 4) = r1; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1
    if r0 == 0 goto out; r2 = *(u32 *)(r6 + 4); r3 = *(u32 *)(r6 + 0); r2 -= r3
    r1 = *(u64 *)(r0 + 0); r1 += r2; *(u64 *)(r0 + 0) = r1; *(u64 *)(r10 - 16) = r1
    r1 = 3; *(u32 *)(r10 - 4) = r1; r1 = map[idx:0]; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0; call 2
    out: r0 = 2; exit"""
LOOPED = """
    *(u64 *)(r10 - 8) = r1; r1 = 5; r2 = func[f]; r3 = r10; r3 += -8; r4 = 0; call 181; r0 = 0; exit
    f: r6 = r1; r1 = *(u64 *)(r2 + 0); r2 = *(u32 *)(r1 + 8); r2 += r6; *(u32 *)(r1 + 8) = r2; r0 = 0; exit"""
FIRST = "r6 = *(u8 *)(r1 + 9); *(u32 *)(r1 + 52) = r6; r2 = map[idx:0]; r3 = 0; call 12; r0 = 1; exit"
SECOND = "r2 = *(u32 *)(r1 + 52); r3 = *(u8 *)(r1 + 10); r2 += r3; *(u32 *)(r1 + 32) = r2; r0 = 7; exit"
FAULTY = "r2 = *(u8 *)(r1 + 9); r2 = *(u8 *)(r1 + 10); r3 = 8; r0 = *(u64 *)(r3 + 0); exit"


def unit(order: str, name: str, *texts: str, maps: tuple[Map, ...] = ()) -> Unit:
    return Unit(tuple(assemble(text, order=order) for text in texts), maps, TYPED[name])


CASES = {
    "map": ("xdp", (COUNT,), (COUNTS,), {}),
    "callback": ("sched_cls", (LOOPED,), (), {"mark": 10}),
    "tail call": ("sched_cls", (FIRST, SECOND), (TABLE,), {"mark": 0x01020304}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ORDERS)
def test_they_agree(order: str, case: str) -> None:
    name, texts, maps, fields = CASES[case]
    bound, entry = unit(order, name, *texts, maps=maps), Input(packet=FRAME, context=fields)
    expected = ENGINES["interpreter"].prepare(bound).run(entry, World(), Limits())
    assert expected.status == "done"
    assert expected.context is not None
    if case == "map":
        assert expected.maps is not None
        values = expected.maps["counts"]
        assert isinstance(values, dict)
        assert {int.from_bytes(key, order): int.from_bytes(value, order) for key, value in values.items()} == {
            2: 60,
            3: 60,
        }
    elif case == "callback":
        assert expected.context["mark"] == 20
    else:
        assert (expected.r0, expected.context["priority"]) == (7, 5)
    for engine in ENGINES.values():
        if order in engine.abilities.orders:
            outcome = engine.prepare(bound, Options(observe=True)).run(entry, World(), Limits())
            assert not difference(expected, outcome), engine.name
    if order == sys.byteorder and not unavailable():
        outcome = LinuxEngine().prepare(bound).run(entry, World(), Limits())
        found = judge(LinuxEngine(), bound, expected, outcome, entry, World(), Limits())
        assert not found, found.what
        assert (outcome.r0, outcome.packet) == (expected.r0, FRAME)


@pytest.mark.parametrize("name", ENGINES)
def test_faults_and_traces_of_a_program_that_was_tail_called(name: str) -> None:
    (order, *_) = sorted(ENGINES[name].abilities.orders)
    bound, entry = unit(order, "sched_cls", FIRST, FAULTY, maps=(TABLE,)), Input(packet=FRAME)
    options = Options(observe=True)
    prepared = ENGINES[name].prepare(bound, options)
    assert prepared.run(entry, World(), Limits()).fault == Fault("read", 1, 3, 8)
    reference = ENGINES["interpreter"].prepare(bound, options)
    assert lockstep(reference, prepared, entry, World(), Limits()) is None
    start = len(bound.programs[0])
    assert [step.pc for step in prepared.trace(entry, World(), Limits())][-4:] == [start + n for n in range(4)]

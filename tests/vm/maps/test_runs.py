"""Maps in runs: addresses follow from the operations alone, contents outlive a run, misuse is a fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.errors import BadInput
from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.spec.layout import CACHE_LINE, CPUS, cpu_stride, stride
from bpf.spec.maps import RDONLY_PROG
from bpf.text import assemble
from vm.interpreter import Interpreter
from vm.maps import new_map
from vm.outcome import Fault, Outcome, difference
from vm.world import Input, Limits, World

HASH = Map("m", "hash", 4, 8, 8)
PLAN = PLANS["high"]
KEY = "*(u32 *)(r10 - 4) = 3; r2 = r10; r2 += -4"
VALUE = "*(u64 *)(r10 - 16) = 5; r3 = r10; r3 += -16; r4 = 0"
LOOKUP, UPDATE = f"r1 = map[idx:0]; {KEY}; call 1", f"r1 = map[idx:0]; {KEY}; {VALUE}; call 2"


def run(text: str, *maps: Map, world: World | None = None) -> Outcome:
    unit = Unit((assemble(text),), maps)
    return Interpreter(unit, unit.programs[0]).run(Input(), World() if world is None else world, Limits())


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


# Addresses -----------------------------------------------------------------------------------------


@given(order=st.permutations(range(8)), gone=st.integers(0, 7))
def test_deleting_and_making_again_gives_the_same_address(order: list[int], gone: int) -> None:
    state = new_map(HASH, "little")
    for number in order:
        state.put(key(number), bytes(8), 0, 0)
    before = {number: state.at(key(number), 0) for number in order}
    assert sorted(before.values()) == [8 * slot for slot in range(8)]  # type: ignore[type-var]
    state.remove(key(gone))
    assert state.at(key(gone), 0) is None
    state.put(key(gone), bytes(8), 0, 0)
    assert {number: state.at(key(number), 0) for number in order} == before


@given(first=st.sampled_from([1, 5, 8, 24]), slots=st.integers(1, 50))
def test_strides(first: int, slots: int) -> None:
    assert stride(first) % 8 == 0
    assert 0 <= stride(first) - first < 8
    assert cpu_stride(first, slots) % CACHE_LINE == 0
    assert cpu_stride(first, slots) >= slots * stride(first)


def test_a_value_of_each_cpu() -> None:
    percpu = Map("m", "percpu_array", 4, 8, 3)
    found = [run(f"{LOOKUP.replace('= 3', '= 2')}; exit", percpu, world=World(cpu=cpu)).r0 for cpu in range(CPUS)]
    assert found == [PLAN.values + 16 + cpu * 64 for cpu in range(CPUS)]
    with pytest.raises(BadInput, match="CPU 4 of a world with per-CPU maps"):
        run("r0 = 0; exit", percpu, world=World(cpu=CPUS))


def test_the_address_of_a_value_and_of_its_map() -> None:
    assert run(f"{UPDATE}; {LOOKUP}; exit", HASH).r0 == PLAN.values
    assert run("r0 = map[idx:1]; exit", HASH, Map("n", "hash", 4, 8, 8)).r0 == PLAN.handles + 16


# Worlds --------------------------------------------------------------------------------------------


def test_contents_outlive_a_run() -> None:
    world = World()
    assert run(f"{UPDATE}; exit", HASH, world=world).r0 == 0
    again = run(f"{LOOKUP}; r1 = *(u64 *)(r0 + 0); r1 += 1; *(u64 *)(r0 + 0) = r1; r0 = r1; exit", HASH, world=world)
    assert again.r0 == 6
    view = world.maps["m"].lookup(key(3))
    assert view is not None
    assert bytes(view) == (6).to_bytes(8, "little")
    view[0] = 9  # a view, not a copy
    assert run(f"{LOOKUP}; r0 = *(u64 *)(r0 + 0); exit", HASH, world=world).r0 == 9


def test_a_view_shows_what_a_later_run_does() -> None:
    world = World()
    array = Map("m", "array", 4, 8, 4)
    run("r0 = 0; exit", array, world=world)
    view = world.maps["m"].lookup(key(3))
    assert view is not None
    run(f"{UPDATE}; exit", array, world=world)
    assert bytes(view) == (5).to_bytes(8, "little")


def test_a_snapshot_holds_the_maps() -> None:
    world = World(elements={"m": [(1, 10), (2, 20)]})
    nothing = world.snapshot()
    run("r0 = 0; exit", HASH, world=world)
    before = world.snapshot()
    run(f"{UPDATE}; exit", HASH, world=world)
    assert len(world.maps["m"].contents()) == 3
    copy = world.copy()
    world.restore(before)
    assert world.maps["m"].contents() == {key(n): (10 * n).to_bytes(8, "little") for n in (1, 2)}
    assert len(copy.maps["m"].contents()) == 3
    world.restore(nothing)
    assert world.maps == {}


def test_a_map_that_is_declared_otherwise_is_a_new_one() -> None:
    world = World()
    run(f"{UPDATE}; exit", HASH, world=world)
    assert run(f"{LOOKUP}; exit", Map("m", "hash", 4, 8, 9), world=world).r0 == 0


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ((b"\1\2", 1), "a key of 2 bytes: map m has 4"),
        ((1, b"1"), "a value of 1 bytes: map m has 8"),
        ((1 << 32, 1), "too big"),
        ((1, 1 << 64), "too big"),
    ],
)
def test_elements_that_do_not_fit(element: tuple[int, int], words: str) -> None:
    with pytest.raises(BadInput, match=f"map m: an element cannot be put there: .*{words}"):
        run("r0 = 0; exit", HASH, world=World(elements={"m": [element]}))


def test_a_number_is_no_record() -> None:
    with pytest.raises(BadInput, match="values of a ringbuf have no size of their own, 1 must be given as bytes"):
        run("r0 = 0; exit", RING, world=World(elements={"m": [(0, 1)]}))


# Faults --------------------------------------------------------------------------------------------

QUEUE, RING = Map("m", "queue", 0, 8, 4), Map("m", "ringbuf", 0, 0, 4096)


@pytest.mark.parametrize(
    ("text", "map_", "fault"),
    [
        (f"r1 = 7; {KEY}; call 1; exit", HASH, ("map handle", 7)),
        (f"r1 = map[idx:0]; r1 += 1; {KEY}; call 1; exit", HASH, ("map handle", PLAN.handles + 1)),
        (f"r1 = map[idx:0]; r1 += 16; {KEY}; call 3; exit", HASH, ("map handle", PLAN.handles + 16)),
        (f"{LOOKUP}; exit", QUEUE, ("map operation", PLAN.handles)),
        ("r1 = map[idx:0]; r2 = r10; r2 += -8; r3 = 0; call 87; exit", HASH, ("map operation", PLAN.handles)),
        (f"{UPDATE}; exit", Map("m", "hash", 4, 8, 8, flags=RDONLY_PROG), ("map operation", PLAN.handles)),
        (f"{UPDATE}; exit", Map("m", "array", 4, 8, 8, readonly=True), ("map operation", PLAN.handles)),
        ("r1 = map[idx:0]; r2 = 0; call 1; exit", HASH, ("read", 0)),
        ("r1 = 5; r2 = 0; call 132; exit", RING, ("ringbuf record", 5)),
        (f"r1 = {PLAN.values + 16:#x} ll; r2 = 0; call 133; exit", RING, ("ringbuf record", PLAN.values + 16)),
        ("*(u64 *)(r10 - 8) = 0; r1 = r10; r1 += -8; call 93; r1 = r10; r1 += -8; call 93; exit", HASH,
         ("deadlock", PLAN.stack - 8)),
    ],
)  # fmt: skip
def test_what_no_verifier_would_let_through_is_a_fault(text: str, map_: Map, fault: tuple[str, int]) -> None:
    outcome = run(text, map_)
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.address) == fault


def test_read_only_values_cannot_be_written() -> None:
    outcome = run(f"{LOOKUP}; *(u64 *)(r0 + 0) = 1; exit", Map("m", "array", 4, 8, 8, flags=RDONLY_PROG))
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.address) == ("write", PLAN.values + 24)


def test_a_record_that_runs_over_the_end_is_in_one_piece() -> None:
    world = World()
    run("r0 = 0; exit", RING, world=world)
    ring = world.maps["m"]
    for size in (3000, 2000):
        offset = ring.reserve(size, 0)  # type: ignore[attr-defined]
        ring.store[offset : offset + size] = bytes([size & 0xFF]) * size
        assert ring.commit(offset)  # type: ignore[attr-defined]
        assert ring.consume() == [bytes([size & 0xFF]) * size]  # type: ignore[attr-defined]


# Outcomes ------------------------------------------------------------------------------------------


def outcome(**maps: object) -> Outcome:
    return Outcome("done", maps=maps)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        ({b"\1": b"\2"}, {b"\1": b"\3"}, "map m [01] is 03, expected 02"),
        ({b"\1": b"\2"}, {}, "map m has no key 01"),
        ({}, {b"\1": b"\2"}, "map m has a key 01, expected none"),
        ((b"\1",), (b"\2",), "map m [0] is 02, expected 01"),
        ((b"\1",), (), "map m has 0 values, expected 1"),
        ({b"\1": (b"\2", b"\3")}, {b"\1": (b"\2", b"\4")}, "map m [01] on CPU 1 is 04, expected 03"),
        ({b"\1": (b"\2", b"\3")}, {b"\1": (b"\2", None)}, ""),
        ({b"\1": b"\2", b"\3": b"\4"}, {b"\3": b"\4", b"\1": b"\2"}, ""),
    ],
)
def test_a_difference_names_map_and_key(left: object, right: object, words: str) -> None:
    assert difference(outcome(m=left), outcome(m=right)).what == words


def test_maps_that_one_side_does_not_show() -> None:
    found = difference(outcome(m={}), Outcome("done"))
    assert (found.what, found.skipped) == ("", ("maps",))


def test_faults_compare_too() -> None:
    fault = Fault("map handle", 0, 1, 7)
    assert difference(Outcome("fault", fault=fault), Outcome("fault", fault=fault)).what == ""


def test_maps_that_hold_the_same_are_two() -> None:
    text = f"{UPDATE}; {UPDATE.replace('idx:0', 'idx:1')}; {LOOKUP.replace('idx:0', 'idx:1')}; exit"
    assert run(text, HASH, Map("n", "hash", 4, 8, 8)).r0 == PLAN.values + 2 * 4096

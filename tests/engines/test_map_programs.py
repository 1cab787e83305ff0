"""Programs that work on maps: every engine gives the same results, addresses and contents.

The body of written programs is data: text, maps, what R0 and the maps are afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.spec.maps import NO_PREALLOC, WRONLY_PROG
from bpf.text import assemble
from engines import ENGINES, Options, engine
from engines.judging import trial
from jit.registry import TARGETS
from tests.engines.map_programs import KEYED, QUEUES, RING, Op, keyed_ops, program_text, queue_ops, ring_ops
from tests.live_kernel import live
from vm.outcome import Outcome, difference
from vm.world import Element, Input, Limits, World

ORDERS = ("little", "big")


def native() -> list[str]:
    """The host's CPU, where there is an engine for it."""
    try:
        engine("native").prepare(Unit((assemble("r0 = 0; exit", order=sys.byteorder),)))
    except Refused:
        return []
    return ["native"]


HOST = native()


def everywhere(text: str, maps: tuple[Map, ...], given: Input, world: World, plan: str, order: str) -> Outcome:
    """Run on the interpreter and on all machines of a byte order, twice in the same world; they agree."""
    unit = Unit((assemble(text, order=order),), maps, plan=PLANS[plan])
    one = world.copy()
    prepared = ENGINES["interpreter"].prepare(unit)
    runs = [prepared.run(given, one, Limits()) for _ in range(2)]
    machines = [name for name, target in TARGETS.items() if target.order == order]
    for name in (*machines, *(HOST if order == sys.byteorder and plan in ("low", "high") else ())):
        other = world.copy()
        compiled = engine(name).prepare(unit, Options(observe=True))
        for mine in runs:
            found = difference(mine, compiled.run(given, other, Limits()))
            assert not found, (name, found.what)
            assert found.decided
            assert found.skipped == ()
        assert other == one, name
    return runs[0]


@settings(max_examples=25, deadline=None)
@given(data=st.data(), map_=st.sampled_from((*KEYED, *QUEUES, RING)), plan=st.sampled_from(sorted(PLANS)))
def test_all_engines_agree(data: st.DataObject, map_: Map, plan: str) -> None:
    strategy = queue_ops() if map_ in QUEUES else ring_ops() if map_ == RING else keyed_ops(map_)
    ops: list[Op] = data.draw(strategy)
    cpu = data.draw(st.integers(0, 3))
    for order in ORDERS:
        everywhere(program_text(ops), (map_,), Input(bytes(8 * len(ops))), World(cpu=cpu), plan, order)


@dataclass(frozen=True)
class Case:
    """A written program. result: R0; left: map -> {key: value} of a map with keys, [values] of another, as numbers."""

    text: str
    maps: tuple[Map, ...]
    result: int
    left: Mapping[str, Mapping[int, object] | list[int]]
    given: Mapping[str, list[Element]] | None = None
    linux: bool = True


COUNT = """
    *(u32 *)(r10 - 4) = 3; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto make
    r1 = 1; lock *(u64 *)(r0 + 0) += r1; r0 = *(u64 *)(r0 + 0); exit
    make: *(u64 *)(r10 - 16) = 1; r1 = map[idx:0]; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 1; call 2; exit"""
HISTOGRAM = """
    r6 = 10
    again: r1 = r6; r1 &= 3; *(u32 *)(r10 - 4) = r1; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1
    if r0 == 0 goto next; r1 = *(u64 *)(r0 + 0); r1 += r6; *(u64 *)(r0 + 0) = r1
    next: r6 += -1; if r6 != 0 goto again
    r0 = r6; exit"""
ROUTE = """
    *(u32 *)(r10 - 8) = 32; *(u8 *)(r10 - 4) = 10; *(u8 *)(r10 - 3) = 1; *(u8 *)(r10 - 2) = 9; *(u8 *)(r10 - 1) = 9
    r1 = map[idx:0]; r2 = r10; r2 += -8; call 1; if r0 == 0 goto none; r0 = *(u32 *)(r0 + 0); none: exit"""
EVENTS = """
    r1 = map[idx:0]; r2 = 16; r3 = 0; call 131; if r0 == 0 goto none
    *(u64 *)(r0 + 0) = 1; *(u64 *)(r0 + 8) = 2; r6 = r0; r1 = map[idx:0]; r2 = 3; call 134; r7 = r0
    r1 = r6; r2 = 0; call 132
    *(u64 *)(r10 - 8) = 5; r1 = map[idx:0]; r2 = r10; r2 += -8; r3 = 8; r4 = 0; call 130; r0 += r7; exit
    none: r0 = -1; exit"""
BACKLOG = """
    *(u64 *)(r10 - 8) = 3; r1 = map[idx:0]; r2 = r10; r2 += -8; r3 = 0; call 87
    *(u64 *)(r10 - 8) = 0; r1 = map[idx:0]; r2 = r10; r2 += -8; call 88; r0 = *(u64 *)(r10 - 8); exit"""
OWN_CPU = """
    *(u32 *)(r10 - 4) = 0; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto none; *(u64 *)(r0 + 0) = 9
    r1 = map[idx:0]; r2 = r10; r2 += -4; r3 = 1; call 195; if r0 == 0 goto none; r0 = *(u64 *)(r0 + 0); none: exit"""
NESTED = """
    *(u32 *)(r10 - 4) = 1; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto none
    *(u64 *)(r10 - 16) = 6; r1 = r0; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0; call 2
    none: exit"""
ADDRESS = "r1 = map_value[idx:0][8]; r0 = *(u64 *)(r1 + 0); *(u64 *)(r1 + 0) = 7; exit"
LOCKED = """
    *(u32 *)(r10 - 4) = 0; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto none; r6 = r0
    r1 = r6; r1 += 8; call 93; r1 = *(u64 *)(r6 + 0); r1 += 5; *(u64 *)(r6 + 0) = r1; r1 = r6; r1 += 8; call 94
    r0 = *(u32 *)(r6 + 8); none: exit"""
SEEN = """
    *(u64 *)(r10 - 8) = 4; r1 = map[idx:0]; r2 = r10; r2 += -8; r3 = 0; call 87
    r1 = map[idx:0]; r2 = r10; r2 += -8; call 89; r6 = r0
    *(u64 *)(r10 - 8) = 5; r1 = map[idx:0]; r2 = r10; r2 += -8; call 89; r0 -= r6; exit"""
PERF = """
    *(u64 *)(r10 - 8) = 4; r2 = map[idx:0]; r3 = 0xffffffff ll; r4 = r10; r4 += -8; r5 = 8; call 25; r6 = r0
    r2 = map[idx:0]; r3 = 1; r4 = r10; r4 += -8; r5 = 8; call 25; r0 += r6; exit"""
_M64 = (1 << 64) - 1
_INNER = Map("inner", "array", 4, 8, 2)
CASES = {
    "count in a hash": Case(COUNT, (Map("m", "hash", 4, 8, 4),), 8, {"m": {3: 8}}, {"m": [(3, 7)]}),
    "make in a hash": Case(COUNT, (Map("m", "hash", 4, 8, 4),), 0, {"m": {3: 1}}),
    "a full hash": Case(COUNT, (Map("m", "hash", 4, 8, 1),), -7 & _M64, {"m": {1: 1}}, {"m": [(1, 1)]}),
    "histogram in an array": Case(HISTOGRAM, (Map("m", "array", 4, 8, 4),), 0, {"m": {0: 12, 1: 15, 2: 18, 3: 10}}),
    "histogram in a short array": Case(HISTOGRAM, (Map("m", "array", 4, 8, 2),), 0, {"m": {0: 12, 1: 15}}),
    "count in a per-CPU hash": Case(COUNT, (Map("m", "percpu_hash", 4, 8, 4),), 0, {"m": {3: (1, 0, 0, 0)}}),
    "another CPU's value": Case(
        OWN_CPU, (Map("m", "percpu_array", 4, 8, 1),), 5, {"m": {0: (9, 5, 5, 5)}}, {"m": [(0, 5)]}
    ),
    "count in an LRU hash": Case(COUNT, (Map("m", "lru_hash", 4, 8, 64),), 0, {"m": {3: 1}}),
    "an LRU hash gives up its oldest": Case(
        COUNT, (Map("m", "lru_hash", 4, 8, 2),), 0, {"m": {2: 2, 3: 1}}, {"m": [(1, 1), (2, 2)]}, linux=False
    ),
    "longest prefix": Case(
        ROUTE, (Map("m", "lpm_trie", 8, 4, 4, flags=NO_PREALLOC),), 2, {}, linux=True,
    ),
    "records": Case(EVENTS, (Map("m", "ringbuf", 0, 0, 4096),), 24, {}),
    "a queue": Case(BACKLOG, (Map("m", "queue", 0, 8, 4),), 1, {"m": [2, 3]}, {"m": [(0, 1), (0, 2)]}),
    "a stack": Case(BACKLOG, (Map("m", "stack", 0, 8, 4),), 3, {"m": [1, 2]}, {"m": [(0, 1), (0, 2)]}),
    "an array of maps": Case(
        NESTED, (Map("m", "array_of_maps", 4, 4, 2, maps=(-1, 1), inner=_INNER), _INNER), 0, {"inner": {1: 6}}
    ),
    "the address of an array's value": Case(ADDRESS, (Map("m", "array", 4, 16, 1),), 0, {}),
    "a spin lock": Case(LOCKED, (Map("m", "array", 4, 16, 1, lock=8),), 0, {}, linux=False),
    "a bloom filter": Case(SEEN, (Map("m", "bloom_filter", 0, 8, 8),), -2 & _M64, {"m": [4]}, linux=False),
    "perf events": Case(PERF, (Map("m", "perf_event_array", 4, 4, 4),), -95 & _M64, {"m": [4]}, linux=False),
}  # fmt: skip


def world_of(case: Case, order: str) -> World:
    elements = dict(case.given or {})
    if "lpm" in case.maps[0].kind:
        prefixes = [(8, b"\x0a\0\0\0", 1), (16, b"\x0a\x01\0\0", 2), (24, b"\x0a\x02\0\0", 3)]
        elements["m"] = [(n.to_bytes(4, order) + data, value) for n, data, value in prefixes]  # type: ignore[arg-type]
    return World(elements=elements)


def numbers(contents: object, order: str) -> object:
    """Contents with numbers for bytes."""
    if isinstance(contents, bytes):
        return int.from_bytes(contents, order)  # type: ignore[arg-type]
    if isinstance(contents, Mapping):
        return {numbers(key, order): numbers(value, order) for key, value in contents.items()}
    assert isinstance(contents, tuple)
    return tuple(numbers(one, order) for one in contents)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", CASES)
def test_written_programs(name: str, plan: str) -> None:
    case = CASES[name]
    for order in ORDERS:
        outcome = everywhere(case.text, case.maps, Input(), world_of(case, order), plan, order)
        assert outcome.status == "done", outcome.fault
        assert outcome.r0 == case.result
        assert outcome.maps is not None
        for map_name, left in case.left.items():
            expected = tuple(left) if isinstance(left, list) else left
            assert numbers(outcome.maps[map_name], order) == expected


FIND = "*(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = map[idx:0]; call 1; r6 = r0; r1 = 7; r0 = 1; "


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("*(u64 *)(r6 + 0) = r1", ""),
        ("store_release((u64 *)(r6 + 0), r1)", ""),
        ("r0 = *(u8 *)(r6 + 7)", "read"),
        ("r0 = load_acquire((u64 *)(r6 + 0))", "read"),
        ("lock *(u64 *)(r6 + 0) += r1", "write"),
        ("r0 = atomic_cmpxchg((u64 *)(r6 + 0), r0, r1)", "write"),
        ("r1 = map[idx:0]; r2 = r6; call 1", "read"),
        ("*(u64 *)(r6 + 0) = r1; r0 = *(u64 *)(r6 + 0)", "read"),
        ("*(u64 *)(r6 + 0) = r1; lock *(u64 *)(r6 + 0) += r1", "write"),
        ("*(u32 *)(r6 + 4) = r1; r1 = atomic_fetch_or((u32 *)(r6 + 4), r1)", "write"),
    ],
)
def test_values_that_can_only_be_written(text: str, fault: str) -> None:
    maps = (Map("m", "array", 4, 8, 4, flags=WRONLY_PROG),)
    for order in ORDERS:
        outcome = everywhere(f"{FIND}{text}; exit", maps, Input(), World(), "fence", order)
        assert (outcome.fault.kind if outcome.fault else "") == fault
        assert bool((outcome.maps or {})["m"]) == (not fault or text.startswith("*"))
    if HOST:
        unit = Unit((assemble(f"{FIND}exit", order=sys.byteorder),), maps)
        with pytest.raises(Refused, match="can be written but not read"):
            engine("native").prepare(unit)


@live
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.linux])
def test_written_programs_on_the_live_kernel(name: str) -> None:
    case = CASES[name]
    world = world_of(case, sys.byteorder)
    unit = Unit((assemble(case.text, order=sys.byteorder),), case.maps)
    expected = ENGINES["interpreter"].prepare(unit).run(Input(), world.copy(), Limits())
    judged = trial(engine("linux"), unit, expected, Input(), world, Limits())
    assert (judged.found.what, judged.found.decided, judged.found.why) == ("", True, "")


def test_what_the_live_kernel_does_not_make_is_refused_by_name() -> None:
    for kind, words in (("bloom_filter", "chance hits"), ("perf_event_array", "no perf event")):
        case = next(case for case in CASES.values() if case.maps[0].kind == kind)
        with pytest.raises(Refused, match=f"map m: .*{words}"):
            engine("linux").prepare(Unit((assemble(case.text, order=sys.byteorder),), case.maps))

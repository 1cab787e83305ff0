"""Helpers in small programs: the interpreter, every target, the host's CPU and the live kernel give the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bpf.errors import NotHere, Refused
from bpf.object import load
from bpf.plan import Unit
from bpf.text import assemble
from crossbpf.cc import compile_c
from engines import ENGINES, Engine, Options, engine
from engines.judging import trial
from engines.linux import LinuxEngine
from jit.registry import TARGETS
from tests.engines.helper_programs import CASES, Case
from tests.live_kernel import live
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

M64 = (1 << 64) - 1
each_case = pytest.mark.parametrize("name", CASES)
OBSERVE = Options(observe=True)
LIMITS = Limits(instructions=100_000)


def unit_of(case: Case, order: str) -> Unit:
    return Unit((assemble(f"r9 = r1; {case.text}; exit", order=order),), case.maps)


def given(case: Case) -> Input:
    return Input(case.before.ljust(64, b"\0"))


def agree(one: Engine, unit: Unit, entry: Input, world: World) -> tuple[Outcome, World]:
    mine, other = world.copy(), world.copy()
    expected = ENGINES["interpreter"].prepare(unit, OBSERVE).run(entry, mine, LIMITS)
    found = difference(expected, one.prepare(unit, OBSERVE).run(entry, other, LIMITS))
    assert found.decided
    assert not found, found.what
    assert mine.snapshot() == other.snapshot()
    return expected, mine


@pytest.fixture(scope="module")
def cpu() -> Engine:
    try:
        found = engine("native")
        found.prepare(Unit((assemble("r0 = 0; exit", order=found.target.order),)))  # type: ignore[attr-defined]
    except Refused as reason:
        pytest.skip(str(reason))
    return found


@each_case
def test_programs(name: str) -> None:
    case = CASES[name]
    for target in TARGETS.values():
        outcome, _ = agree(ENGINES[target.name], unit_of(case, target.order), given(case), World(**case.world))
        assert outcome.status == "done", outcome.fault
        assert case.r0 is None or outcome.r0 == case.r0 & M64
        after = case.after
        if isinstance(after, int):
            after = (after & M64).to_bytes(8, target.order)
        if after is not None:
            assert (outcome.regions or {})["memory"].startswith(after)


@each_case
def test_programs_on_the_cpu(name: str, cpu: Engine) -> None:
    case = CASES[name]
    agree(cpu, unit_of(case, cpu.target.order), given(case), World(**case.world))  # type: ignore[attr-defined]


@live
@each_case
def test_programs_on_the_kernel(name: str) -> None:
    case = CASES[name]
    if case.here:
        pytest.skip(case.here)
    unit, kernel = unit_of(case, sys.byteorder), LinuxEngine()
    expected = ENGINES["interpreter"].prepare(unit, OBSERVE).run(given(case), World(), LIMITS)
    judged = trial(kernel, unit, expected, given(case), World(), LIMITS, options=OBSERVE)
    assert not judged.found, judged.found.what
    assert judged.found.decided, judged.found.why


def test_what_is_recorded() -> None:
    case = CASES["signal"]
    _, world = agree(ENGINES["s390x"], unit_of(case, "big"), given(case), World())
    assert world.signals == [("process", 10)]
    assert world.copy().signals == world.signals
    case = CASES["override"]
    _, world = agree(ENGINES["ppc64le"], unit_of(case, "little"), given(case), World())
    assert world.overridden == -5 & M64
    for name in ("signal", "override", "probe_write_user"):
        with pytest.raises(Refused, match=r"would (send|change)"):
            LinuxEngine().prepare(unit_of(CASES[name], sys.byteorder))


SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct value { long count; struct bpf_timer timer; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, int); __type(value, struct value); }
    values SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
long seen[4];

static int later(void *map, int *key, struct value *value)
{
    seen[0] = seen[0] * 10 + *key;
    value->count += 100;
    return 0;
}

static long add(void *map, int *key, struct value *value, long *sum)
{
    *sum += *key * value->count;
    return 0;
}

SEC("syscall")
long run(void *memory)
{
    struct bpf_dynptr record;
    char text[32] = "";
    long number = 0, sum = 0;

    for (int key = 1; key <= 3; key++) {
        struct value fresh = { .count = key }, *value;

        bpf_map_update_elem(&values, &key, &fresh, BPF_ANY);
        value = bpf_map_lookup_elem(&values, &key);
        if (!value)
            return -1;
        bpf_timer_init(&value->timer, &values, 1);
        bpf_timer_set_callback(&value->timer, later);
        bpf_timer_start(&value->timer, 10000 - 1000 * key, 0);
    }
    bpf_for_each_map_elem(&values, add, &sum, 0);
    seen[1] = BPF_SNPRINTF(text, sizeof(text), "%ld", (unsigned long long)(sum + 28));
    bpf_strtol(text, sizeof(text), 10, &number);
    seen[2] = number;
    if (!bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &record))
        bpf_dynptr_write(&record, 0, &number, sizeof(number), 0);
    bpf_ringbuf_submit_dynptr(&record, 0);
    return sum;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_program_in_c(order: str, tmp_path: Path) -> None:
    path = tmp_path / "helpers.c"
    path.write_text(SOURCE, encoding="utf-8")
    try:
        (prog,) = load(compile_c(path, order))
    except NotHere as reason:
        pytest.skip(str(reason))
    unit = Unit((prog,))
    for target in TARGETS.values():
        if target.order == order:
            outcome, world = agree(ENGINES[target.name], unit, Input(), World())
            assert (outcome.status, outcome.r0) == ("done", 14), outcome.fault
            seen = next(state for name, state in world.maps.items() if name.endswith("bss")).values
            assert [int.from_bytes(seen[at : at + 8], order) for at in (0, 8, 16)] == [321, 3, 42]  # type: ignore[arg-type]
            assert (outcome.maps or {})["ring"] == ((42).to_bytes(8, order),)  # type: ignore[arg-type]
            values = (outcome.maps or {})["values"]
            assert isinstance(values, Mapping)
            assert [value[:8] for value in values.values()] == [(100 + n).to_bytes(8, order) for n in (1, 2, 3)]  # type: ignore[arg-type]

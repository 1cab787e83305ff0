"""Helpers in small programs: the interpreter, every target, the host's CPU and the live kernel give the same."""

from __future__ import annotations

import sys

import pytest

from bpf.errors import Refused
from bpf.plan import Unit
from bpf.text import assemble
from engines import ENGINES, Engine, Options, engine
from engines.judging import trial
from engines.linux import LinuxEngine, unavailable
from jit.registry import TARGETS
from tests.engines.helper_programs import CASES, Case
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

M64 = (1 << 64) - 1
each_case = pytest.mark.parametrize("name", CASES)
OBSERVE = Options(observe=True)
LIMITS = Limits(instructions=100_000)
live = pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "the kernel is there")


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

"""The interpreter beside its instructions: limits, faults, poison, frames, exact mode."""

from __future__ import annotations

import pytest

from bpf.isa import ROW, ROWS, Kind, make
from bpf.plan import FRAME, PAGE, PLANS, POISON, Plan, Unit
from bpf.program import Map, program
from bpf.text import assemble
from vm.interpreter import Interpreter
from vm.outcome import Fault, Outcome
from vm.world import Input, Limits, World


def run(
    text: str, entry: Input | None = None, limits: Limits | None = None, plan: Plan = PLANS["high"],
    maps: tuple[Map, ...] = (), *, exact: bool = False, order: str = "little",
) -> Outcome:  # fmt: skip
    """One run of a program by its text, instructions separated by "; "."""
    prog = assemble(text.replace("; ", "\n"), order=order)
    unit = Unit((prog,), maps=maps, plan=plan)
    return Interpreter(unit, prog).run(entry or Input(), World(cpu=0), limits or Limits(), exact=exact)


@pytest.mark.parametrize("limit", [0, 1, 2, 10, 1000])
def test_limit(limit: int) -> None:
    outcome = run("r0 = 1; r0 += 1; goto -2", limits=Limits(instructions=limit))
    assert outcome.status == "limit"
    assert outcome.counts["instructions"] == limit
    assert (outcome.r0, outcome.registers, outcome.fault) == (0, None, None)


def test_a_program_may_use_all_of_its_limit() -> None:
    assert run("r0 = 1; exit", limits=Limits(instructions=2)).status == "done"
    assert run("r0 = 1; exit", limits=Limits(instructions=1)).status == "limit"


def test_the_limit_counts_every_kind() -> None:
    callee = "*(u64 *)(r10 - 8) = 1; lock *(u64 *)(r10 - 8) += r1; r1 = *(u64 *)(r10 - 8); exit"
    outcome = run(f"r0 = 1 ll; call pc+2; call 8; exit; {callee}")
    assert outcome.counts["instructions"] == 8


def test_poison() -> None:
    for register in range(1, 6):
        assert run(f"call 8; r0 = r{register}; exit").r0 == POISON + register
        assert run(f"call pc+2; r0 = r{register}; exit; r0 = 0; r{register} = 5; exit").r0 == POISON + register
    assert run("exit").r0 == POISON
    assert run("r0 = 1; call pc+1; exit; exit").r0 == POISON


def test_frames() -> None:
    """R6-R9 and R10 come back; a callee has a frame of its own right below."""
    outcome = run("r6 = 6; r9 = 9; call pc+2; r0 += r10; exit; r6 = 0; r9 = 0; r0 = r10; exit")
    stack = PLANS["high"].stack
    assert outcome.r0 == (stack + stack - FRAME) & (1 << 64) - 1
    assert outcome.registers is not None
    assert outcome.registers[6] == 6
    assert outcome.registers[9] == 9


@pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("r0 = 1; r0 = *(u32 *)(r10 - 2); exit", Fault("read", 0, 1, 0)),
        ("r0 = 1; *(u64 *)(r10 - 7) = r0; exit", Fault("write", 0, 1, 0)),
        ("lock *(u64 *)(r10 + 0) += r1; exit", Fault("write", 0, 0, 0)),
        ("r1 = r10; r1 += -1; r2 = 4; call 16; exit", Fault("write", 0, 3, 0)),
    ],
    ids=["load", "store", "atomic", "helper"],
)
def test_faults(plan: Plan, text: str, fault: Fault) -> None:
    outcome = run(text, plan=plan)
    assert outcome.status == "fault"
    assert outcome.fault == Fault(fault.kind, 0, fault.pc, plan.stack)
    assert (outcome.r0, outcome.registers) == (0, None)


def test_every_access_row_faults_at_its_own_pc() -> None:
    for row in ROWS:
        if row.kind not in (Kind.LOAD, Kind.STORE, Kind.ATOMIC):
            continue
        access = make(row, 3 if row.kind is not Kind.LOAD else 0, 3 if "src" in row.fields else 0)
        prog = program([make(ROW["mov64_imm"], 3, imm=0x40), access, make(ROW["exit"])])
        outcome = Interpreter(Unit((prog,)), prog).run(Input(), World(), Limits())
        assert outcome.fault == Fault("read" if row.kind is Kind.LOAD else "write", 0, 1, 0x40), row.name


def test_misaligned_atomics_are_unspecified() -> None:
    for text in ("lock *(u64 *)(r10 - 12) += r1; exit", "lock *(u32 *)(r10 - 6) += r1; exit"):
        assert run(text).status == "unspecified"


def test_compare_and_exchange_with_memory_that_is_read_only() -> None:
    """It faults when it would write; when not, machines differ."""
    maps = (Map("readonly", value_size=8, initial=bytes(8), readonly=True),)
    text = "r0 = {r0}; r0 = atomic64_cmpxchg((u64 *)(r3 + 0), r0, r4); exit"
    at = Unit((assemble("exit"),), maps=maps).map_regions[0].start
    entry = Input(registers={3: at})
    assert run(text.format(r0=0), entry, maps=maps).fault == Fault("write", 0, 1, at)
    assert run(text.format(r0=1), entry, maps=maps).status == "unspecified"
    nowhere = Input(registers={3: at + 8 * PAGE})
    assert run(text.format(r0=1), nowhere, maps=maps).fault == Fault("write", 0, 1, at + 8 * PAGE)
    narrow = "r0 = 1; r0 <<= 32; w0 = atomic_cmpxchg((u32 *)(r3 + 0), w0, w4); exit"
    assert run(narrow, entry, maps=maps).fault == Fault("write", 0, 2, at), "only 32 bits of R0 are compared"


@pytest.mark.parametrize("order", ["little", "big"])
def test_exact_mode_counts_overruns(order: str) -> None:
    """Accesses within the pages of a region but not within its bytes; the outcome is the same otherwise."""
    beyond = "r0 = *(u8 *)(r1 + 5); r0 = *(u16 *)(r1 + 4); *(u8 *)(r1 + 100) = 1"
    text = f"r0 = *(u8 *)(r1 + 4); {beyond}; r0 = *(u32 *)(r1 + 0); exit"
    entry = Input(bytes(5))
    exact, usual = run(text, entry, exact=True, order=order), run(text, entry, order=order)
    assert exact.counts["overruns"] == 3
    assert "overruns" not in usual.counts
    assert (exact.status, exact.r0, exact.regions) == (usual.status, usual.r0, usual.regions)
    assert exact.counts["instructions"] == usual.counts["instructions"]
    assert "overruns" not in run("r0 = *(u8 *)(r1 + 4); exit", entry, exact=True).counts


def test_exact_mode_sees_what_lies_before_a_region() -> None:
    """Under fence a region ends with its page, and the page's start is not the region's."""
    outcome = run("r0 = *(u8 *)(r1 - 1); exit", Input(bytes(5)), plan=PLANS["fence"], exact=True)
    assert outcome.status == "done"
    assert outcome.counts["overruns"] == 1


def test_exact_mode_keeps_to_its_limit() -> None:
    assert run("goto -1", limits=Limits(instructions=10), exact=True).counts["instructions"] == 10


def test_trace_shows_every_boundary() -> None:
    prog = assemble("r0 = 1\n*(u8 *)(r10 - 1) = 7\nr0 += 1\nexit")
    unit = Unit((prog,))
    steps = list(Interpreter(unit, prog).trace(Input(), World(), Limits()))
    assert [step.pc for step in steps] == [0, 1, 2, 3]
    assert [step.registers[0] for step in steps] == [POISON, 1, 1, 2]
    assert [step.writes for step in steps] == [(), (), ((unit.plan.stack - 1, b"\7"),), ()]

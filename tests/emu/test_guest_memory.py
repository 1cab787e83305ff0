"""Memory at its edges: every access of every size faults on a guest where it faults in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.plan import PAGE, PLANS, Plan, Unit
from bpf.program import Map, program
from jit.registry import TARGETS
from jit.target import Target
from tests.emu.native import MEMORY, assert_healthy, each_plan, each_target, emulated, reference, unit_of
from vm.outcome import Fault, Outcome, difference
from vm.world import Input, Limits, World

MAPS = (
    Map("writable", value_size=24, initial=bytes(range(24))),
    Map("readonly", value_size=32, initial=bytes(range(100, 108)) + bytes(24), readonly=True),
)
ACCESSES = [row for row in ROWS if row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC)]


@cache
def access(row: Row, order: str, plan: Plan) -> Unit:
    """One access through R3, of R4, and nothing else."""
    dst, src = (0, 3) if row.kind is Kind.LOAD else (3, 4)
    body: list[Insn | None] = [make(ROW["mov64_imm"], 0, imm=0)]
    body.append(make(row, dst, src if "src" in row.fields else 0, imm=-2 if "imm" in row.fields else 0))
    body.append(make(ROW["exit"]))
    return Unit((program(body, order=order, maps=MAPS),), plan=plan)


def edges(unit: Unit) -> dict[str, int]:
    """The addresses at which something begins or ends."""
    plan = unit.plan
    found = {
        "start of memory": plan.memory,
        "end of memory": plan.memory + PAGE,
        "lower edge of the stack": unit.stack.start,
        "top of the stack": plan.stack,
        "end of all addresses": 1 << 64,
    }
    for region in unit.map_regions:
        found[f"start of {region.name}"] = region.first_page
        found[f"end of {region.name}"] = region.first_page + region.mapped
    return found


def at_edges(row: Row, unit: Unit) -> Iterator[tuple[str, Input]]:
    """The access at every position across every edge; atomics where they are aligned."""
    size = row.width // 8
    for what, edge in edges(unit).items():
        for before in range(-1, size + 2):
            address = (edge - before) & (1 << 64) - 1
            if row.kind is not Kind.ATOMIC or address % size == 0:
                yield (
                    f"{row.name} {before} bytes before the {what}",
                    Input(MEMORY, {3: address, 4: 0x8182_8384_8586_8788}),
                )


@cache
def expected(row: Row, order: str, plan: Plan) -> list[Outcome]:
    """What the interpreter says, which is the same for all targets of a byte order."""
    unit = access(row, order, plan)
    prepared = reference(unit)
    return [prepared.run(entry, World(), Limits()) for _, entry in at_edges(row, unit)]


@each_target
@each_plan
def test_every_access_across_every_edge(target: Target, plan: Plan) -> None:
    failures = []
    faults = 0
    for row in ACCESSES:
        unit = access(row, target.order, plan)
        guest = emulated(unit, target)
        for (what, entry), right in zip(at_edges(row, unit), expected(row, target.order, plan), strict=True):
            found = difference(right, guest.run(entry, World(), Limits()))
            faults += right.status == "fault"
            if found:
                failures.append(f"{what}: {found.what}")
    assert faults > 500
    assert not failures, "\n".join(failures[:20])
    assert_healthy(target, plan)


@each_target
def test_a_store_across_the_end_leaves_its_first_part(target: Target) -> None:
    plan = PLANS["high"]
    guest = emulated(access(ROW["stx64"], target.order, plan), target)
    outcome = guest.run(Input(MEMORY, {3: plan.memory + PAGE - 3, 4: 0x8182_8384_8586_8788}), World(), Limits())
    assert outcome.fault == Fault("write", 0, 1, plan.memory + PAGE)
    assert outcome.regions is not None
    first = bytes.fromhex("888786") if target.order == "little" else bytes.fromhex("818283")
    assert outcome.regions["memory"] == MEMORY[:-3] + first


@each_target
def test_one_byte_too_far(target: Target) -> None:
    """Under `fence` the byte behind the last one faults; under the others the page goes on."""
    for plan in PLANS.values():
        for size in (1, 5, 8, 100, PAGE - 1, PAGE, PAGE + 1):
            guest = emulated(unit_of("r1 += r2; r0 = *(u8 *)(r1 + 0); exit", target.order, plan), target)
            outcome = guest.run(Input(b"\x55" * size), World(), Limits())
            fenced = plan.fence or size % PAGE == 0
            assert outcome.status == ("fault" if fenced else "done"), (plan.name, size)
            assert outcome.fault == (Fault("read", 0, 1, plan.place(plan.memory, size) + size) if fenced else None)
            guest = emulated(unit_of("r0 = *(u8 *)(r1 - 1); exit", target.order, plan), target)
            outcome = guest.run(Input(b"\x55" * size), World(), Limits())
            assert outcome.status == ("done" if plan.fence and size % PAGE else "fault")


@each_target
def test_atomics_where_nothing_can_be_written(target: Target) -> None:
    for plan in PLANS.values():
        for row in ROWS:
            if row.kind is not Kind.ATOMIC:
                continue
            unit = access(row, target.order, plan)
            guest = emulated(unit, target)
            for address in (unit.map_regions[1].start + 8, plan.memory + PAGE, plan.memory - 8):
                outcome = guest.run(Input(MEMORY, {3: address, 4: 1}), World(), Limits())
                assert outcome.fault == Fault("write", 0, 1, address), (row.name, outcome.summary())


@each_target
@pytest.mark.parametrize("row", [ROW["atomic32_cmpxchg"], ROW["atomic64_cmpxchg"]], ids=["32", "64"])
def test_a_compare_that_fails_need_not_write(target: Target, row: Row) -> None:
    """On machines with a load-linked pair nothing is stored then, and nothing faults; on others it does."""
    unit = access(row, target.order, PLANS["high"])
    entry = Input(MEMORY, {3: unit.map_regions[1].start, 4: 1})
    right = reference(unit).run(entry, World(), Limits())
    assert right.status == "unspecified"
    got = emulated(unit, target).run(entry, World(), Limits())
    assert got.status in ("done", "fault")
    assert not difference(right, got).decided


@pytest.mark.parametrize("order", ["little", "big"])
@given(
    sizes=st.lists(st.integers(0, 3 * PAGE), min_size=2, max_size=6),
    plan=st.sampled_from(list(PLANS.values())),
    fill=st.integers(0, 255),
)
def test_memory_of_any_size_after_any_other(order: str, sizes: list[int], plan: Plan, fill: int) -> None:
    """The guest's memory is the input's, whatever was mapped for the run before."""
    text = "r3 = r1; r3 += r2; r4 = *(u8 *)(r3 - 1); r0 += r4; *(u8 *)(r10 - 1) = r2; exit"
    unit = unit_of(f"r0 = r2; if r2 == 0 goto +4; {text}", order, plan)
    right = reference(unit)
    guests = [emulated(unit, target) for target in TARGETS.values() if target.order == order]
    for size in sizes:
        entry = Input(bytes((fill + at) & 0xFF for at in range(size)), stack_fill=fill)
        first = right.run(entry, World(), Limits())
        for guest in guests:
            assert not difference(first, guest.run(entry, World(), Limits()))


@each_target
@each_plan
def test_maps_that_move(target: Target, plan: Plan) -> None:
    """Units with maps of other sizes and rights follow one another in one machine."""
    text = "r3 = *(u64 *)(r1 + 0); r0 = *(u8 *)(r3 + 0); *(u8 *)(r3 + 0) = 9; exit"
    for sizes in ((8, 16), (5000, 16), (8, 9000), (8, 16), (16, 8)):
        for readonly in (False, True):
            maps = tuple(
                Map(f"m{n}", value_size=s, initial=bytes((n + 1,)) * s, readonly=readonly) for n, s in enumerate(sizes)
            )
            unit = unit_of(text, target.order, plan, maps)
            guest, right = emulated(unit, target), reference(unit)
            for region in unit.map_regions:
                for address in (region.start, region.start + region.size - 1):
                    entry = Input(address.to_bytes(8, target.order))  # type: ignore[arg-type]
                    first = right.run(entry, World(), Limits())
                    assert not difference(first, guest.run(entry, World(), Limits()))
                    assert first.status == ("fault" if readonly else "done")

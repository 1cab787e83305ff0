"""One program on several engines: who agrees with the interpreter, and where the others part from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bpf.errors import Refused
from bpf.order import Order
from bpf.plan import DEFAULT_PLAN, Plan, Unit
from bpf.program import Program
from bpf.spec.conventions import PLAIN, Convention
from engines.base import Engine, Options
from engines.judging import fresh, trial, trial_cpus
from engines.lockstep import Parting, lockstep
from engines.registry import ENGINES
from jit.image import Image
from vm.cpus import Schedule
from vm.outcome import Outcome
from vm.world import Input, Limits, World

Verdict = Literal["reference", "agrees", "differs", "undecided", "refused"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one engine made of a program.

    engine   its name; order: byte order of the program it ran
    verdict  reference: this is what the others are compared with
    reason   the first difference in words, or why the engine refused, or why nothing was decided
    seconds  time of the run, compilation not counted
    cpus     the outcome on each CPU, where there are several; outcome is that of CPU 0
    """

    engine: str
    order: Order
    verdict: Verdict
    reason: str = ""
    outcome: Outcome | None = None
    seconds: float = 0.0
    image: Image | None = None
    parting: Parting | None = None
    executed: int | None = None
    cpus: tuple[Outcome, ...] = ()


def compare(
    program_in: Callable[[Order], Program],
    entry: Input | None = None,
    *,
    engines: Sequence[Engine] | None = None,
    plan: Plan = DEFAULT_PLAN,
    convention: Convention = PLAIN,
    world: World | None = None,
    limits: Limits | None = None,
    count: bool = False,
    tails_in: Callable[[Order], tuple[Program, ...]] = lambda order: (),
    schedule: Schedule | None = None,
) -> list[Row]:
    """Run a program on the interpreter and on engines (default: all), and compare.

    program_in: gives the program in a byte order; may raise Refused, which becomes a row. The interpreter runs it once
    in each byte order that is needed. count: also count executed native instructions (a second, slow run).
    tails_in: gives the programs that it may tail-call, which its prog arrays number from 1. schedule: run it on several
    CPUs at once, each with this input.
    """
    entry, world, limits = entry or Input(), world or World(), limits or Limits()
    wanted = [engine for engine in (engines or ENGINES.values()) if engine.abilities.native]
    interpreter = ENGINES["interpreter"]
    rows: list[Row] = []
    for order in ("little", "big"):
        group = [engine for engine in wanted if order in engine.abilities.orders]
        if not group:
            continue
        try:
            program = program_in(order)
            unit = Unit((program, *tails_in(order)), convention=convention, plan=plan)
            expected = interpreter.prepare(unit)
        except Refused as reason:
            rows += [Row(engine.name, order, "refused", str(reason)) for engine in group]
            continue
        start = time.perf_counter()
        if schedule is None:
            references = [expected.run(entry, fresh(world), limits)]
        else:
            references = expected.run_cpus([entry] * schedule.cpus, fresh(world), limits, schedule)
        seconds, cpus = time.perf_counter() - start, tuple(references) if schedule is not None else ()
        rows.append(Row(interpreter.name, order, "reference", "", references[0], seconds, cpus=cpus))
        for engine in group:
            rows.append(_judge(engine, unit, references, entry, world, limits, count, schedule))
    return rows


def _judge(
    engine: Engine, unit: Unit, references: Sequence[Outcome], entry: Input, world: World, limits: Limits, count: bool,
    schedule: Schedule | None,
) -> Row:  # fmt: skip
    expected = references[0]
    try:
        if schedule is None:
            judged = trial(engine, unit, expected, entry, world, limits)
        else:
            judged = trial_cpus(engine, unit, references, entry, world, limits, schedule)
    except Refused as reason:
        return Row(engine.name, unit.order, "refused", str(reason))
    found, outcome, prepared = judged.found, judged.outcome, judged.prepared
    row = Row(engine.name, unit.order, "agrees", "", outcome, judged.seconds, cpus=judged.cpus)
    if prepared is not None and prepared.image is not None:
        executed = prepared.count(entry, fresh(world), limits) if count and outcome is not None else None
        row = replace(row, image=prepared.image, executed=executed)
    if outcome is None:
        return replace(row, verdict="differs", reason=found.what)
    if not found.decided:
        ended = next((one.status for one in (*references, *judged.cpus, outcome) if one.status != "done"), "done")
        return replace(row, verdict="undecided", reason=f"nothing was compared: {found.why or UNDECIDED[ended]}")
    if not found:
        return row
    alone = engine.abilities.plans and schedule is None
    parting = part(engine, unit, entry, world, limits) if alone else None
    return replace(row, verdict="differs", reason=found.what, parting=parting)


UNDECIDED = {
    "limit": "the run hit its limit",
    "unspecified": "a misaligned atomic, or a failing compare-and-exchange on read-only memory: machines differ",
    "fault": "the run faulted",
}


def part(engine: Engine, unit: Unit, entry: Input, world: World, limits: Limits) -> Parting | None:
    """The first instruction after which an engine's state is not the interpreter's."""
    options = Options(observe=True)
    expected = ENGINES["interpreter"].prepare(unit, options)
    return lockstep(expected, engine.prepare(unit, options), entry, fresh(world), limits)

"""One run of a program on an engine, held against the interpreter's, whatever the engine does.

An engine that hangs, that raises what it should not, or that gives nonsense is a difference with its reason, and never
the end of whoever wants many programs judged. Only Refused and what is wrong with the set-up are raised.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bpf.errors import CrossbpfError
from bpf.plan import Unit
from engines.base import Engine, Options, Prepared
from engines.surroundings import judge, late
from vm.cpus import Schedule
from vm.outcome import Difference, Outcome, difference
from vm.world import Input, Limits, World

PATIENCE = 4
"""How many times the limit a run gets that has run into it and should not have: a busy host may be slow once."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a run.

    outcome   None where the engine broke before there was one
    prepared  None where it did not compile the program
    seconds   time of the run, compilation not counted
    cpus      the outcome on each CPU, where there are several
    """

    found: Difference
    outcome: Outcome | None = None
    prepared: Prepared | None = None
    seconds: float = 0.0
    cpus: tuple[Outcome, ...] = ()


def fresh(world: World) -> World:
    """A world of its own in the same state."""
    return world.copy()


def trial(
    engine: Engine,
    unit: Unit,
    expected: Outcome,
    entry: Input,
    world: World,
    limits: Limits,
    *,
    options: Options | None = None,
    patience: int = PATIENCE,
) -> Judged:
    """Prepare a unit, run it and judge the outcome; expected: the interpreter's.

    A run that is late is repeated with `patience` times the limit before that counts; 1: it counts at once. The world
    stays as it is. Raises Refused.
    """
    try:
        prepared = engine.prepare(unit, options)
    except CrossbpfError:
        raise
    except Exception as error:  # noqa: BLE001 (an engine that breaks is a finding, whatever it raises)
        return Judged(Difference(f"does not compile it: {_words(error)}"))
    return run_judged(engine, prepared, unit, expected, entry, world, limits, patience=patience)


def run_judged(
    engine: Engine,
    prepared: Prepared,
    unit: Unit,
    expected: Outcome,
    entry: Input,
    world: World,
    limits: Limits,
    *,
    patience: int = PATIENCE,
) -> Judged:
    """As trial, for a unit that the engine has prepared."""
    start = time.perf_counter()
    try:
        outcome = prepared.run(entry, fresh(world), limits)
        if patience > 1 and late(expected, outcome):
            limits = replace(limits, seconds=patience * limits.seconds)
            outcome = prepared.run(entry, fresh(world), limits)
    except CrossbpfError:
        raise
    except Exception as error:  # noqa: BLE001
        return Judged(Difference(f"breaks down: {_words(error)}"), None, prepared)
    seconds = time.perf_counter() - start
    found = judge(engine, unit, expected, outcome, entry, world, limits)
    return Judged(found, outcome, prepared, seconds)


def trial_cpus(
    engine: Engine, unit: Unit, expected: Sequence[Outcome], entry: Input, world: World, limits: Limits,
    schedule: Schedule,
) -> Judged:  # fmt: skip
    """As trial, on the CPUs of a schedule, each with the same input. Raises Refused."""
    try:
        prepared = engine.prepare(unit)
        start = time.perf_counter()
        outcomes = prepared.run_cpus([entry] * schedule.cpus, fresh(world), limits, schedule)
    except CrossbpfError:
        raise
    except Exception as error:  # noqa: BLE001 (see trial)
        return Judged(Difference(f"breaks down: {_words(error)}"))
    seconds, found = time.perf_counter() - start, Difference()
    for cpu, (mine, its) in enumerate(zip(expected, outcomes, strict=True)):
        found = difference(mine, its)
        if found or not found.decided:
            found = replace(found, what=f"CPU {cpu}: {found.what}" if found else "")
            break
    return Judged(found, outcomes[0], prepared, seconds, tuple(outcomes))


def _words(error: Exception) -> str:
    """A ValueError is how a compiler gives up in its own words; of others the class says more than the text."""
    return str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"

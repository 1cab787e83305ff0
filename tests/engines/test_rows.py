"""The law of the backends: every row of the table does on every target what its effect says.

A backend without a row, or with a wrong one, fails here under the row's and the target's name.
"""

from __future__ import annotations

from functools import lru_cache

import pytest

from bpf.isa import ROW, ROWS
from bpf.plan import PLANS, Unit
from bpf.text import assemble
from engines import ENGINES, Options
from engines.compare import part
from fuzz.suite.rows import exercises
from fuzz.suite.special import convention_for, entry_for, faults
from jit.registry import TARGETS
from vm.outcome import Outcome, difference
from vm.world import Limits, World

OBSERVE = Options(observe=True)
EVERY = 13  # of a sweep's operands; the deep tests and `crossbpf conform` take all of them
LIMITS = Limits(may_goto=50)
RUNNABLE = [row for row in ROWS if not row.external]


@lru_cache(maxsize=8)
def expected(row: str, order: str) -> list[tuple[Unit, Outcome]]:
    """The exercises of a row with what the interpreter makes of them."""
    found = []
    for case in exercises(ROW[row], order, EVERY):
        unit = Unit((case.program,), plan=PLANS["high"], convention=case.convention)
        outcome = ENGINES["interpreter"].prepare(unit, OBSERVE).run(case.entry, World(), LIMITS)
        assert outcome.status == "done", (case.name, outcome)
        found.append((unit, outcome))
    assert found, f"no exercise for {row}"
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("row", [row.name for row in RUNNABLE])
def test_row(row: str, target: str) -> None:
    engine = ENGINES[target]
    (order,) = engine.abilities.orders
    given = entry_for(ROW[row])
    for unit, reference in expected(row, order):
        outcome = engine.prepare(unit, OBSERVE).run(given, World(), LIMITS)
        found = difference(reference, outcome)
        assert found.decided
        assert not found, f"{row} on {target}: {found.what}; {part(engine, unit, given, World(), LIMITS)}"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("row", [row.name for row in RUNNABLE if list(faults(row))])
def test_faults_of_a_row(row: str, target: str) -> None:
    (order,) = ENGINES[target].abilities.orders
    for text, kind in faults(ROW[row]):
        unit = Unit((assemble(text, order=order),), convention=convention_for(ROW[row]))
        wanted, got = (
            ENGINES[name].prepare(unit).run(entry_for(ROW[row]), World(), LIMITS) for name in ("interpreter", target)
        )
        assert wanted.fault is not None
        assert wanted.fault.kind == kind
        assert got.fault == wanted.fault, text

"""The law of the backends: every row of the table does on every target what its effect says.

A backend without a row, or with a wrong one, fails here under the row's and the target's name.
"""

from __future__ import annotations

from functools import lru_cache

import pytest

from bpf.isa import ROW, ROWS
from bpf.plan import PLANS, Unit
from engines import ENGINES, Options
from engines.compare import part
from fuzz.suite.rows import exercises
from jit.registry import TARGETS
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

OBSERVE = Options(observe=True)
RUNNABLE = [row for row in ROWS if row.op != "btf_id"]


@lru_cache(maxsize=8)
def expected(row: str, order: str) -> list[tuple[Unit, Outcome]]:
    """The exercises of a row with what the interpreter makes of them."""
    found = []
    for case in exercises(ROW[row], order):
        unit = Unit((case.program,), plan=PLANS["high"])
        outcome = ENGINES["interpreter"].prepare(unit, OBSERVE).run(Input(), World(), Limits())
        assert outcome.status == "done", (case.name, outcome)
        found.append((unit, outcome))
    assert found, f"no exercise for {row}"
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("row", [row.name for row in RUNNABLE])
def test_row(row: str, target: str) -> None:
    engine = ENGINES[target]
    (order,) = engine.abilities.orders
    for unit, reference in expected(row, order):
        outcome = engine.prepare(unit, OBSERVE).run(Input(), World(), Limits())
        found = difference(reference, outcome)
        assert found.decided
        assert not found, f"{row} on {target}: {found.what}; {part(engine, unit, Input(), World(), Limits())}"

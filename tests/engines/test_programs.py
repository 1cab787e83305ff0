"""The law of the engines: whole programs leave the same registers, stack, memory and calls on every one of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpf.plan import PLANS, Unit
from bpf.program import Program
from engines import ENGINES, Options
from engines.lockstep import lockstep
from tests.strategies import WORDS, running_programs
from vm.outcome import difference
from vm.world import Input, Limits, World

OBSERVE = Options(observe=True)
INPUTS = st.builds(
    Input,
    memory=st.binary(max_size=24),
    registers=st.dictionaries(st.integers(1, 9), WORDS),
    stack_fill=st.integers(0, 255),
)


@pytest.mark.parametrize("plan", PLANS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(prog=running_programs(), entry=INPUTS)
def test_all_engines_agree(plan: str, prog: Program, entry: Input) -> None:
    for order in ("little", "big"):
        unit = Unit((prog.in_order(order),), plan=PLANS[plan])
        expected = ENGINES["interpreter"].prepare(unit, OBSERVE).run(entry, World(), Limits())
        assert expected.status == "done"
        for engine in ENGINES.values():
            if order in engine.abilities.orders:
                found = difference(expected, engine.prepare(unit, OBSERVE).run(entry, World(), Limits()))
                assert found.decided
                assert not found.skipped
                assert not found, f"{engine.name} on plan {plan}: {found.what}"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(prog=running_programs(), entry=INPUTS)
def test_without_observe_they_agree_too(prog: Program, entry: Input) -> None:
    """No exit record, and poison only where it is read: R0, memory and calls are what they were."""
    for order in ("little", "big"):
        unit = Unit((prog.in_order(order),))
        expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), Limits())
        for engine in ENGINES.values():
            if order in engine.abilities.orders:
                found = difference(expected, engine.prepare(unit).run(entry, World(), Limits()))
                assert found.decided
                assert not found, f"{engine.name}: {found.what}"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(prog=running_programs(), entry=INPUTS)
def test_traces_agree_at_every_boundary(prog: Program, entry: Input) -> None:
    for order in ("little", "big"):
        unit = Unit((prog.in_order(order),))
        for engine in ENGINES.values():
            if order in engine.abilities.orders and engine.abilities.native:
                both = ENGINES["interpreter"].prepare(unit, OBSERVE), engine.prepare(unit, OBSERVE)
                assert lockstep(*both, entry, World(), Limits()) is None

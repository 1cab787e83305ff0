"""Programs of real types give the same on the interpreter, on every target, and on the live kernel."""

from __future__ import annotations

import sys

import pytest

from bpf.plan import PLANS, Unit
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines import ENGINES, Options
from engines.linux import LinuxEngine
from engines.surroundings import judge
from tests.engines.typed import BODY, Typed
from tests.live_kernel import live
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

ENGINE_ORDERS = [(name, order) for name, engine in ENGINES.items() for order in sorted(engine.abilities.orders)]
each_program = pytest.mark.parametrize("case", BODY.values(), ids=BODY)


def given(case: Typed) -> Input:
    return Input(packet=case.given, context=case.fields, metadata=case.metadata)


def run(engine: str, order: str, case: Typed, plan: str = "high") -> Outcome:
    unit = Unit((assemble(case.text, order=order),), convention=TYPED[case.type], plan=PLANS[plan])
    return ENGINES[engine].prepare(unit, Options(observe=True)).run(given(case), World(), Limits())


@each_program
@pytest.mark.parametrize(("engine", "order"), ENGINE_ORDERS)
def test_a_program_of_a_type(engine: str, order: str, case: Typed) -> None:
    for plan in PLANS:
        outcome = run(engine, order, case, plan)
        assert outcome.status == "done", outcome
        assert outcome.r0 == case.result(order), hex(outcome.r0)
        if case.metadata == 0:
            assert outcome.packet == (case.given if case.packet is None else case.packet)
        assert outcome.context is not None
        assert {name: outcome.context[name] for name in case.context} == dict(case.context)
        assert not difference(run("interpreter", order, case, plan), outcome)


@live
@each_program
def test_the_live_kernel_gives_the_same(case: Typed) -> None:
    unit = Unit((assemble(case.text, order=sys.byteorder),), convention=TYPED[case.type])
    expected = run("interpreter", sys.byteorder, case)
    outcome = LinuxEngine().prepare(unit).run(given(case), World(), Limits())
    assert outcome.r0 == case.result(sys.byteorder)
    found = judge(LinuxEngine(), unit, expected, outcome, given(case), World(), Limits())
    assert not found, found
    assert found.decided, found
    if case.given:
        assert outcome.packet is not None
        assert outcome.context

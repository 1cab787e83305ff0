"""What leaves an engine speaks of the program as it was given."""

from __future__ import annotations

import pytest

from bpf.errors import Refused
from bpf.plan import PLANS, Unit
from bpf.spec.conventions import PACKET, TYPED
from bpf.text import assemble
from engines import ENGINES, Options
from engines.base import Prepared
from engines.binding import bind
from engines.compare import compare
from vm.outcome import Fault
from vm.world import Input, Limits, World

TC = TYPED["sched_cls"]
TEXT = "r2 = *(u8 *)(r1 + 9); r2 = *(u8 *)(r1 + 10); r3 = 8; r0 = *(u64 *)(r3 + 0); exit"


def prepared(engine: str, text: str, **unit: object) -> Prepared:
    (order, *_) = sorted(ENGINES[engine].abilities.orders)
    bound = Unit((assemble(text, order=order),), convention=TC, **unit)  # type: ignore[arg-type]
    return ENGINES[engine].prepare(bound, Options(observe=True))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("plan", PLANS)
def test_faults_name_the_instruction_as_given(engine: str, plan: str) -> None:
    outcome = prepared(engine, TEXT, plan=PLANS[plan]).run(Input(packet=bytes(60)), World(), Limits())
    assert outcome.fault == Fault("read", 0, 3, 8)


@pytest.mark.parametrize("engine", ENGINES)
def test_many_inputs(engine: str) -> None:
    one = prepared(engine, "r0 = *(u8 *)(r1 + 9); r0 += r2; exit")
    entries = [Input(registers={2: value}, context={"mark": 0x01020304}) for value in range(5)]
    first = one.run(entries[0], World(), Limits()).r0
    assert first in (2, 3)
    outcomes = one.run_many(entries, World(), Limits())
    assert [outcome.r0 for outcome in outcomes] == [first + value for value in range(5)]
    assert all(outcome.context and outcome.context["mark"] == 0x01020304 for outcome in outcomes)


def test_a_unit_is_bound_once() -> None:
    unit = Unit((assemble(TEXT),), convention=TC)
    assert bind(unit) is bind(unit)
    assert bind(bind(unit)) is bind(unit)
    assert unit.programs[0].source is None
    plain = Unit((assemble("r0 = 0; exit"),))
    assert bind(plain) is plain
    opaque = Unit((assemble("r0 = 0; exit"),), convention=PACKET)
    assert bind(opaque) is opaque


def test_the_plugin_refuses_a_context() -> None:
    from engines.plugin import PluginEngine

    with pytest.raises(Refused):
        PluginEngine("true").prepare(Unit((assemble("r0 = 0; exit"),), convention=TC))


def test_the_comparison_shows_code_and_counts() -> None:
    text = "r0 = *(u8 *)(r1 + 9); *(u32 *)(r1 + 8) = 5; exit"
    rows = compare(lambda order: assemble(text, order=order), Input(packet=bytes(60)), convention=TC, count=True)
    assert {row.verdict for row in rows} == {"reference", "agrees"}
    for row in rows:
        assert row.outcome is not None
        assert row.outcome.context is not None
        assert row.outcome.context["mark"] == 5
        assert row.verdict == "reference" or (row.image is not None and row.executed)

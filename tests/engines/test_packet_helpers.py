"""Helpers on packets give the same on the interpreter, on every target, natively, and on the live kernel."""

from __future__ import annotations

import sys

import pytest

from bpf.plan import PLANS, Unit
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines import ENGINES, Options
from engines.linux import LinuxEngine
from engines.surroundings import judge
from tests.engines.packet_programs import PROGRAMS
from tests.engines.typed import Typed
from tests.live_kernel import live
from vm.outcome import difference
from vm.world import Input, Limits, World

each_program = pytest.mark.parametrize("name", PROGRAMS)


def unit(case: Typed, order: str, plan: str = "high") -> Unit:
    return Unit((assemble(case.text, order=order),), convention=TYPED[case.type], plan=PLANS[plan])


def given(case: Typed) -> Input:
    return Input(packet=case.given, context=case.fields, metadata=case.metadata)


@each_program
def test_all_engines(name: str) -> None:
    case = PROGRAMS[name]
    for order in ("little", "big"):
        for plan in ("high", "fence"):
            bound = unit(case, order, plan)
            expected = ENGINES["interpreter"].prepare(bound).run(given(case), World(), Limits())
            assert expected.status == "done", expected
            assert expected.r0 == case.result(order), hex(expected.r0)
            assert expected.packet == (case.given if case.packet is None else case.packet)
            assert expected.context is not None
            assert {field: expected.context[field] for field in case.context} == dict(case.context)
            for engine in ENGINES.values():
                if order in engine.abilities.orders:
                    outcome = engine.prepare(bound, Options(observe=True)).run(given(case), World(), Limits())
                    assert not difference(expected, outcome), engine.name


@live
@each_program
def test_the_live_kernel(name: str) -> None:
    case = PROGRAMS[name]
    bound = unit(case, sys.byteorder)
    expected = ENGINES["interpreter"].prepare(bound).run(given(case), World(), Limits())
    outcome = LinuxEngine().prepare(bound).run(given(case), World(), Limits())
    assert outcome.r0 & 0xFFFF_FFFF == case.result(sys.byteorder) & 0xFFFF_FFFF, hex(outcome.r0)
    assert outcome.packet == expected.packet
    found = judge(LinuxEngine(), bound, expected, outcome, given(case), World(), Limits())
    assert not found, found.what

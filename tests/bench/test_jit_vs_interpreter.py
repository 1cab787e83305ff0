"""The interpreter in C that the JIT is measured against is a right one, and takes four times the instructions."""

from __future__ import annotations

import pytest

from bench import jit_vs_interpreter as bench
from bench.jit_vs_interpreter import LIMITS, Work, both, counts, works
from bpf.errors import Refused
from bpf.isa import ROWS, Kind
from bpf.program import Program
from fuzz.suite.rows import exercises
from jit.registry import TARGETS
from vm.outcome import difference
from vm.world import World

pytestmark = pytest.mark.skipif(bool(bench.missing()), reason=bench.missing())
KINDS = (Kind.ALU, Kind.BRANCH, Kind.LOAD, Kind.STORE, Kind.GOTO, Kind.EXIT)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_compiled_code_takes_a_quarter_of_the_instructions_at_most(target: object) -> None:
    """Instructions of an emulated machine: the same on every host."""
    try:
        bench.interpreter(target)  # type: ignore[arg-type]
    except Refused as reason:
        pytest.skip(str(reason))
    ratios = {work.name: (work.kind, *counts(work, target)) for work in works(quick=True)}  # type: ignore[arg-type]
    assert {kind for kind, _, _ in ratios.values()} == {"ALU", "memory", "helper"}
    for name, (kind, slow, fast) in ratios.items():
        assert 0 < fast < slow, name
        assert kind != "ALU" or slow >= 4 * fast, (name, slow, fast)


@pytest.mark.parametrize("name", ["x86_64", pytest.param("ppc64", marks=pytest.mark.deep)])
def test_the_interpreter_in_c_does_what_compiled_code_does(name: str) -> None:
    target = TARGETS[name]

    def agrees(program: Program) -> None:
        slow, fast, entry = both(Work("", program.name, lambda order: program), target)
        expected, got = (guest.run(entry, World(), LIMITS) for guest in (fast, slow))
        found = difference(expected, got, stack=False)
        assert found.decided and not found, (program.name, found.what or got.summary())

    rows = [row for row in ROWS if row.kind in KINDS or row.op == "call_local"]
    rows = [row for row in rows if not row.name.startswith(("ldacq", "strel"))]  # encoded as atomics, which it has not
    assert len(rows) > 100
    for row in rows:
        for case in exercises(row, target.order, 17):
            if not any(insn is not None and insn.row.kind is Kind.ATOMIC for insn in case.program.insns):
                agrees(case.program)


def test_without_a_compiler_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (table,) = bench.tables(True)
    assert not table.rows
    assert "no ziglang" in table.note


def test_the_host_is_measured_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "works", lambda quick: [])
    _, table = bench.tables(True)
    assert table.note
    assert all(cell > 0 for row in table.rows for cell in row if not isinstance(cell, str))

"""The benchmarks run and have a row for every target; their times are nobody's business here."""

from __future__ import annotations

import json

import pytest

from bench import check, compile, fuzzing, interpret, load, maps, measure, packets, programs, share, suite
from bpf.isa import Kind
from engines.compare import compare
from jit.registry import TARGETS


@pytest.mark.parametrize(
    "bench", [compile, interpret, maps, packets, check, fuzzing, share], ids=lambda module: module.__name__
)
def test_tables(bench: object) -> None:
    (table,) = bench.tables(True)  # type: ignore[attr-defined]
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert all(cell >= 0 for row in table.rows for cell in row if not isinstance(cell, str))
    assert len(table.text().splitlines()) >= 2 + len(table.rows)
    if bench is not check:
        text = table.text()
        assert all(name in text for name in TARGETS)
    else:
        assert all(row[-1] == 0 for row in table.rows), "the engines do not agree"


def test_loading_is_measured() -> None:
    (table,) = load.tables(True)
    assert len(load.programs(20)) == 10
    assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.deep
def test_the_suite_is_measured() -> None:
    (table,) = suite.evaluations(True)
    assert [row[0] for row in table.rows] == ["interpreter", *TARGETS]
    assert all(row[-1] == 0 and row[3] > 0 for row in table.rows)
    (table,) = suite.kills(True)
    assert table.rows[0][0] == "suite" and table.rows[0][1] == 4


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_a_mix_has_its_size_and_runs(count: int) -> None:
    prog = programs.mix(count)
    insns = [insn for insn in prog.insns if insn is not None]
    assert len(insns) == count
    assert {row.verdict for row in compare(prog.in_order)} == {"reference", "agrees"}
    if count == 1000:
        assert {insn.row.kind for insn in insns} == set(Kind) - {Kind.GOTO, Kind.COUNTDOWN, Kind.PACKET, Kind.CAST}


def test_a_mix_is_always_the_same() -> None:
    assert programs.mix(200).encode() == programs.mix(200).encode()
    assert programs.mix(200).encode() != programs.mix(200, 2).encode()


def test_tables_as_text_and_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    table = measure.Table("Title", ["name", "figure"], [["a", 1234.5], ["bcd", 0.125]], "note")
    assert table.text() == "Title\n  name  figure\n  a       1234\n  bcd     0.12\n  (note)"
    monkeypatch.setattr("sys.argv", ["bench", "--json"])
    assert measure.main([lambda quick: [table]], "") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [["a", 1234.5], ["bcd", 0.125]]

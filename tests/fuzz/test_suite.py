"""crossbpf's own suite: what it covers, that its parts fit together, that it sees faults and survives a death."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bpf.errors import Refused
from bpf.isa import ROW, ROWS, Kind
from bpf.plan import DEFAULT_PLAN, PLANS, Unit
from crossbpf.cli import main
from engines import ENGINES, engine
from fuzz.suite import generated
from fuzz.suite.answers import LIMITS, answers, confirmed, digest
from fuzz.suite.bare import ROOM, bare_cases
from fuzz.suite.generated import NAMES, Result, cases, run_row, run_suite
from fuzz.suite.operands import operands
from fuzz.suite.rows import exercises
from fuzz.suite.values import CORNERS, IMMEDIATES, M64, OFFSETS
from jit.registry import TARGETS, backend
from vm.outcome import difference
from vm.world import Input, Limits, World

SPARSE = 13
RUNNABLE = [row for row in ROWS if not row.external]


# What it covers ----------------------------------------------------------------------------------


def test_every_instruction_is_in_it() -> None:
    assert {row.name for row in RUNNABLE} == set(NAMES) - {generated.LONG}
    for row in RUNNABLE:
        for order in ("little", "big"):
            programs = [case.program for case in exercises(row, order, SPARSE)]
            assert any(insn is not None and insn.row is row for prog in programs for insn in prog.insns), row.name


def test_corners() -> None:
    expected = {0, 1, M64, 0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA}
    for bits in (8, 16, 32, 64):
        expected |= {(1 << bits) - 1, 1 << bits - 1, (1 << bits - 1) - 1, -(1 << bits - 1) & M64}
    for bit in range(64):
        expected |= {1 << bit, (1 << bit) + 1, (1 << bit) - 1}
    assert expected <= set(CORNERS)
    assert sum(value >> 32 != 0 and value & 0xFFFF_FFFF != 0 for value in CORNERS) > 60  # dirty upper halves


@pytest.mark.parametrize("edge", [1 << 7, 1 << 8, 1 << 11, 1 << 12, 1 << 15, 1 << 16, 1 << 19])
def test_immediates_and_offsets_at_the_boundaries_of_encodings(edge: int) -> None:
    assert {edge - 1, edge, -edge, -edge - 1} <= set(IMMEDIATES)
    if edge <= 1 << 12:
        assert {edge - 1, edge} <= set(OFFSETS)


def test_immediates_of_32_bits() -> None:
    assert {0x7FFF_F7FF, 0x7FFF_F800, 0x7FFF_FFFF, -0x8000_0000, 0x2_0000, 0x1234_5020} <= set(IMMEDIATES)
    assert all(-(1 << 31) <= imm < 1 << 31 for imm in IMMEDIATES)


@pytest.mark.parametrize(
    "row", [row for row in RUNNABLE if row.kind in (Kind.ALU, Kind.BRANCH) and "src" in row.fields]
)
def test_all_pairs_of_registers(row: object) -> None:
    pairs = {
        (insn.dst, insn.src)
        for case in exercises(row, "little", 1)  # type: ignore[arg-type]
        if "registers" in case.name
        for insn in case.program.insns
        if insn is not None and insn.row is row
    }
    written = row.writes_dst  # type: ignore[attr-defined]
    assert pairs >= {(dst, src) for dst in range(10 if written else 11) for src in range(11)}


def test_corners_are_crossed_with_each_other() -> None:
    for name in ("add64_reg", "sdiv32_reg", "arsh64_reg", "jsgt32_reg"):
        count = sum(case.evaluations for case in operands(ROW[name], "little", 1) if "other" not in case.name)
        assert count >= len(CORNERS) ** 2, name


def test_evaluations_are_runs_of_the_instruction() -> None:
    for case in exercises(ROW["add64_reg"], "little", SPARSE):
        executed = Counter[int]()
        unit = Unit((case.program,))
        steps = ENGINES["interpreter"].prepare(unit).trace(Input(), World(), Limits())
        for step in steps:
            executed[step.pc] += 1
        insns = enumerate(case.program.insns)
        assert case.evaluations == sum(executed[pc] for pc, insn in insns if insn and insn.row.name == "add64_reg")


def test_jumps_beyond_16_bits() -> None:
    for name in ("gotol", "call_local"):
        distances = [
            insn.distance
            for case in exercises(ROW[name], "little")
            for insn in case.program.insns
            if insn is not None and insn.row.name == name
        ]
        assert min(distances) < -(1 << 15) and max(distances) >= 1 << 15


@pytest.mark.parametrize("name", TARGETS)
def test_every_branch_is_aimed_at_the_end_of_a_short_reach(name: str) -> None:
    near = [form for forms in backend(TARGETS[name]).forms.values() for form in forms[:-1] if form.high < 5 << 10]
    aimed = {case.row for case in cases("jgt64_reg", TARGETS[name].order) if case.target == name}
    assert bool(aimed) == bool(near)


# What is recorded --------------------------------------------------------------------------------


def test_every_case_has_a_recorded_answer() -> None:
    for order in ("little", "big"):
        names = [case.name for name in NAMES for case in cases_without_reach(name, order)]
        assert len(names) == len(set(names))
        assert {(name, order) for name in names} == {key for key in answers() if key[1] == order}
    assert len(confirmed()) > 0.8 * len(names)


def cases_without_reach(name: str, order: str) -> list[generated.Case]:
    if name == generated.LONG:
        return list(cases(name, order))
    return list(exercises(ROW[name], order))


@pytest.mark.parametrize(
    "name", ["neg64", "ldx8", "atomic32_xchg", "call_local", "to_be32", "may_goto", "callx", "ld_ind32"]
)
def test_the_recorded_answers_are_the_interpreters(name: str) -> None:
    for order in ("little", "big"):
        for case in cases_without_reach(name, order):
            unit = Unit((case.program,), convention=case.convention)
            outcome = ENGINES["interpreter"].prepare(unit).run(case.entry, World(), LIMITS)
            assert digest(outcome) == answers()[case.name, order], (case.name, order)


def test_a_wrong_interpreter_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    (right, *_) = list(run_row("neg64", [ENGINES["interpreter"]], DEFAULT_PLAN))
    assert right.status == "passed"
    key = (right.case, "little")
    monkeypatch.setitem(answers(), key, "0" * 16)
    (wrong, *_) = list(run_row("neg64", [ENGINES["interpreter"]], DEFAULT_PLAN))
    assert wrong.status == "failed"
    assert "the recorded answer is 0000" in wrong.message


# Running it --------------------------------------------------------------------------------------


def test_some_rows_on_seven_engines_and_all_plans() -> None:
    for plan in PLANS.values():
        for name in ("mul32_reg", "stx16", "call_helper", "lddw_map_idx_value"):
            results = list(run_row(name, list(ENGINES.values()), plan, SPARSE))
            assert {result.status for result in results} == {"passed"}, [r for r in results if r.status != "passed"]
            assert {result.engine for result in results} == set(ENGINES)


def test_a_fault_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend(TARGETS["s390x"]), "lower_neg", lambda self, op: None)
    results = list(run_row("neg64", [ENGINES["s390x"], ENGINES["ppc64"]], DEFAULT_PLAN, SPARSE))
    failed = {result.engine for result in results if result.status == "failed"}
    assert failed == {"s390x"}
    (first, *_) = [result for result in results if result.status == "failed"]
    assert "parts at insn" in first.message and "R3=0x" in first.message


def dies(
    name: str, engines: Sequence[str], commands: Sequence[str], plan: str, every: int, seconds: float
) -> list[Result]:
    """Stands for generated._work: dies at one name."""
    if name == "neg64":
        os._exit(3)
    return [Result(name, name, "arm64", "passed", 1)]


def test_a_process_that_dies_is_a_failure_of_what_it_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "_work", dies)
    results = [result for found in run_suite(["neg32", "neg64", "ja"], ["arm64"], jobs=2) for result in found]
    assert {result.row: result.status for result in results} == {"neg32": "passed", "neg64": "failed", "ja": "passed"}


@pytest.mark.deep
def test_all_of_it_on_all_engines() -> None:
    found = run_suite(NAMES, list(ENGINES), jobs=os.cpu_count() or 1)
    bad = [result for results in found for result in results if result.status != "passed"]
    assert not bad, bad[:5]


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.deep), 10], ids=["all", "some"])
def test_the_kernel_as_a_judge(rows: int) -> None:
    """Everything that the live kernel loads gives the same R0, R6-R9 and memory."""
    try:
        kernel = engine("linux")
        kernel.prepare(Unit((next(iter(cases("neg64", sys.byteorder))).program,))).run(Input(), World(), Limits())
    except Refused as reason:
        pytest.skip(str(reason))
    counts = Counter[str]()
    for row in RUNNABLE[::rows]:
        for result in run_row(row.name, [kernel], DEFAULT_PLAN, SPARSE):
            counts[result.status] += 1
            assert result.status != "failed", result
    assert counts["passed"] > 600 / rows, counts


# Without maps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add64_reg", "jset32_imm", "stx32", "ldsx8", "atomic64_cmpxchg", "lddw_imm"])
def test_the_suite_without_maps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R0 tells what the results map would have told."""
    found = list(bare_cases(name))
    assert found
    seen = False
    row = ROW[name]
    lowering = {Kind.ALU: row.op, Kind.BRANCH: "branch", Kind.STORE: "store", Kind.LOAD: "load", Kind.ATOMIC: "atomic"}
    for case, memory in found:
        assert len(memory) <= ROOM
        unit = Unit((case.program,))
        expected = ENGINES["interpreter"].prepare(unit).run(Input(memory), World(), Limits())
        assert expected.status == "done"
        assert not difference(expected, ENGINES["arm64"].prepare(unit).run(Input(memory), World(), Limits()))
        with monkeypatch.context() as planted:
            planted.setattr(backend(TARGETS["arm64"]), "lower_" + lowering.get(row.kind, "const"), _broken(row.width))
            wrong = ENGINES["arm64"].prepare(Unit((case.program,))).run(Input(memory), World(), Limits(seconds=1))
            seen = seen or wrong.r0 != expected.r0
    assert seen


def _broken(width: int) -> object:
    """A lowering that leaves out the operation at that width."""
    return lambda self, op: None


# The verb ----------------------------------------------------------------------------------------


def conform(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["conform", "--quick", "--jobs", "1", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_the_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, junit = tmp_path / "a.html", tmp_path / "a.xml"
    code, out = conform(capsys, "--only", "neg", "--only", "to_be16", "--html", html, "--junit", junit)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["instruction", "evaluations", *ENGINES]
    assert [line[0] for line in lines[1:4]] == ["neg64", "neg32", "to_be16"]
    assert all(line[2:] == ["ok"] * 7 for line in lines[1:4])
    page = html.read_text()
    assert page.count('class="ok"') == 21
    assert "<td>to_be16</td>" in page
    suites = ElementTree.parse(junit).getroot()
    assert [suite.get("name") for suite in suites] == list(ENGINES)
    assert all(suite.get("failures") == "0" and int(suite.get("tests", "0")) > 2 for suite in suites)


def test_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = conform(capsys, "--only", "neg32", "--target", "riscv64,s390", "--json")
    assert code == 0
    record = json.loads(out)
    assert set(record["engines"]) == {"riscv64", "s390x"}
    assert record["rows"]["neg32"]["s390x"]["passed"] == record["engines"]["s390x"]["passed"] > 0
    assert record["failures"] == []


def test_no_such_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--only", "nonsense"]) == 2
    assert "no instruction of the suite is named 'nonsense'" in capsys.readouterr().err

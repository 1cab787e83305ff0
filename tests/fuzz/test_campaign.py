"""Campaigns find planted faults, shrink them to their core, and write reproducers that reproduce."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bpf.isa import Kind
from crossbpf.cli import main
from engines import engine
from fuzz.campaign import campaign
from fuzz.genome import decode, draw
from fuzz.oracles import Finding
from fuzz.reproducer import assembly, pytest_file
from fuzz.shrink import _by_deletion, _by_hypothesis, shrink
from jit.encoding import Unencodable
from jit.registry import TARGETS, backend
from vm.world import Input


def plant(monkeypatch: pytest.MonkeyPatch, name: str, op_name: str, change: Callable[[Any], None]) -> None:
    """Let a backend lower a changed copy of each Op of that name; the changed Op may have another name."""
    cls = backend(TARGETS[name])

    def lower(self: Any, op: Any) -> None:
        changed = copy.copy(op)
        change(changed)
        (original if changed.name == op.name else getattr(cls, "lower_" + changed.name))(self, changed)

    original = getattr(cls, "lower_" + op_name)
    monkeypatch.setattr(cls, "lower_" + op_name, lower)


def signed_division(op: Any) -> None:
    op.name = "sdiv"


def wide(op: Any) -> None:
    op.width = 64


def no_sign(op: Any) -> None:
    op.signed = False


def one_more(op: Any) -> None:
    if op.b < 0:
        op.imm ^= 1 << 7


@pytest.mark.parametrize("name", ["x86_64", "arm64", "riscv64", "ppc64", "s390x"])
@pytest.mark.parametrize(
    ("op_name", "change", "slots"),
    [("div", signed_division, 3), ("neg", wide, 2), ("load", no_sign, 4), ("add", one_more, 2), ("rsh", wide, 2)],
)
def test_planted_faults_are_found_and_shrunk(
    name: str, op_name: str, change: Callable[[Any], None], slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, name, op_name, change)
    found = next(p for p in campaign([engine(name)], programs=3000) if p.finding is not None)
    assert found.finding is not None
    assert found.finding.engine == name
    assert found.finding.parting is not None
    text = [insn for insn in found.finding.program.insns if insn is not None]
    assert len(text) <= slots, text


def test_a_compiler_that_gives_up_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def unencodable(op: Any) -> None:
        raise Unencodable("no such shift")

    plant(monkeypatch, "arm64", "arsh", unencodable)
    found = next(p for p in campaign([engine("arm64")], programs=500) if p.finding is not None)
    assert found.finding is not None
    assert found.finding.what == "does not compile it: no such shift"
    assert len(found.finding.program) == 2


def test_sound_engines_have_no_finding() -> None:
    engines = [engine(name) for name in TARGETS]
    reports = list(campaign(engines, programs=150, seed=1))
    assert [report.programs for report in reports] == list(range(1, 151))
    assert not any(report.finding for report in reports)


def test_a_seed_is_a_campaign() -> None:
    first, again, other = ([p.genome for p in islice(campaign([engine("arm64")], seed=seed), 5)] for seed in (3, 3, 4))
    assert first == again != other


METHODS = {
    "default": (shrink, [(1, 1001)]),
    "Hypothesis": (lambda genome, fails: _by_hypothesis(genome, fails, 2000), [(1, 1001)]),
    "deletion": (_by_deletion, [(1, 1001), (9, 123456789)]),  # the fallback does not lower odd numbers well
}


@pytest.mark.parametrize("method", METHODS)
def test_shrinking(method: str) -> None:
    """Hypothesis's way, which is the one that is used, ends at the simplest genome; the fallback deletes."""
    way, ends = METHODS[method]

    def fails(genome: tuple[int, ...]) -> bool:
        return any(number >= 1000 for number in genome) and sum(number % 2 for number in genome) >= 2

    start = (5, 77777, 1 << 60, 2, 2, 9, 123456789, 0)
    assert fails(start)
    assert tuple(sorted(way(start, fails))) in ends


def test_the_command_and_its_reproducer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, "riscv64", "neg", wide)
    arguments = ["fuzz", "--target", "riscv64,arm64", "--programs", "2000", "--in-process", "--json"]
    assert main([*arguments, "--out", str(tmp_path)]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["finding"]["engine"] == "riscv64"
    text, test = (Path(file) for file in record["finding"]["files"])
    assert re.search(r"w(\d) = -w\1\n    exit\n$", text.read_text())
    namespace: dict[str, Any] = {}
    exec(compile(test.read_text(), str(test), "exec"), namespace)
    with pytest.raises(AssertionError, match=r"R\d is"):
        namespace["test_agrees"]()
    monkeypatch.undo()
    namespace["test_agrees"]()
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(test)]
    assert subprocess.run(command, cwd=root, check=False, capture_output=True).returncode == 0


def test_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--programs", "20"]) == 0
    assert "20 programs on 6 engines" in capsys.readouterr().out
    assert main(["fuzz", "--time", "0.2", "--target", "x86_64", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finding"] is None
    assert main(["fuzz", "--out", "no/such/dir"]) == 2


def test_a_plugin_under_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A runtime that always says 7 is found out at once; what is left of the program says nothing but the set-up."""
    command = f"{sys.executable} -c 'print(7)'"
    assert main(["fuzz", "--programs", "3", "--plugin", command, "--out", str(tmp_path)]) == 1
    assert "R0 is 0x7" in capsys.readouterr().out


def test_a_reproducer_has_the_packet_and_the_arena() -> None:
    genomes = (draw(Random(seed), 60) for seed in range(100))
    found = (decode(genome, packet=True) for genome in genomes)
    program = next(
        one for one in found if len(one.maps) == 2 and any(i and i.row.kind is Kind.PACKET for i in one.insns)
    )
    finding = Finding("arm64", program, Input(packet=bytes(range(40))), "something")
    assert "# packet: 000102" in assembly(finding)
    namespace: dict[str, Any] = {}
    exec(compile(pytest_file(finding, [engine("arm64")]), "test", "exec"), namespace)
    assert namespace["PROGRAM"].insns == program.insns
    assert namespace["ENTRY"].packet == bytes(range(40))
    namespace["test_agrees"]()

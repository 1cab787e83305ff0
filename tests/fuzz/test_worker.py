"""Campaigns outlive the process that judges: what kills it, or keeps it, is a finding about its program."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bpf.plan import Unit
from crossbpf.cli import main
from engines import Options, engine
from engines.emulated import EmulatedEngine, EmulatedPrepared
from fuzz.campaign import campaign
from fuzz.oracles import judge_genome
from fuzz.worker import Worker
from jit.registry import TARGETS
from tests.interrupts import interruptible
from vm.world import Input, Limits

ROOT = Path(__file__).parents[2]


def multiplies(unit: Unit) -> bool:
    return any(insn is not None and insn.row.name == "mul64_imm" for insn in unit.programs[0].insns)


class Planted(EmulatedEngine):
    """An engine of ours that does something to its process when it sees a multiplication."""

    def prepare(self, unit: Unit, options: Options | None = None) -> EmulatedPrepared:
        if multiplies(unit):
            self.misbehave()
        return super().prepare(unit, options)

    def misbehave(self) -> None:
        raise NotImplementedError


class Aborts(Planted):
    def misbehave(self) -> None:
        os.abort()


class Leaves(Planted):
    def misbehave(self) -> None:
        os._exit(7)


class Stays(Planted):
    def misbehave(self) -> None:
        time.sleep(600)


def first_finding(planted: EmulatedEngine, judge: Any) -> Any:
    engines = [engine("arm64"), planted, engine("s390x")]
    return next(one for one in campaign(engines, programs=300, seed=3, judge=judge) if one.finding)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_death_is_a_finding_and_is_shrunk() -> None:
    with Worker() as worker:
        found = first_finding(Aborts(TARGETS["riscv64"]), worker.judge)
    assert found.finding.engine == "riscv64"
    assert found.finding.what == "the process died with SIGABRT"
    names = [insn.row.name for insn in found.finding.program.insns if insn is not None]
    assert names == ["mul64_imm", "exit"]


def test_an_exit_is_a_finding() -> None:
    with Worker() as worker:
        genome = next(p.genome for p in campaign([], programs=300) if multiplies(Unit((decoded(p.genome),))))
        found = worker.judge(genome, Input(), [engine("arm64"), Leaves(TARGETS["riscv64"])])
        assert found is not None
        assert (found.engine, found.what) == ("riscv64", "the process died with exit code 7")
        assert worker.judge((), Input(), [engine("arm64")]) is None, "the next one is there"


def decoded(genome: tuple[int, ...]) -> Any:
    from fuzz.genome import decode

    return decode(genome)


def test_a_process_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    genome = next(p.genome for p in campaign([], programs=300) if multiplies(Unit((decoded(p.genome),))))
    with Worker() as worker:
        assert worker.judge((), Input(), [engine("riscv64")]) is None
        monkeypatch.setattr("fuzz.worker._START", 0.0)
        found = worker.judge(genome, Input(), [Stays(TARGETS["riscv64"])], limits=Limits(seconds=0.1), patience=4)
    assert found is not None
    assert found.what == "kept its process for more than 1 s"


def test_the_worker_judges_as_judge_genome_does() -> None:
    engines = [engine(name) for name in TARGETS]
    with Worker() as worker:
        here = list(campaign(engines, programs=5, seed=7))
        there = list(campaign(engines, programs=5, seed=7, judge=worker.judge))
    assert [(p.genome, p.finding) for p in here] == [(p.genome, p.finding) for p in there]


def test_what_judging_raises_is_raised_here() -> None:
    with Worker() as worker, pytest.raises(TypeError, match="unsupported operand"):
        worker.judge(("no number",), Input(), [engine("arm64")])  # type: ignore[arg-type]


def test_a_guest_that_does_not_end_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulated engine: the watchdog stops the guest, twice, and shrinking does not take for ever."""
    from jit.registry import backend

    cls = backend(TARGETS["riscv64"])
    original = cls.lower_mul

    def lower(self: Any, op: Any) -> None:
        if op.b < 0:
            self.emit(b"\x6f\0\0\0")  # j .
        original(self, op)

    monkeypatch.setattr(cls, "lower_mul", lower)
    limits = Limits(instructions=1_000_000, seconds=0.1)
    found = next(p for p in campaign([engine("riscv64")], programs=300, seed=1, limits=limits) if p.finding)
    assert found.finding is not None
    assert found.finding.what.startswith("did not end within 0.4 s; the interpreter needed ")
    assert found.finding.hangs
    assert len(found.finding.program) == 2 + bool(found.finding.entry.packet)  # one that keeps the context
    assert judge_genome(found.genome, Input(), [engine("arm64")]) is None


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("pause", [0.0, 0.1, 1.0])
def test_an_interrupt_ends_all_processes(pause: float, tmp_path: Path) -> None:
    """While the worker starts, and when it is at work."""
    with interruptible(["fuzz", "--time", "600", "--out", str(tmp_path)]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (started := children.read_text().split()):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(pause)
        started = children.read_text().split()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in started):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_in_process(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.worker.Worker._start", None)
    assert main(["fuzz", "--programs", "3", "--in-process", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["programs"] == 3

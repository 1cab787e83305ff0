"""External runtimes: a good one passes, and whatever a bad one does is an Outcome that says so."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from bpf.errors import BadInput
from bpf.plan import Unit
from bpf.spec.conventions import SUITE
from bpf.text import assemble
from engines.plugin import PluginEngine
from vm.outcome import Outcome
from vm.world import Input, Limits, World

PYTHON = shlex.quote(sys.executable)
OURS = f"{PYTHON} -m crossbpf plugin"


def run(command: str, text: str = "r0 = 5; exit", memory: bytes = b"", seconds: float = 60.0) -> Outcome:
    unit = Unit((assemble(text),), convention=SUITE)
    return PluginEngine(command).prepare(unit).run(Input(memory), World(), Limits(seconds=seconds))


def script(code: str) -> str:
    return f"{PYTHON} -c {shlex.quote(code)}"


@pytest.mark.parametrize("engine", ["interpreter", "riscv64", "s390x"])
def test_our_own_plugin(engine: str) -> None:
    outcome = run(f"{OURS} --engine {engine}", "r0 = *(u8 *)(r1 + 1); r0 += r2; exit", b"\x01\x02\x03")
    assert (outcome.status, outcome.r0) == ("done", 5)


def test_our_own_plugin_says_why_it_failed() -> None:
    outcome = run(OURS, "r1 = 0; r0 = *(u64 *)(r1 + 8); exit")
    assert outcome.status == "fault"
    assert outcome.fault is not None
    assert "read fault of 0x8 at insn 1" in outcome.fault.detail


def test_what_a_plugin_is_given() -> None:
    shows = "import sys; print(hex(len(sys.stdin.read().split()) << 8 | int(sys.argv[1], 16)))"
    assert run(script(shows), memory=b"\x07").r0 == 0x1007


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", "crashed with SIGABRT"),
        ("import sys; sys.exit('division by zero')", "division by zero"),
        ("raise SystemExit(3)", "exit code 3"),
        ("print('hello')", "printed no result but 'hello'"),
        ("", "printed no result but ''"),
        ("print('1' * 40)", "more than 64 bits"),
        ("print('0x' + '0' * 20 + '1' * 17)", "more than 64 bits"),
        ("print('-5')", "printed no result but '-5'"),
        ("print('1_0')", "printed no result but '1_0'"),
        ("print('\\x1b[2J\\0')", "printed no result but '?[2J?'"),
        ("bytearray(1 << 36)", "MemoryError"),
        ("import sys; sys.stdout.buffer.write(b'x' * (8 << 20))", "printed no result but 'xxx"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="bounds and signals are POSIX")
def test_what_goes_wrong_is_a_finding(code: str, words: str) -> None:
    outcome = run(script(code))
    assert outcome.status == "fault"
    assert outcome.fault is not None
    assert outcome.fault.kind == "error"
    assert words in outcome.fault.detail


def test_a_plugin_that_hangs_runs_into_the_limit() -> None:
    assert run(script("while True: pass"), seconds=0.5).status == "limit"


@pytest.mark.skipif(sys.platform == "win32", reason="there a command line has other limits")
def test_a_program_that_it_cannot_be_given_is_a_finding() -> None:
    fault = run(script("print(5)"), memory=bytes(1 << 20)).fault
    assert fault is not None
    assert "cannot be started: " in fault.detail


def test_it_is_named_after_its_command() -> None:
    assert PluginEngine(f"{PYTHON} -I some/folder/run.py").name == f"plugin {Path(sys.executable).name} -I run.py"


def test_no_such_command() -> None:
    with pytest.raises(BadInput, match="cannot be started"):
        run("no-such-runtime --flag")
    with pytest.raises(BadInput, match="is no command: No closing quotation"):
        PluginEngine("run 'this")
    with pytest.raises(BadInput, match="is empty"):
        PluginEngine("  ")

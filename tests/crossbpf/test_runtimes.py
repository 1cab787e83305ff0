"""The plugin protocol, in and out: a small runtime written for this, and our own engine under our own runner.

Whatever the small runtime does, conform and fuzz report it with the program that did it, and go on.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import pytest

from bpf.errors import Refused
from crossbpf.cli import main
from crossbpf.conform import find_files
from engines import ENGINES, Engine, Options, Prepared
from engines.emulated import EmulatedEngine
from fuzz.suite.datafile import read
from fuzz.suite.runner import run_test
from vm.world import Limits

PYTHON = shlex.quote(sys.executable)
SMALL = f"{PYTHON} -I -S {shlex.quote(str(Path(__file__).parent / 'small_runtime.py'))}"
NAME = f"plugin {Path(sys.executable).name} -I -S small_runtime.py"
OURS = f"{PYTHON} -m crossbpf plugin"
M64 = (1 << 64) - 1
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and bounds are POSIX")

FILES = {
    "add": "mov %r0, 3\nadd %r0, -5\nexit\n-- result\n0xfffffffffffffffe\n",
    "divide": "lddw %r0, 0x8000000000000001\nmov %r1, 2\ndiv %r0, %r1\nexit\n-- result\n0x4000000000000000\n",
    "loop": "mov %r0, 0\nmov %r1, 10\nadd %r0, %r1\nadd %r1, -1\njne %r1, 0, -3\nexit\n-- result\n55\n",
    "memory": "ldxh %r0, [%r1+1]\nstxb [%r1+3], %r0\nldxw %r0, [%r1]\nexit\n-- mem\n1 2 3 4\n-- result\n0x2030201\n",
    "stack": "stdw [%r10-8], -7\nldxw %r0, [%r10-4]\nexit\n-- result\n0xffffffff\n",
    "call": "mov %r1, 20\ncall local f\nexit\nf:\nmov %r0, %r1\nmul32 %r0, -1\nexit\n-- result\n0xffffffec\n",
    "bounds": "ldxdw %r0, [%r1+8192]\nexit\n-- mem\n00\n-- error\nno memory\n",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / f"{name}.data").write_text("-- asm\n" + content)
    return tmp_path


def conform(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = main(["conform", *map(str, arguments), "--target", "arm64", "--json"])
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, record


def test_a_small_runtime_passes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, record = conform(capsys, files, "--plugin", SMALL, "--plugin", SMALL)
    passed = {"passed": len(FILES), "failed": 0, "undecided": 0}
    assert record["engines"] == {"arm64": passed, NAME: passed, f"{NAME} (2)": passed}
    assert code == 0


@pytest.mark.parametrize(
    ("bad", "culprit", "words"),
    [
        pytest.param("crash:3f", "divide", r"crashed with SIGABRT", marks=posix),
        ("hang:3f", "divide", r"did not end within 2 s; the interpreter needed 4 instructions"),
        ("garbage:24", "call", r"printed no result but '\?\[31m"),
        pytest.param("eat:69", "memory", r"MemoryError", marks=posix),
        ("wrong:3f", "divide", r"R0 is 0x4000000000000001, expected 0x4000000000000000"),
        ("error:7a", "stack", r"no such instruction"),
    ],
)
def test_what_it_does_wrong_is_a_failure_with_file_and_engine(
    bad: str, culprit: str, words: str, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_RUNTIME", bad)
    seconds = 0.5 if "hang" in bad else 20
    code, record = conform(capsys, files, "--plugin", SMALL, "--seconds", seconds)
    assert code == 1
    (failure,) = record["failures"]
    assert (Path(failure["file"]).stem, failure["engine"], failure["status"]) == (culprit, NAME, "failed")
    assert re.search(words, failure["message"])
    assert record["engines"]["arm64"]["passed"] == len(FILES)


class Broken(EmulatedEngine):
    """An engine of ours that raises what it should not."""

    def prepare(self, unit: Any, options: Options | None = None) -> Any:
        raise ZeroDivisionError("of ours")


class BrokenLater(EmulatedEngine):
    """The same, when it runs."""

    def prepare(self, unit: Any, options: Options | None = None) -> Any:
        return _Raises()


class _Raises(Prepared):
    def run(self, *_: object) -> Any:
        raise KeyError(5)

    def trace(self, *_: object) -> Any:
        raise Refused("no")


@pytest.mark.parametrize(
    ("broken", "words"),
    [(Broken, "does not compile it: ZeroDivisionError: of ours"), (BrokenLater, "breaks down: KeyError: 5")],
)
def test_an_engine_that_raises_fails_and_the_others_go_on(broken: type, words: str, files: Path) -> None:
    arm64: Any = ENGINES["arm64"]
    engines: list[Engine] = [broken(arm64.target), arm64]
    for file in find_files([str(files)]):
        test = read(file)
        first, second = run_test(test, engines, limits=Limits(seconds=2.0))
        assert (first.status, second.status) == ("failed", "passed")
        assert first.message.startswith(words)


# Our own engine under our own runner -------------------------------------------------------------


def sign(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


OPERATIONS: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, _: a + b,
    "sub": lambda a, b, _: a - b,
    "mul": lambda a, b, _: a * b,
    "div": lambda a, b, _: a // b if b else 0,
    "mod": lambda a, b, _: a % b if b else a,
    "and": lambda a, b, _: a & b,
    "or": lambda a, b, _: a | b,
    "xor": lambda a, b, _: a ^ b,
    "lsh": lambda a, b, bits: a << (b & bits - 1),
    "rsh": lambda a, b, bits: a >> (b & bits - 1),
    "arsh": lambda a, b, bits: sign(a, bits) >> (b & bits - 1),
}
VALUES = (0, 1, 7, 31, 63, 0x80000000, 0xFFFFFFFF, 1 << 63, M64, 0x123456789ABCDEF0, 0xDEADBEEF87654321)


def generated() -> list[str]:
    """Tests of arithmetic and comparisons at both widths, loops and memory, with results that Python has worked out."""
    tests = []
    pairs = cycle(product(VALUES, VALUES[::-1]))
    for (name, effect), bits, (a, b) in islice(
        ((operation, bits, next(pairs)) for _ in range(9) for operation in OPERATIONS.items() for bits in (32, 64)), 190
    ):
        mask = (1 << bits) - 1
        result = effect(a & mask, b & mask, bits) & mask
        tests.append(
            f"lddw %r0, {a:#x}\nlddw %r6, {b:#x}\n{name}{'32' if bits == 32 else ''} %r0, %r6\nexit\n"
            f"-- result\n{result:#x}\n"
        )
    for name, taken in (("jgt", lambda a, b: a > b), ("jsle", lambda a, b: sign(a, 64) <= sign(b, 64))):
        for a, b in islice(pairs, 30):
            tests.append(
                f"lddw %r1, {a:#x}\nlddw %r2, {b:#x}\nmov %r0, 1\n{name} %r1, %r2, +1\nmov %r0, 2\nexit\n"
                f"-- result\n{1 if taken(a, b) else 2}\n"
            )
    for count in range(1, 26):
        tests.append(
            f"mov %r0, 1\nmov %r1, {count}\nagain:\nmul %r0, 3\nadd %r1, -1\njne %r1, 0, again\nexit\n"
            f"-- result\n{3**count & M64:#x}\n"
        )
        memory = bytes((count * n + 3) & 0xFF for n in range(16))
        tests.append(
            f"ldxw %r0, [%r1+{count % 12}]\nexit\n-- mem\n{memory.hex(' ')}\n"
            f"-- result\n{int.from_bytes(memory[count % 12 :][:4], 'little'):#x}\n"
        )
    return tests


@pytest.mark.parametrize("count", [4, pytest.param(300, marks=pytest.mark.deep)])
def test_our_own_plugin_under_our_own_runner(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = generated()
    assert len(set(tests)) >= 295 and len(tests) == 300
    for number, content in list(enumerate(tests))[:: len(tests) // count]:
        (tmp_path / f"{number:03}.data").write_text("-- asm\n" + content)
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    code, record = conform(capsys, tmp_path, "--plugin", f"{OURS} --engine riscv64", "--seconds", 60)
    assert not record["failures"]
    assert [totals["passed"] for totals in record["engines"].values()] == [count, count]
    assert code == 0


# Fuzzing a runtime -------------------------------------------------------------------------------


def fuzz(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["fuzz", "--plugin", SMALL, "--out", str(tmp_path), "--json", *arguments])
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, record


def test_a_sound_runtime_has_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, record = fuzz(tmp_path, capsys, "--programs", "50", "--seconds", "20")
    assert (code, record["finding"]) == (0, None)


@pytest.mark.parametrize(
    ("bad", "seed", "words", "ends"),
    [
        pytest.param("crash:a7", 1, "crashed with SIGABRT", r" \^= -?\d+", marks=[posix, pytest.mark.deep]),
        pytest.param("hang:37", 0, "did not end within 2 s", r" s?/= -?\d+", marks=pytest.mark.deep),
        ("garbage:2f", 5, "printed no result but", r" \*= r\d"),
        pytest.param("eat:77", 6, "MemoryError", r" >>= -?\d+", marks=posix),
        pytest.param("wrong:3c", 7, "R0 is 0x", r"w0 s?/= w\d", marks=pytest.mark.deep),
    ],
)  # seeds that find it in a program which is soon shrunk: each candidate is a process
def test_what_a_runtime_does_wrong_is_shrunk_and_written(
    bad: str, seed: int, words: str, ends: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What is left of the program behind the set-up is the one instruction; the test fails until it is mended."""
    monkeypatch.setenv("SMALL_RUNTIME", bad)
    seconds = "0.5" if "hang" in bad else "20"
    code, record = fuzz(tmp_path, capsys, "--programs", "1500", "--seed", str(seed), "--seconds", seconds)
    assert code == 1
    finding = record["finding"]
    assert finding["engine"] == NAME
    assert words in finding["what"]
    text, test = (Path(file) for file in finding["files"])
    assert re.search(ends + r"\n    exit\n$", text.read_text()), text.read_text()
    assert text.read_text().isprintable() or "\x1b" not in text.read_text()
    namespace: dict[str, Any] = {}
    exec(compile(test.read_text(), str(test), "exec"), namespace)
    if "hang" not in bad:  # five seconds, and four times as many
        with pytest.raises(AssertionError, match=re.escape(words)):
            namespace["test_agrees"]()
    monkeypatch.delenv("SMALL_RUNTIME")
    namespace["test_agrees"]()


@posix
@pytest.mark.deep
def test_the_suite_on_a_runtime(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound one passes; a wrong one fails where it is wrong; one that hangs is not asked for ever."""

    def suite(what: str, seconds: float, only: str = "xor64") -> tuple[int, dict[str, Any]]:
        monkeypatch.setenv("SMALL_RUNTIME", what)
        arguments = ["conform", "--target", "arm64", "--plugin", SMALL, "--only", only, "--jobs", "1", "--quick"]
        code = main([*arguments, "--seconds", str(seconds), "--json"])
        return code, json.loads(capsys.readouterr().out)

    code, record = suite(":0", 10, "neg64")
    (name,) = set(record["engines"]) - {"arm64"}
    assert code == 0
    assert record["rows"]["neg64"][name]["passed"] >= 1
    code, record = suite("wrong:a7", 10)
    assert code == 1
    assert record["rows"]["xor64_imm"][name]["failed"] >= 3
    assert "failed" not in record["rows"]["xor64_reg"][name]
    code, record = suite("hang:a7", 0.3)
    assert code == 1
    words = [failure["message"] for failure in record["failures"] if failure["program"].startswith("xor64_imm ")]
    assert sum("did not end within" in message for message in words) == 2
    assert any("not run: it has hung 2 times" in message for message in words)

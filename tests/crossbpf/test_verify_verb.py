"""`crossbpf verify`: verdicts as text and JSON, exit codes, and one clear line for each bad input."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from crossbpf.cli import main
from tests.verifier.live import needs_linux

GOOD, BAD = "r0 = 0\nexit\n", "r0 = *(u64 *)(r1 + 0)\nexit\n"
OBJECT = Path(__file__).resolve().parents[1] / "data" / "objects" / "types.bpfel.o"


class Prompt:
    """A command line in a folder with a few programs."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, line: str, code: int) -> tuple[str, str]:
        """What a command prints: its output, and its errors."""
        found = main(["verify", *line.split()])
        printed = self.capsys.readouterr()
        assert found == code, (line, printed.out, printed.err)
        assert "Traceback" not in printed.err
        return printed.out, printed.err


@pytest.fixture
def prompt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prompt:
    monkeypatch.chdir(tmp_path)
    for name, text in (("good.s", GOOD), ("bad.s", BAD), ("empty.s", ""), ("empty.bin", ""), ("words.hex", "zz")):
        Path(name).write_text(text, "utf-8")
    Path("garbage.o").write_bytes(bytes(range(256)))
    Path("odd.bin").write_bytes(bytes(9))
    end = struct.pack("<BBhi", 0x95, 0, 0, 0)
    Path("reserved.bin").write_bytes(struct.pack("<BBhi", 0xB7, 0, 1, 0) + end)
    Path("half.bin").write_bytes(struct.pack("<BBhi", 0x18, 0, 0, 0) + end)
    Path("unknown.bin").write_bytes(b"\xff" + bytes(7) + end)
    Path("far.bin").write_bytes(struct.pack("<BBhi", 5, 0, 9, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0))
    return Prompt(capsys)


BROKEN = [
    ("missing.s", "missing.s: no such file"),
    (".", "is a directory"),
    ("garbage.o", "garbage.o: not an ELF file"),
    ("empty.s", "empty.s: no instructions"),
    ("empty.bin", "empty.bin: no code"),
    ("odd.bin", "odd.bin: code is 9 bytes long"),
    ("words.hex", "words.hex: not hex bytes"),
    ("good.s --prog nosuch", "good.s: no program named 'nosuch' (it has: good)"),
    ("good.s --type nosuch", "--type: no program type named 'nosuch'"),
    ("good.s --caps CAP_NOSUCH", "--caps: no capability CAP_NOSUCH"),
    ("good.s --mem zz", "--mem: 'zz' is neither a file nor hex bytes"),
    ("good.s --cfg nosuch/x.svg", "nosuch/x.dot: cannot be written"),
    ("good.s --cfg .", ".: is a directory"),
    ("good.s bad.s --cfg x.svg", "x.svg: 2 programs for one graph"),
]


@pytest.mark.parametrize(("line", "sentence"), BROKEN)
def test_bad_input_gets_one_line(prompt: Prompt, line: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # no program to draw with
    _, error = prompt(line, 2)
    assert error.startswith("crossbpf: ")
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    {
        "unknown.bin": "unknown opcode ff",
        "far.bin": "jump out of range from insn 0 to 10",
        "reserved.bin": "BPF_MOV uses reserved fields",
        "half.bin": "invalid bpf_ld_imm64 insn",
    }.items(),
)  # fmt: skip
def test_what_is_malformed_gets_a_verdict(prompt: Prompt, name: str, sentence: str) -> None:
    assert prompt(name, 1)[0].splitlines()[:2] == [
        f"prog {name.removesuffix('.bin')}: bpf_prog_load() err=22 (EINVAL)", f"verification failed: {sentence}",
    ]  # fmt: skip


def test_where_linux_says_nothing_there_is_a_reason(prompt: Prompt) -> None:
    said = "programs of type xdp need CAP_BPF"
    assert prompt("good.s --type xdp --unpriv", 1)[0].splitlines() == [
        "prog good: bpf_prog_load() err=1 (EPERM)", f"refused without a word: {said}",
    ]  # fmt: skip
    record = json.loads(prompt("good.s --type xdp --unpriv --json", 1)[0])
    assert (record["message"], record["reason"]) == ("", said)


def test_linux_is_not_asked_about_plain_programs(prompt: Prompt) -> None:
    said, _ = prompt("good.s good.s --type plain --engine linux", 2)
    assert said.count("linux: Linux has no plain programs (say what it is with --type)\n") == 2


@pytest.mark.parametrize("time", ["1s", "500ms", "2m", "0.5", ".5s"])
def test_a_time_limit_has_a_unit(prompt: Prompt, time: str) -> None:
    assert "accepted" in prompt(f"good.s --time-limit {time}", 0)[0]


CONTRADICTIONS = ["--unpriv --caps CAP_BPF", "--jobs 0", "--time-limit -1", "--time-limit nan", "--time-limit 1h"]


@pytest.mark.parametrize("options", CONTRADICTIONS)
def test_options_that_make_no_sense_are_refused(prompt: Prompt, options: str) -> None:
    _, error = prompt(f"good.s {options}", 2)
    assert options.split()[0] in error


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_refusal_is_an_answer_of_no(prompt: Prompt, jobs: int) -> None:
    assert prompt(f"good.s --jobs {jobs}", 0)[0] == "prog good: accepted, 2 insns processed\n"
    out, _ = prompt(f"bad.s good.s --jobs {jobs}", 1)
    assert out.splitlines() == [
        "prog bad: bpf_prog_load() err=13 (EACCES)", "verification failed: R1 invalid mem access 'scalar'", "path: 0",
        "at 0: (79) r0 = *(u64 *)(r1 +0)", "   bad.s:1: r0 = *(u64 *)(r1 + 0)",
        "prog good: accepted, 2 insns processed",
    ]  # fmt: skip
    assert prompt(f"bad.s --mem 0011223344556677 --jobs {jobs}", 0)[0].startswith("prog bad: accepted")


@pytest.mark.parametrize("options", ["", "-vv", "--explain", "--jobs 2", "--merge", "--type xdp", "--big-endian"])
def test_records_are_json_for_each_program(prompt: Prompt, options: str) -> None:
    out, _ = prompt(f"bad.s good.s --json {options}", 1)
    bad, *_ = records = [json.loads(line) for line in out.splitlines()]
    assert [one["program"] for one in records] == ["bad", "good"]
    assert (bad["accepted"], bad["errno"], bad["insn"], bad["path"]) == (False, 13, 0, [[0, 0]])
    assert bad["message"] in bad["log"]
    assert ("explanation" in bad) == (options == "--explain")
    for one in records:
        assert one["accepted"] == (one["errno"] == 0)


def test_a_graph_is_drawn_for_what_is_refused_too(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    _, error = prompt("bad.s --cfg graph.svg", 1)
    assert error == "graph: graph.dot\n"
    assert Path("graph.dot").read_text("utf-8").startswith("digraph")


def test_an_object_says_what_its_programs_are(prompt: Prompt) -> None:
    out, _ = prompt(f"{OBJECT} --json", 1)
    assert {json.loads(line)["type"] for line in out.splitlines()} == {"plain"}


class TestLive:
    pytestmark = needs_linux

    def test_both_answers_are_shown(self, prompt: Prompt) -> None:
        out, _ = prompt("good.s bad.s --type socket_filter --engine linux", 1)
        assert out.count("linux: the same") == 2
        record = json.loads(prompt("bad.s --type xdp --engine linux --json", 1)[0])
        assert record["linux"] == {"errno": record["errno"], "message": record["message"]}

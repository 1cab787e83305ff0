"""The command line: what each verb prints, its exit codes, and one line for every kind of bad input."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bpf.text import assemble
from crossbpf.cli import main
from jit.registry import TARGETS, backend

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAM = "r0 = r2\nif r0 == 0 goto none\nr0 = *(u8 *)(r1 + 0)\nnone: r0 += 5\nexit\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "prog.s"
    path.write_text(PROGRAM)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def broken_neg(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Plant a fault: negation does nothing."""
    monkeypatch.setattr(backend(TARGETS[name]), "lower_neg", lambda self, op: None)


class TestCheck:
    def test_all_agree(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, err = run(capsys, "check", source, "--mem", "0x0a 0b")
        assert (code, err) == (0, "")
        for name in TARGETS:
            (line,) = (line for line in out.splitlines() if line.startswith(name + " "))
            assert line.split()[1] == "0xf"
            assert line.rstrip().endswith("agrees")
        assert sum(line.startswith("interpreter") for line in out.splitlines()) == 2

    def test_a_packet(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "packet.s"
        path.write_text("r6 = r1; r0 = *(u16 *)skb[2]; exit")
        packet = bytes(range(20)).hex()
        code, out, _ = run(capsys, "check", path, "--packet", packet)
        assert (code, out.count("0x1011")) == (0, len(TARGETS) + 2)
        code, out, _ = run(capsys, "trace", path, "--target", "s390x", "--packet", packet)
        assert (code, out.count("agree")) == (0, 1)
        code, out, _ = run(capsys, "check", path)
        assert "context fault" in out

    def test_without_memory_r1_and_r2_are_zero(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "check", source, "--target", "s390")
        assert code == 0
        assert out.count("0x5") == 2

    def test_standard_input_and_count(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stdin(monkeypatch, PROGRAM.encode())
        code, out, _ = run(capsys, "check", "-", "--count", "--target", "x86_64")
        assert code == 0
        interpreter = next(line for line in out.splitlines() if line.startswith("interpreter"))
        assert interpreter.split()[-2] == "4"

    def test_json(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "check", source, "--json", "--plan", "all")
        records = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [record["plan"] for record in records] == ["low", "high", "kernel", "fence"]
        for record in records:
            assert {row["r0"] for row in record["engines"]} == {"0x5"}
            assert {row["verdict"] for row in record["engines"]} == {"reference", "agrees"}

    @pytest.mark.parametrize("name", TARGETS)
    def test_a_difference_names_the_instruction(
        self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken_neg(monkeypatch, name)
        path = tmp_path / "neg.s"
        path.write_text("r1 = 7\nr1 = -r1\nr0 = r1\nexit\n")
        code, out, _ = run(capsys, "check", path)
        assert code == 1
        assert f"{name}: parts at insn 1 ({path}:2): r1 = -r1: R1 is 0x7, expected 0xfffffffffffffff9" in out
        broken = [other for other in TARGETS if backend(TARGETS[other]) is backend(TARGETS[name])]
        assert out.count("agrees") == len(TARGETS) - len(broken)
        code, out, _ = run(capsys, "check", path, "--json")
        rows = [row for row in json.loads(out)["engines"] if row["verdict"] == "differs"]
        assert {(row["engine"], row["parts"]["pc"]) for row in rows} == {(other, 1) for other in broken}

    def test_equal_faults_agree(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "null.s"
        path.write_text("r1 = 0\nr0 = *(u32 *)(r1 + 24)\nexit\n")
        code, out, _ = run(capsys, "check", path)
        assert code == 0
        assert out.count("agrees") == len(TARGETS)
        assert "read fault of 0x18 at insn 1" in out

    def test_limit_is_undecided(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "loop.s"
        path.write_text("goto -1\n")
        arguments = ("check", path, "--target", "arm64", "--seconds", "0.1", "--instructions", "1000")
        code, out, _ = run(capsys, *arguments)
        assert (code, "undecided" in out) == (0, True)
        assert run(capsys, *arguments, "--strict")[0] == 1

    def test_an_object_runs_on_the_targets_of_its_order(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "check", EXAMPLES / "crc32.bpfeb.o", "--mem", EXAMPLES / "crc32.mem")
        assert code == 0
        assert out.count("0xcbf43926") == 3
        assert out.count("refused: the object is big-endian") == 4

    def test_wire_bytes_of_both_orders(self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        prog = assemble(PROGRAM)
        for order, flags in (("little", ()), ("big", ("--big-endian",))):
            path = tmp_path / f"{order}.bin"
            path.write_bytes(prog.encode(order))
            text = tmp_path / f"{order}.hex"
            text.write_text(prog.encode(order).hex())
            for file in (path, text):
                code, out, _ = run(capsys, "check", file, "--mem", "07", *flags)
                assert (code, out.count("0xc ")) == (0, 2 + len(TARGETS))

    def test_a_directory_is_summed_up(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "check", EXAMPLES)
        programs = len(list(EXAMPLES.glob("*.c")))
        assert code == 0
        assert programs >= 8
        assert out.splitlines()[-1].endswith(f"{programs * len(TARGETS)} agrees")


BAD = {
    "garbage": (b"\x7f\x01\x02\xff garbage", "x.o"),
    "truncated": (b"\x7fELF\x02\x01\x01" + bytes(20), "x.o"),
    "opcode": (b"\xff" + bytes(7), "x.bin"),
    "half": (b"\x18" + bytes(7), "x.bin"),
    "length": (b"\x95" + bytes(6), "x.bin"),
    "outside": (bytes.fromhex("0500ff0000000000"), "x.bin"),
    "falls off": (bytes.fromhex("b700000000000000"), "x.bin"),
    "hex": (b"9500zz", "x.hex"),
    "text": (b"r0 = 1\nfrobnicate r0\nexit\n", "x.s"),
    "not text": (b"\xff\xfe\x00", "x.s"),
    "no section": (b"hello", "x.data"),
    "helper": (b"call 999\nexit\n", "x.s"),
    "recursion": (b"f: call f\nexit\n", "x.s"),
}


class TestBadInput:
    @pytest.mark.parametrize("name", BAD)
    @pytest.mark.parametrize("verb", ["check", "trace", "jit"])
    def test_is_one_line(self, name: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, file = BAD[name]
        path = tmp_path / file
        path.write_bytes(data)
        code, out, err = run(capsys, verb, path, *(() if verb == "check" else ("--target", "arm64")))
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert err.startswith("crossbpf: ")
        assert name in ("helper", "recursion") or str(path) in err

    def test_missing_files_and_wrong_options(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in (
            ("check", "no/such/file.o"),
            ("check", source, "--target", "mips"),
            ("check", source, "--plan", "flat"),
            ("check", source, "--mem", "xyz"),
            ("check", source, "--packet", "xyz"),
            ("check", EXAMPLES / "crc32.bpfeb.o", "--target", "x86_64"),
            ("trace", source, "--target", "arm64,s390x"),
            ("trace", source, "--target", "arm64", "--break", "99"),
            ("jit", source, "--target", "pdp11"),
            ("conform", "no/such/dir"),
        ):
            code, out, err = run(capsys, *arguments)
            assert (code, out) == (2, ""), arguments
            assert err.count("\n") == 1, arguments

    def test_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(capsys, "check")[0] == 2
        assert run(capsys, "frobnicate")[0] == 2

    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "check", "no/such/file.o", "--json")
        assert code == 2
        assert json.loads(out)["error"] == "no such file"

    def test_one_bad_file_does_not_hide_the_others(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, err = run(capsys, "check", "no/such/file.o", source)
        assert code == 2
        assert out.count("agrees") == len(TARGETS)
        assert "no such file" in err

    def test_a_fault_of_ours_is_one_line_and_3(
        self, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CROSSBPF_DEBUG", raising=False)
        monkeypatch.setattr(backend(TARGETS["arm64"]), "prologue", lambda self, function: 1 / 0)
        code, _, err = run(capsys, "jit", source, "--target", "arm64")
        assert code == 3
        assert err.count("\n") == 1
        assert "ZeroDivisionError" in err


class TestTrace:
    def test_they_agree(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "trace", source, "--target", "arm64,x86_64", "--mem", "01")
        assert (code, out) == (0, "arm64 and x86_64 agree at every instruction\n")

    def test_where_they_part(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken_neg(monkeypatch, "s390x")
        path = tmp_path / "neg.s"
        path.write_text("r1 = 7\nw1 = -w1\nr0 = r1\nexit\n")
        code, out, _ = run(capsys, "trace", path, "--target", "s390x")
        assert code == 1
        assert f"s390x against interpreter: parts at insn 1 ({path}:2): w1 = -w1: R1 is 0x7" in out
        code, out, _ = run(capsys, "trace", path, "--target", "s390x", "--json")
        assert (code, json.loads(out)["engines"]) == (1, ["interpreter", "s390x"])

    @pytest.mark.parametrize("stop", ["2", ":3", "prog.s:3"])
    def test_break(self, source: Path, stop: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "trace", source, "--target", "riscv64", "--mem", "01", "--break", stop)
        assert code == 0
        assert "stopped before insn 2" in out
        assert "r0 = *(u8 *)(r1 + 0)" in out


class TestConform:
    def test_a_directory(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "good.data").write_text("-- asm\nmov %r0, 3\nexit\n-- result\n0x3\n")
        (tmp_path / "memory.data").write_text("-- asm\nldxh %r0, [%r1]\nexit\n-- mem\n01 02\n-- result\n0x201\n")
        (tmp_path / "error.data").write_text("-- asm\nja +9\nexit\n-- error\njump out of range\n")
        (tmp_path / "unwind.data").write_text("-- asm\nmov %r1, 0\ncall 5\nmov %r0, 9\nexit\n-- result\n0\n")
        junit = tmp_path / "report.xml"
        code, out, _ = run(capsys, "conform", tmp_path, "--junit", junit)
        assert code == 0
        engines = len(TARGETS) + 1
        assert f"4 files, {engines} engines" in out
        suites = ElementTree.parse(junit).getroot().findall("testsuite")
        assert [suite.get("failures") for suite in suites] == ["0"] * engines
        assert {len(suite.findall("testcase")) for suite in suites} == {4}

    def test_failures(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken_neg(monkeypatch, "ppc64")
        path = tmp_path / "neg.data"
        path.write_text("-- asm\nmov %r0, 3\nneg %r0\nexit\n-- result\n0xfffffffffffffffd\n")
        junit = tmp_path / "report.xml"
        code, out, _ = run(capsys, "conform", path, "--junit", junit)
        assert code == 1
        assert f"failed: {path} on ppc64: R0 is 0x3, expected 0xfffffffffffffffd (by the interpreter)" in out
        failed = [s.get("name") for s in ElementTree.parse(junit).getroot() if s.get("failures") != "0"]
        assert set(failed) == {"ppc64", "ppc64le"}
        code, out, _ = run(capsys, "conform", path, "--json")
        assert json.loads(out)["engines"]["arm64"]["passed"] == 1

    def test_a_wrong_expectation_fails_everywhere(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "wrong.data"
        path.write_text("-- asm\nmov %r0, 3\nexit\n-- result\n4\n")
        code, out, _ = run(capsys, "conform", path)
        assert (code, out.count("failed: ")) == (1, len(TARGETS) + 1)

    def test_an_unreadable_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "bad.data"
        path.write_text("nothing\n")
        code, _, err = run(capsys, "conform", path)
        assert code == 2
        assert str(path) in err


class TestText:
    @pytest.mark.parametrize("flags", [(), ("--big-endian",)], ids=["little", "big"])
    def test_asm_and_disasm_go_round(
        self, source: Path, tmp_path: Path, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, hexadecimal, _ = run(capsys, "asm", source, *flags)
        path = tmp_path / "out.bin"
        assert code == run(capsys, "asm", source, *flags, "-o", path)[0] == 0
        assert path.read_bytes().hex() == hexadecimal.replace("\n", "")
        code, text, _ = run(capsys, "disasm", path, *flags)
        assert code == 0
        assert assemble(text).insns == assemble(PROGRAM).insns

    @pytest.mark.parametrize("name", TARGETS)
    def test_jit(self, name: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "jit", source, "--target", name)
        assert code == 0
        assert "     2: r0 = *(u8 *)(r1 + 0)\n" in out
        assert ".byte" not in out
        code, out, _ = run(capsys, "jit", source, "--target", name, "--json")
        assert json.loads(out)["target"] == name


class TestPlugin:
    CODE = b"b7 00 00 00 05 00 00 00 95 00 00 00 00 00 00 00"

    @pytest.mark.parametrize("name", ["interpreter", *TARGETS])
    def test_runs_one_program(
        self, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stdin(monkeypatch, self.CODE)
        assert run(capsys, "plugin", "--engine", name) == (0, "5\n", "")

    def test_errors(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        stdin(monkeypatch, b"79 10 00 00 00 00 00 00 95 00 00 00 00 00 00 00")
        code, out, err = run(capsys, "plugin")
        assert (code, out) == (1, "")
        assert err == "read fault at insn 0\n"
        stdin(monkeypatch, b"ff 00 00 00 00 00 00 00")
        code, out, err = run(capsys, "plugin")
        assert (code, out) == (2, "")
        assert "unknown opcode 0xff" in err

    def test_conform_judges_it(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "good.data").write_text("-- asm\nmov %r0, 3\nexit\n-- result\n0x3\n")
        (tmp_path / "error.data").write_text("-- asm\nja +9\nexit\n-- error\noutside the program\n")
        (tmp_path / "wrong.data").write_text("-- asm\nldxdw %r0, [%r1]\nexit\n-- error\nno such words\n")
        command = f"{sys.executable} -m crossbpf plugin"
        code, out, _ = run(capsys, "conform", tmp_path, "--plugin", command, "--target", "arm64", "--json")
        record = json.loads(out)
        name = f"plugin {Path(sys.executable).name} -m crossbpf plugin"
        assert code == 1
        assert record["engines"][name] == {"passed": 2, "failed": 1, "undecided": 0}
        (failure,) = record["failures"]
        assert "the file expects 'no such words'" in failure["message"]

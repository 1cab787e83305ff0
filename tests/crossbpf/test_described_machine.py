"""--machine, --ksyms and --ctx: what a program finds in the kernel, said on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpf.errors import NotHere
from crossbpf import cc
from crossbpf.cli import main

SOURCES = Path(__file__).parents[1] / "data" / "types"
TRACING = SOURCES / "tracing.c"
MACHINE = {
    "memory": {
        "0xffff889000000000": {"type": "task_struct", "pid": 7, "real_parent": "0xffff889000001100", "comm": "child"},
        "0xffff889000001100": {"type": "task_struct", "pid": 3, "real_parent": "0xffff889000002200"},
        "0xffff889000002200": {"type": "task_struct", "pid": 1}, "0xffff889000003300": "0c00 0000",
    },
    "symbols": {"init_task": "0xffff889000001100", "nr_tasks": "0xffff889000003300"},
    "tasks": {"7": "0xffff889000000000"}, "cgroups": {"1": 4096}, "task": "0xffff889000000000",
}  # fmt: skip
KALLSYMS = "ffffffff81000000 T text_start\nffffffff81000000 D other [module]\n"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with types of a machine, what is in it, symbols."""
    found = tmp_path_factory.mktemp("machine")
    try:
        (found / "machine.o").write_bytes(cc.compile_c(SOURCES / "machine.c", "little"))
        (found / "tracing.o").write_bytes(cc.compile_c(TRACING, "little"))
    except NotHere as error:
        pytest.skip(str(error))
    (found / "machine.json").write_text(json.dumps(MACHINE))
    (found / "kallsyms").write_text(KALLSYMS)
    (found / "words").write_text("5 T five\n\tsix\n")
    (found / "record.bin").write_bytes(bytes(8) + (30).to_bytes(4, "little") + b"\1\4" + bytes(6))
    return found


def run(capsys: pytest.CaptureFixture[str], given: Path, *arguments: str) -> tuple[int, str, str]:
    code = main([argument.replace("@", f"{given}/") for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


KNOWN = ("--btf", "@machine.o", "--machine", "@machine.json")
WAKE = ("--ctx", "task=0xffff889000000000,mode=5")


@pytest.mark.parametrize(
    ("prog", "arguments", "line"),
    [
        ("on_wake", (*KNOWN, *WAKE), "returns 313"),
        ("on_wake", (*KNOWN, *WAKE, "--engine", "s390x"), ""),
        ("on_wake", (*KNOWN, "--ctx", "args[0]=0xffff889000000000,args[1]=5", "--engine", "arm64"), "returns 313"),
        ("dump", KNOWN, "element 0: returns 7"),
        ("dump", KNOWN, "  printed:   7 child"),
        ("dump", KNOWN, "element 1: returns 1000"),
        ("on_open", (*KNOWN, "--ctx", "file=0,who=0"), "returns 0 (allow)"),
        ("traced", ("--ctx", "pid=30,comm=ab"), "returns 128"),
        ("traced", ("--ctx", "@record.bin"), "returns 34"),
        ("probed", ("--ctx", "ret=41"), "returns 42"),
        ("probed", ("--ctx", "ax=41"), "returns 42"),
        ("called", ("--ctx", "a=3,b=9"), "  +8: 0 -> 33"),
        ("parent", (*KNOWN, "--ctx", "a=7,b=0"), "returns 3"),
        ("symbols", (*KNOWN, "--ksyms", "@kallsyms", "--ctx", "a=0,b=0"), "returns 22"),
        ("symbols", (*KNOWN, "--ksyms", "text_start=0x1234", "--ctx", "a=0,b=0"), "  +8: 0 -> 4660"),
    ],
)  # fmt: skip
def test_run(prog: str, arguments: tuple[str, ...], line: str, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = () if "--engine" in arguments else ("--engine", "interpreter")
    code, out, err = run(capsys, given, "run", "@tracing.o", "--prog", prog, *arguments, *engine)
    if not line:
        assert (code, "little-endian" in err) == (2, True)
    else:
        assert (code, err) == (0, "")
        assert line in out.splitlines()


def test_check_in_both_byte_orders(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, given, "check", str(TRACING), "--entry", "on_wake", "--type", "fentry", *KNOWN, *WAKE)
    assert code == 0
    assert out.count("0x139") == 8
    code, out, _ = run(capsys, given, "check", str(TRACING), "--entry", "probed", "--type", "kprobe", "--ctx", "ret=41")
    assert code == 0
    assert out.count("0x2a") == 8


@pytest.mark.parametrize(
    ("prog", "arguments", "message"),
    [
        ("symbols", (), "kernel symbol text_start has no address (give it one, with --ksyms FILE)"),
        ("symbols", ("--ksyms", "a=b"), "--ksyms: a: 'b' is no number"),
        ("symbols", ("--ksyms", "@words"), "words: line 2: is no line of address, type and name"),
        ("on_wake", (*KNOWN, "--ctx", "nobody=1"), "tracing has no field 'nobody' to set"),
        ("traced", ("--ctx", "nobody=1"), "--ctx: event has no member 'nobody' (members: common, pid, comm)"),
        ("traced", (), "a context of 0 bytes, and the program uses 14"),
        ("on_wake", ("--machine", "@kallsyms"), "is no JSON file"),
        ("on_wake", ("--machine", "@none.json"), "no such file"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(
    prog: str, arguments: tuple[str, ...], message: str, given: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    code, out, err = run(capsys, given, "run", "@tracing.o", "--prog", prog, "--engine", "interpreter", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


BROKEN = {
    "[]": "describes no machine", '{"x": 1}': "describes no machine", '{"memory": 5}': "'5' is no object",
    '{"memory": {"z": "00"}}': "memory: 'z' is no number", '{"memory": {"1": "zz"}}': "'zz' is no hex text",
    '{"memory": {"1": {"type": "none"}}}': "no structure named 'none'",
    '{"memory": {"1": {"type": "file", "f_mode": 1.5}}}': "f_mode: '1.5' is neither a number nor a text",
    '{"memory": {"1": {"type": "file", "g": 1}}}': "file: file has no member 'g'",
    '{"tasks": {"7": -1}}': "7: -1 does not fit 64 bits", '{"task": []}': "task: '[]' is no number",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_broken_descriptions(text: str, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (given / "broken.json").write_text(text)
    code, out, err = run(
        capsys, given, "run", "@tracing.o", "--prog", "on_wake", "--btf", "@machine.o", "--machine", "@broken.json",
        "--engine", "interpreter",
    )  # fmt: skip
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "broken.json: " in err
    assert BROKEN[text] in err


def test_the_exception_table_is_shown(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("jit", "@tracing.o", "--entry", "after_find", "--type", "fexit", "--btf", "@machine.o")
    code, out, _ = run(capsys, given, *arguments, "--target", "arm64")
    assert code == 0
    assert "exception table:" in out
    (line,) = [line for line in out.splitlines() if "a fault in" in line]
    start = line.split("[")[1].split(",")[0]
    assert line.endswith("leaves 0 in x7")
    assert f"{start}  " in out  # the load is there
    code, out, _ = run(capsys, given, *arguments, "--target", "x86_64", "--json")
    (found,) = json.loads(out)["exceptions"]
    assert (found["pc"], found["register"]) == (1, "rax")

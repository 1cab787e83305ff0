"""`prog run` and `prog dump` of programs of every type: contexts in and out, rewritten code, the live kernel's word."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from bpf.spec.contexts import LAYOUTS, VIEWS
from bpf.spec.errno import EINVAL, ENOSPC
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from crossbpf.bpftool import hexed
from crossbpf.cli import main
from engines import syscall, test_run
from engines.linux import unavailable
from runtime import types
from tests.engines.typed import BODY, FRAME, Typed
from tests.live_kernel import live
from vm.contexts import from_user, to_user

BACK = {
    "mark",
    "priority",
    "ingress_ifindex",
    "ifindex",
    "tstamp",
    "wire_len",
    "gso_segs",
    *(f"cb[{n}]" for n in range(5)),
}
"""The fields of an skb that a test run gives back."""

RUNS = {name: case for name, case in BODY.items() if case.type in test_run.TYPES}


class Prompt:
    """A command line with a pin directory of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capsys = capsys
        self.folder = folder

    def __call__(self, line: str, code: int = 0) -> str:
        """What a command prints; its error where it has another exit code than 0."""
        found = main([*line.split(), "--bpffs", str(self.folder / "bpffs")])
        printed = self.capsys.readouterr()
        assert found == code, (line, printed.out, printed.err)
        return printed.out if not code or printed.out else printed.err

    def file(self, name: str, content: str | bytes) -> Path:
        """A file of the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, text: str, kind: str, name: str = "p") -> None:
        """Load assembly and pin it at its name."""
        self(f"prog load {self.file(f'{name}.bpf', text.replace(';', chr(10)))} {name} type {kind}")


@pytest.fixture
def prompt(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Prompt:
    return Prompt(capsys, tmp_path)


MARK = "r2 = *(u32 *)(r1 + 8); r2 += 1; *(u32 *)(r1 + 8) = r2; r0 = 2; exit"


def context_of(kind: str, **fields: int) -> bytes:
    """A context in the user layout."""
    names = {name.replace("__", "[") + "]" if "__" in name else name: value for name, value in fields.items()}
    return to_user(VIEWS[kind], names, "little")


def test_a_context_goes_in_and_out(prompt: Prompt) -> None:
    prompt.load(MARK, "tc")
    given = prompt.file("in", context_of("sched_cls", mark=41, cb__3=7))
    data, out = prompt.file("data", FRAME), prompt.folder / "out"
    line = f"prog run pinned p data_in {data} ctx_in {given} ctx_out"
    assert prompt(f"{line} {out}").startswith("Return value: 2 (TC_ACT_SHOT), duration (average): ")
    after = from_user(VIEWS["sched_cls"], out.read_bytes(), "little")
    assert (after["mark"], after["cb[3]"], after["len"], after["data_end"]) == (42, 7, 60, 60)
    assert len(out.read_bytes()) == LAYOUTS["__sk_buff"].size
    assert prompt(f"{line} -").splitlines()[0] == hexed(out.read_bytes()[:16])
    record = json.loads(prompt(f"{line} - --ctx mark=1 -j"))
    assert record["meaning"] == "TC_ACT_SHOT"
    assert record["ctx_out"][8:12] == ["0x02", "0x00", "0x00", "0x00"]


SIZES = {"xdp": "0", "tc": "0", "socket_filter": "0", "cgroup/skb": "1"}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(
    ("size", "words", "error"),
    [
        (14, "repeat 0", ""), (14, "data_size_out 14", ""), (14, "data_size_out 0", ""), (13, "", "EINVAL"),
        (0, "", "EINVAL"), (38, "data_size_out 10", "ENOSPC"), (38, "data_size_out 010", "ENOSPC"),
    ],
)  # fmt: skip
def test_packets_that_a_test_run_takes(kind: str, size: int, words: str, error: str, prompt: Prompt) -> None:
    prompt.load(f"r0 = {SIZES[kind]}; exit", kind)
    data, out = prompt.file("data", bytes(size)), prompt.folder / "out"
    said = prompt(f"prog run name p{f' data_in {data}' if size else ''} data_out {out} {words}", 2 if error else 0)
    assert error in said
    assert out.exists() != bool(error)


def test_a_context_has_room(prompt: Prompt) -> None:
    prompt.load(MARK, "tc")
    given, data = prompt.file("in", context_of("sched_cls", mark=41)), prompt.file("data", FRAME)
    said = prompt(f"prog run name p data_in {data} ctx_in {given} ctx_out - ctx_size_out 12", 2)
    assert said == "crossbpf: ctx_size_out 12: ctx_out has 192 bytes: ENOSPC\n"


@live
@pytest.mark.parametrize(("kind", "number"), [("xdp", 6), ("tc", 3), ("socket_filter", 1), ("cgroup/skb", 8)])
def test_the_live_kernel_takes_the_same_packets(kind: str, number: int) -> None:
    descriptor, _ = syscall.load(assemble(f"r0 = {SIZES[kind]}\nexit").encode(), kind=number)
    try:
        for size, room, error in ((14, 14, 0), (13, 64, EINVAL), (0, 64, EINVAL), (38, 10, ENOSPC)):
            found = 0
            try:
                syscall.test_run_context(descriptor, bytes(size), b"", room, 0)  # repeat is 0
            except OSError as failed:
                found = failed.errno or 0
            assert found == error
    finally:
        os.close(descriptor)


def test_metadata_of_xdp(prompt: Prompt) -> None:
    prompt.load("r0 = *(u32 *)(r1 + 0); r2 = *(u32 *)(r1 + 8); r0 -= r2; exit", "xdp")
    data = prompt.file("data", bytes(4) + FRAME)
    given = prompt.file("in", context_of("xdp", data=4, data_end=64))
    assert "Return value: 4 (XDP_REDIRECT)" in prompt(f"prog run name p data_in {data} ctx_in {given}")
    given = prompt.file("in", context_of("xdp", data_end=63))
    assert "where the packet of 64 bytes ends" in prompt(f"prog run name p data_in {data} ctx_in {given}", 2)


@pytest.mark.parametrize("engine", ["interpreter", "arm64", "s390x"])
def test_a_context_without_a_packet(engine: str, prompt: Prompt) -> None:
    prompt.load("r0 = *(u64 *)(r1 + 0); r2 = *(u64 *)(r1 + 8); r0 += r2; exit", "raw_tracepoint")
    order: Any = "big" if engine == "s390x" else "little"
    given = prompt.file("in", to_user(VIEWS["raw_tracepoint"], {"args[0]": 40, "args[1]": 2}, order)[:16])
    assert "Return value: 42, " in prompt(f"prog run name p ctx_in {given} --engine {engine}")


SYSCALL = "r0 = *(u64 *)(r1 + 0); r2 = 7; *(u64 *)(r1 + 8) = r2; exit"
HERE = ["linux"] if not unavailable() else []


@pytest.mark.parametrize("engine", ["interpreter", "arm64", *HERE])
def test_a_context_that_is_memory(engine: str, prompt: Prompt) -> None:
    prompt.load(SYSCALL, "syscall")
    given, out = prompt.file("in", (5).to_bytes(8, "little") + bytes(8)), prompt.folder / "out"
    said = prompt(f"prog run name p ctx_in {given} ctx_out {out} --engine {engine}")
    assert said.startswith("Return value: 5, ")
    assert out.read_bytes() == (5).to_bytes(8, "little") + (7).to_bytes(8, "little")


def test_the_record_of_a_tracepoint(prompt: Prompt) -> None:
    prompt.load("r0 = *(u64 *)(r1 + 8); exit", "tracepoint/sched/sched_switch")
    given = prompt.file("in", bytes(8) + (42).to_bytes(8, "little"))
    assert prompt(f"prog run name p ctx_in {given}").startswith("Return value: 42, ")
    prompt("prog attach name p tracepoint:sched/sched_switch")
    assert prompt(f"fire tracepoint:sched/sched_switch --event {given}") == (
        "tracepoint:sched/sched_switch  p (id 1): 42\n"
    )
    assert "the program uses 16" in prompt(
        f"fire tracepoint:sched/sched_switch --event {prompt.file('in', bytes(8))}", 2
    )


@pytest.mark.parametrize("engine", ["interpreter", "riscv64"])
def test_registers(engine: str, prompt: Prompt) -> None:
    prompt.load("r0 = *(u64 *)(r1 + 112); exit", "kprobe/do_exit")
    assert prompt(f"prog run name p --ctx di=77 --engine {engine}").startswith("Return value: 77, ")
    prompt("prog attach name p kprobe:do_exit")
    assert prompt(f"fire kprobe:do_exit --event di=6 --engine {engine}") == "kprobe:do_exit  p (id 1): 6\n"


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("tc", bytes(192) + b"\1", "a context of 193 bytes: __sk_buff has 192"),
        ("tc", (60).to_bytes(4, "little"), "__sk_buff has no field 'len' to set"),
        ("plain", bytes(8), "a program that is entered as plain has no context to set"),
        ("cgroup_sysctl", bytes(4) + b"\1", ""),
    ],
)
def test_contexts_that_cannot_be(kind: str, content: bytes, message: str, prompt: Prompt) -> None:
    prompt.load("r0 = 1; exit", kind)
    line = f"prog run name p data_in {prompt.file('data', FRAME)} ctx_in {prompt.file('in', content)}"
    assert message in prompt(line, 2 if message else 0)


def test_what_no_engine_runs_is_refused_at_load(prompt: Prompt) -> None:
    file = prompt.file("p.bpf", "r0 = *(u8 *)(r1 + 200)\nexit\n")
    assert "insn 0: invalid bpf_context access off=200 size=1" in prompt(f"prog load {file} p type tc --no-verify", 2)
    file = prompt.file("q.bpf", "r2 = 0\ncall 44\nexit\n")
    said = prompt(f"prog load {file} q type tc", 2)
    assert "cannot use helper bpf_xdp_adjust_head#44" in said
    assert prompt("prog list") == ""


def test_every_type_has_a_way_in() -> None:
    for name in PROGRAM_TYPES:
        assert types.named(name) == name
        if name in VIEWS:
            assert types.convention(name).view is VIEWS[name]


class TestDumps:
    def test_xlated_is_rewritten(self, prompt: Prompt) -> None:
        prompt.load("r0 = *(u8 *)(r1 + 9)\nr0 += 1\nexit", "tc")
        mark = LAYOUTS["__sk_buff"].by_name["mark"].at
        assert prompt("prog dump xlated name p").splitlines() == [
            "; r0 = *(u8 *)(r1 + 9)", f"   0: (61) r0 = *(u32 *)(r1 + {mark})", "   1: (74) w0 >>= 8",
            "   2: (54) w0 &= 255", "; r0 += 1", "   3: (07) r0 += 1", "; exit", "   4: (95) exit",
        ]  # fmt: skip
        assert json.loads(prompt("prog show name p -j"))["bytes_xlated"] == 40
        out = prompt.folder / "x"
        prompt(f"prog dump xlated name p file {out}")
        assert len(out.read_bytes()) == 40
        records = json.loads(prompt("prog dump xlated name p linum -j"))
        assert [(record.get("src"), record.get("line_num")) for record in records] == [
            ("r0 = *(u8 *)(r1 + 9)", 1), (None, None), (None, None), ("r0 += 1", 2), ("exit", 3),
        ]  # fmt: skip

    @pytest.mark.parametrize("target", ["x86_64", "ppc64"])
    def test_jited_has_its_lines(self, target: str, prompt: Prompt) -> None:
        prompt.load("r0 = *(u8 *)(r1 + 9)\nr0 += 1\nexit", "tc")
        text = prompt(f"prog dump jited name p --target {target} linum")
        assert re.findall(r"^; (.*) \[file:.* line_num:(\d)", text, re.MULTILINE) == [
            ("r0 = *(u8 *)(r1 + 9)", "1"), ("r0 += 1", "2"), ("exit", "3"),
        ]  # fmt: skip

    def test_the_help_says_which_is_which(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["prog", "dump", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "`xlated` is rewritten bytecode, `jited` is machine code" in text


def test_features_list_program_types(prompt: Prompt, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "--kernel", "5.4", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["there"] for one in record["hooks"]}["tcx_ingress"] is False
    there = {one["name"]: one["there"] for one in record["program_types"]}
    assert there["cgroup_sockopt"] and not there["lsm"] and "unspec" not in there and len(there) == 32
    file = prompt.file("p.bpf", "r0 = 0\nexit\n")
    said = prompt(f"prog load {file} p type sk_lookup --kernel 5.8", 2)
    assert "program p: program type sk_lookup came in Linux 5.9, --kernel is 5.8: EINVAL" in said
    assert main(["check", str(file), "--type", "sk_lookup", "--kernel", "5.8"]) == 2
    assert "program type sk_lookup came in Linux 5.9" in capsys.readouterr().err


@live
@pytest.mark.parametrize("case", RUNS.values(), ids=RUNS)
def test_the_live_kernel_gives_the_same(case: Typed, prompt: Prompt) -> None:
    prompt.load(case.text, case.type)
    fields = dict(case.fields) | ({"data": case.metadata, "data_end": len(case.given)} if case.metadata else {})
    words = f"ctx_in {prompt.file('ctx', to_user(VIEWS[case.type], fields, sys.byteorder))}" if fields else ""
    words += f" data_in {prompt.file('data', case.given)}" if case.given else ""
    found = []
    for engine in ("interpreter", "linux"):
        data, context = prompt.folder / f"{engine}.data", prompt.folder / f"{engine}.ctx"
        said = prompt(f"prog run name p {words} data_out {data} ctx_out {context} --engine {engine}")
        after = from_user(VIEWS[case.type], context.read_bytes(), sys.byteorder)
        found.append((said.split(",")[0], data.read_bytes(), after))
    ours, theirs = found
    assert ours[:2] == theirs[:2]
    back = {"xdp_md": {"data", "data_end"}, "__sk_buff": BACK}.get(VIEWS[case.type].layout.name, set())
    assert {name: ours[2][name] for name in back} == {name: theirs[2][name] for name in back}

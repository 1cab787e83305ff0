"""`crossbpf run`, and `check` of programs of a type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossbpf.cli import main
from crossbpf.pcap import read, write
from engines.native import host_target
from jit.registry import TARGETS
from tests.bpf.object.elfs import compiled
from tests.engines.typed import BODY, FRAME
from tests.live_kernel import live

PACKETS = Path(__file__).parents[1] / "data" / "types" / "packets.c"
TTL = BODY["tc rewrites the TTL"].text
MARK = "r2 = *(u32 *)(r1 + 8); r2 += 1; *(u32 *)(r1 + 8) = r2; r0 = 2; exit"
DROP = "r2 = *(u32 *)(r1 + 4); r1 = *(u32 *)(r1 + 0); r2 -= r1; r0 = 2; if r2 > 50 goto out; r0 = 1; out: exit"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "prog.s"


@pytest.mark.parametrize("engine", ["interpreter", *TARGETS])
def test_what_it_returns_and_changes(engine: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(TTL.replace("r0 = 0;", "*(u32 *)(r1 + 8) = 7; r0 = 0;").replace(";", "\n"))
    code, out, err = run(
        capsys, "run", source, "--type", "tc", "--data-in", FRAME.hex(), "--ctx", "mark=0x10", "--engine", engine
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "returns 0 (TC_ACT_OK)",
        "  packet changed:",
        "  - 0010  00 2e 00 01 00 00 40 11 00 00 c0 a8 00 01 c0 a8",
        "  + 0010  00 2e 00 01 00 00 3f 11 00 00 c0 a8 00 01 c0 a8",
        "  mark: 16 -> 7",
        f"prog (sched_cls) on {engine}, plan high",
    ]


REDIRECT = "r6 = r1; r2 = 14; call 44; r1 = 3; r2 = 0; call 23; exit"
COPY = "r6 = r1; r2 = 1; r3 = 0; call 13; r1 = 9; r2 = 1; call 23; r0 = {}; exit"


@pytest.mark.parametrize("engine", ["interpreter", *TARGETS])
def test_where_a_packet_goes(engine: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def lines(text: str, kind: str) -> list[str]:
        source.write_text(text)
        code, out, err = run(
            capsys, "run", source, "--type", kind, "--data-in", FRAME.hex(), "--engine", engine, "--repeat", 2
        )
        assert (code, err) == (0, "")
        return [line for line in out.splitlines() if "return" in line or "device" in line]

    assert lines(REDIRECT, "xdp") == ["returns 4 (XDP_REDIRECT)", "  redirected to device 3"]
    copied = "  a copy of 60 bytes sent to device 1"
    redirected = "  redirected to device 9, coming in there"
    assert lines(COPY.format(7), "tc") == ["returns 7 (TC_ACT_REDIRECT)", copied, redirected]
    assert lines(COPY.format(0), "tc") == ["returns 0 (TC_ACT_OK)", copied]


def test_a_capture_runs_in_turn(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(DROP)
    capture, after = tmp_path / "in.pcap", tmp_path / "out.pcap"
    capture.write_bytes(write([FRAME, FRAME[:40], FRAME[:50]]))
    code, out, _ = run(
        capsys, "run", source, "--type", "xdp", "--data-in", capture, "--data-out", after, "--engine", "x86_64"
    )
    assert code == 0
    assert out.splitlines()[:3] == [
        "packet 0: returns 2 (XDP_PASS)", "packet 1: returns 1 (XDP_DROP)", "packet 2: returns 1 (XDP_DROP)"
    ]  # fmt: skip
    assert read(after.read_bytes()) == [FRAME, FRAME[:40], FRAME[:50]]
    code, out, _ = run(capsys, "run", source, "--type", "xdp", "--data-in", capture, "--packets", 1)
    assert (code, out.count("packet ")) == (0, 1)
    code, _, err = run(capsys, "run", source, "--type", "xdp", "--data-in", capture, "--data-out", tmp_path / "out")
    assert (code, "name a .pcap file" in err) == (2, True)


def test_json(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(MARK)
    arguments = ("run", source, "--type", "sched_cls", "--data-in", FRAME.hex(), "--json", "--engine", "arm64")
    code, out, _ = run(capsys, *arguments)
    record = json.loads(out)
    assert code == 0
    assert (record["type"], record["engine"], record["fallback"]) == ("sched_cls", "arm64", "")
    (one,) = record["runs"]
    assert (one["retval"], one["meaning"], one["data_out"]) == (2, "TC_ACT_SHOT", FRAME.hex())
    assert one["context"] == {"mark": {"before": 0, "after": 1}}


def test_data_out_and_repeat(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(TTL.replace(";", "\n"))
    after = tmp_path / "after.bin"
    code, out, _ = run(
        capsys, "run", source, "--type", "tc", "--data-in", FRAME.hex(), "--repeat", 3, "--data-out", after
    )
    assert (code, "  3 runs, " in out) == (0, True)
    assert after.read_bytes() == BODY["tc rewrites the TTL"].packet


def test_metadata_of_xdp(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text("r0 = *(u32 *)(r1 + 0); r2 = *(u32 *)(r1 + 8); r0 -= r2; exit")
    code, out, _ = run(capsys, "run", source, "--type", "xdp", "--data-in", FRAME.hex(), "--ctx", "data=4")
    assert (code, out.splitlines()[0]) == (0, "returns 4 (XDP_REDIRECT)")
    code, _, err = run(capsys, "run", source, "--type", "xdp", "--data-in", FRAME.hex(), "--ctx", "data=99")
    assert (code, "outside the packet" in err) == (2, True)


def test_a_file_of_fields(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(MARK)
    fields = tmp_path / "ctx.json"
    fields.write_text('{"mark": 41}')
    code, out, _ = run(capsys, "run", source, "--type", "tc", "--data-in", FRAME.hex(), "--ctx", fields)
    assert (code, "  mark: 41 -> 42" in out) == (0, True)


def test_printed_lines_and_faults(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(
        "r2 = 0x0a6968 ll; *(u64 *)(r10 - 8) = r2; r1 = r10; r1 += -8; r2 = 4; call 6; "
        "r1 = 8; r0 = *(u64 *)(r1 + 0); exit"
    )
    given = ("run", source, "--type", "xdp", "--data-in", FRAME.hex(), "--engine", "riscv64")
    code, out, err = run(capsys, *given)
    assert (code, out) == (1, "")
    assert "insn 8: program prog: verification failed: R1 invalid mem access 'scalar': EACCES" in err
    code, out, _ = run(capsys, *given, "--no-verify")
    assert code == 1
    assert out.splitlines()[0] == "read fault of 0x8 at insn 8"
    assert "printed: hi" in out


def test_falling_back_is_said(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        host_target()
    except Exception:  # noqa: BLE001
        pytest.skip("no native engine on this machine")
    source.write_text(MARK)
    arguments = ("run", source, "--type", "tc", "--data-in", FRAME.hex(), "--plan", "kernel")
    code, out, err = run(capsys, *arguments)
    assert code == 0
    assert "native refuses it: plan kernel" in err
    assert err.endswith("; the interpreter runs it\n")
    assert "on interpreter" in out
    code, _, err = run(capsys, *arguments, "--jit=require")
    assert (code, "the interpreter" in err) == (2, False)
    code, _, err = run(capsys, *arguments, "--jit=require", "--engine", "interpreter")
    assert (code, "compiles nothing" in err) == (2, True)


@live
def test_the_live_kernel(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(MARK)
    code, out, _ = run(
        capsys, "run", source, "--type", "tc", "--data-in", FRAME.hex(), "--engine", "linux", "--ctx", "mark=1"
    )
    assert (code, out.splitlines()[:2]) == (0, ["returns 2 (TC_ACT_SHOT)", "  mark: 1 -> 2"])
    code, out, err = run(
        capsys, "run", source, "--type", "tc", "--data-in", FRAME.hex(), "--engine", "linux", "--ctx", "pkt_type=1"
    )
    assert (code, "does not take pkt_type" in err, "on interpreter" in out) == (0, True, True)


def test_without_a_type_data_are_memory(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text("r0 = *(u8 *)(r1 + 1); *(u8 *)(r1 + 0) = 9; r0 += r2; exit")
    code, out, _ = run(capsys, "run", source, "--data-in", "0102")
    assert code == 0
    assert out.splitlines()[:3] == ["returns 0x4", "  memory changed:", "  - 0000  01 02"]


def test_the_section_says_the_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "packets.o"
    path.write_bytes(compiled(PACKETS.read_text("utf-8"), "big", tmp_path))
    for name, words in (
        ("hop", "(TC_ACT_OK)"),
        ("dns_filter", "(XDP_DROP)"),
        ("only_udp", "(allow)"),
        ("snap", "(keep)"),
    ):
        code, out, _ = run(capsys, "run", path, "--prog", name, "--data-in", FRAME.hex(), "--engine", "ppc64")
        assert (code, words in out.splitlines()[0]) == (0, True)


@pytest.mark.parametrize("engine", ["interpreter", "native", "ppc64le"])
def test_maps_keep_their_contents(engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, capture = tmp_path / "counts.o", tmp_path / "in.pcap"
    path.write_bytes(compiled((PACKETS.parent / "counts.c").read_text("utf-8"), "little", tmp_path))
    capture.write_bytes(write([FRAME, FRAME[:40], FRAME[:12] + b"\x86\xdd" + FRAME[14:]]))
    code, out, _ = run(capsys, "run", path, "--data-in", capture, "--engine", engine, "--json")
    record = json.loads(out)
    assert (code, [one["meaning"] for one in record["runs"]]) == (0, ["XDP_PASS"] * 3)
    assert record["maps"]["counts"] == {
        (0x800).to_bytes(4, "little").hex(): ((2).to_bytes(8, "little") + (100).to_bytes(8, "little")).hex(),
        (0x86DD).to_bytes(4, "little").hex(): ((1).to_bytes(8, "little") + (60).to_bytes(8, "little")).hex(),
    }
    code, out, _ = run(capsys, "run", path, "--data-in", capture, "--engine", engine)
    assert (code, "counts" in out, "0x86dd" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--type", "nonsense"), "no program type named 'nonsense' (types: plain, socket_filter"),
        (("--type", "struct_ops"), "programs of type struct_ops have a context that is not described here"),
        (("--ctx", "mark=1"), "there is no context (say --type)"),
        (("--type", "tc", "--ctx", "mark"), "'mark' is neither NAME=VALUE nor a file"),
        (("--type", "tc", "--ctx", "mark=x"), "'mark=x' has no number"),
        (("--type", "tc", "--ctx", "marks=1"), "__sk_buff has no field 'marks' to set (fields: "),
        (("--type", "tc", "--ctx", "data=1"), "__sk_buff has no field 'data' to set"),
        (("--type", "tc", "--ctx", "tc_index=65536"), "tc_index = 65536 does not fit 16 bits"),
        (("--type", "xdp", "--no-verify"), "insn 0: invalid bpf_context access off=80 size=4 (xdp_md has 24 bytes)"),
        (("--type", "socket", "--no-verify"), "insn 0: invalid bpf_context access off=80 size=4 (__sk_buff.data_end)"),
        (("--type", "tc", "--data-in", "xyz"), "neither a file nor hex bytes"),
    ],
)
def test_one_line_says_what_is_wrong(
    arguments: tuple[str, ...], what: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_text("r0 = *(u32 *)(r1 + 80); exit")
    code, out, err = run(capsys, "run", source, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert what in err


def test_check_of_a_type(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(TTL.replace(";", "\n"))
    code, out, _ = run(capsys, "check", source, "--type", "tc", "--packet", FRAME.hex(), "--ctx", "mark=1")
    assert (code, out.count("agrees")) == (0, len(TARGETS))
    code, _, err = run(capsys, "check", source, "--ctx", "mark=1")
    assert (code, "there is no context" in err) == (2, True)
    code, _, err = run(capsys, "check", source, "--type", "xdp", "--packet", FRAME.hex())
    assert (code, "invalid bpf_context access" in err) == (2, True)


def test_code_and_traces_of_a_type(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text("r0 = *(u8 *)(r1 + 9)\nr0 += 1\nexit\n")
    code, out, _ = run(capsys, "jit", source, "--type", "tc", "--target", "arm64")
    slots = [line.split(":")[0].strip() for line in out.splitlines() if line[:6].strip().isdigit()]
    assert (code, slots) == (0, ["0", "0", "0", "1", "2"])
    code, out, _ = run(capsys, "jit", source, "--type", "tc", "--target", "arm64", "--json")
    assert (code, {native["pc"] for native in json.loads(out)["native"]} - {-1}) == (0, {0, 1, 2})
    arguments = ("trace", source, "--type", "tc", "--packet", FRAME.hex(), "--ctx", "mark=0x500", "--target", "riscv64")
    code, out, _ = run(capsys, *arguments)
    assert (code, "agree at every instruction" in out) == (0, True)
    code, out, _ = run(capsys, *arguments, "--break", 1)
    assert (code, "stopped before insn 1 after 1 instructions" in out) == (0, True)
    assert next(line for line in out.splitlines() if line.startswith("R0")).split()[-2:] == ["0x5", "0x5"]


@pytest.mark.parametrize("verb", ["run", "check"])
def test_who_may_not_load_it(verb: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text("call 6\nr0 = 0\nexit")
    code, out, err = run(capsys, verb, source, "--type", "xdp", "--caps", "BPF,NET_ADMIN")
    said = "insn 0: program of this type cannot use helper bpf_trace_printk#6 without CAP_PERFMON: EINVAL"
    assert (code, said in out + err, "prog.s" in out + err) == (2, True, True)
    source.write_text("call 44\nr0 = 0\nexit")
    code, out, err = run(capsys, verb, source, "--type", "socket_filter")
    assert (code, "cannot use helper bpf_xdp_adjust_head#44" in out + err) == (2, True)
    source.write_text("r0 = 0\nexit")
    code, out, err = run(capsys, verb, source, "--type", "xdp", "--caps", "none", "--unprivileged-bpf-disabled", "0")
    assert (code, "needs CAP_BPF" in out + err) == (2, True)
    code, out, err = run(
        capsys, verb, source, "--type", "socket_filter", "--caps", "none", "--unprivileged-bpf-disabled", 0
    )
    assert code == 0, err

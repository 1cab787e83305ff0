"""`crossbpf image`: records and raw code, verdicts, one line for bad input; and a kernel's own images."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bpf.text import assemble
from crossbpf.cli import main

IMAGES = Path(__file__).parents[1] / "data" / "image" / "images.json"
RECORDS: list[dict[str, Any]] = json.loads(IMAGES.read_text())
KERNEL = Path(__file__).parents[3] / "shared" / "data" / "kernel"
CORPUS, SYMBOLS = KERNEL / "jit_corpus.json.gz", KERNEL / "jit_symbols.json.gz"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["image", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def record(name: str, arch: str = "x86_64", **changed: Any) -> dict[str, Any]:
    """A record of ours, with other fields."""
    (found,) = (one for one in RECORDS if (one["name"], one["arch"]) == (name, arch))
    return {key: value for key, value in {**found, **changed}.items() if value is not ...}


def written(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "image.json"
    path.write_text(json.dumps(value))
    return path


def verdict(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, value: Any, *more: object
) -> tuple[int, dict[str, Any]]:
    code, out, err = run(capsys, written(tmp_path, value), "--json", *more)
    assert err == ""
    return code, json.loads(out)


@pytest.mark.parametrize("one", RECORDS, ids=lambda one: f"{one['arch']} {one['name']}")
def test_our_images(one: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found = verdict(capsys, tmp_path, one)
    assert (code, found["verdict"], found["status"]) == (0, "agrees", "done"), found
    assert found["interpreter"] is not None or found["recorded"] is not None
    calls = {"random": ["bpf_user_rnd_u32"], "hash": ["__htab_map_lookup_elem"],
             "packet": ["bpf_skb_load_helper_16_no_cache"]}  # fmt: skip
    if (one["arch"], one["name"]) == ("s390x", "cpu"):
        calls["cpu"] = ["bpf_get_raw_cpu_id"]
    assert found["calls"] == calls.get(one["name"], [])


@pytest.mark.parametrize("arch", sorted({one["arch"] for one in RECORDS if one["name"] == "packet"}))
def test_the_interpreter_gets_the_packet(arch: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for text, expected in (("skb[2]", "0x1011"), ("skb[-0x100000 + 2]", "0x1011"), ("skb[-0x200000 + 16]", "0x1011")):
        offset = sum(int(part, 0) for part in text[4:-1].split(" + "))
        prog = assemble(f"r6 = r1; r0 = *(u16 *)skb[{offset}]; exit").encode("little").hex()
        code, found = verdict(capsys, tmp_path, record("packet", arch, prog=prog))
        assert (code, found["verdict"], found["interpreter"]) == (0, "agrees", expected)


def test_a_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, IMAGES)
    assert (code, out) == (0, "30 images: 30 agrees\n")
    code, out, _ = run(capsys, IMAGES, "--target", "s390", "-v")
    assert code == 0
    assert "6 images: 6 agrees" in out
    code, out, _ = run(capsys, IMAGES, "--only", "hash", "--json")
    assert [json.loads(line)["target"] for line in out.splitlines()] == [
        "x86_64", "arm64", "riscv64", "ppc64le", "s390x"
    ]  # fmt: skip
    packed = tmp_path / "images.json.gz"
    packed.write_bytes(gzip.compress(IMAGES.read_bytes()))
    assert run(capsys, packed)[1] == "30 images: 30 agrees\n"


def test_differences(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    faults = assemble("r0 = 0; r0 = *(u8 *)(r0 + 0); exit").encode().hex()
    for changed, words in (
        (record("len", result=47), "R0 is 0x2e, recorded was 0x2f"),
        (record("cpu", prog=assemble("r0 = 6; exit").encode().hex()), "R0 is 0x5, the interpreter has 0x6"),
        (record("cpu", prog=faults), "the interpreter ends with"),
        (record("hash", symbols={}), "no symbol names"),
        (record("array", maps=...), "read fault of 0xffff888101002f38"),
        (record("len", xlated=...), "read fault of"),
        (record("random", jited="31dbc3", funcs=..., address="0xffffffffc0100000"), "callee-saved rbx"),
    ):
        code, found = verdict(capsys, tmp_path, changed)
        assert (code, found["verdict"]) == (1, "differs"), found
        assert words in found["reason"]


def test_a_map_is_there_for_the_interpreter_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = """
        *(u64 *)(r10 - 8) = 0; r1 = map[fd:0]; r2 = r10; r2 += -8; call 1; if r0 == 0 goto none
        r0 = *(u64 *)(r0 + 0); none: exit"""
    changed = record("hash", result=..., prog=assemble(text).encode().hex())
    code, found = verdict(capsys, tmp_path, changed)
    assert (code, found["verdict"], found["interpreter"]) == (0, "agrees", "0x102030405060708")


def test_where_nothing_is_decided(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for changed, words in (
        (record("hash", result=...), "nothing to compare with"),
        (record("len", jited="0f0b", funcs=...), "one that the emulator does not know"),
        (record("len", jited="ebfe", funcs=...), "hit its limit"),
        (record("hash", result=..., prog=assemble("call 9999; exit").encode().hex()), "unknown helper 9999"),
        (record("hash", result=..., prog="ff" * 8), "unknown opcode"),
    ):
        code, found = verdict(capsys, tmp_path, changed, "--seconds", "0.2")
        assert (code, found["verdict"]) == (2, "undecided"), found
        assert words in found["reason"]


def test_both_fault(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    prog = assemble("r0 = 0; r0 = *(u8 *)(r0 + 0); exit").encode().hex()
    code, found = verdict(capsys, tmp_path, record("len", jited="31c0 8a00 c3", funcs=..., result=..., prog=prog))
    assert (code, found["verdict"]) == (0, "agrees")
    assert "read fault" in found["reason"]


def test_more_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    memory = [{"address": "0xffff888101002f38", "bytes": "0500000000000000"}]
    code, found = verdict(capsys, tmp_path, record("array", maps=..., prog=..., memory=memory, result=10))
    assert (code, found["r0"]) == (0, "0xa")


# Raw code -----------------------------------------------------------------------------------------------

STORES = "0fb607 88 47 01 c3"  # movzx eax, byte [rdi]; mov [rdi + 1], al; ret


def raw(tmp_path: Path, code: str) -> Path:
    path = tmp_path / "jited.bin"
    path.write_bytes(bytes.fromhex(code))
    return path


def source(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "prog.s"
    path.write_text(text.replace("; ", "\n"))
    return path


def test_raw_code_with_its_program(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    right = source(tmp_path, "r0 = *(u8 *)(r1 + 0); *(u8 *)(r1 + 1) = r0; exit")
    options = ("--target", "x86_64", "--mem", "0705", "--bpf")
    code, out, err = run(capsys, raw(tmp_path, STORES), *options, right)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == ["x86_64", "0x7", "0x7", "agrees"]
    wrong = source(tmp_path, "r0 = *(u8 *)(r1 + 0); *(u8 *)(r1 + 1) = 8; exit")
    code, out, _ = run(capsys, raw(tmp_path, STORES), *options, wrong)
    assert code == 1
    assert "memory byte 1 is not what the interpreter has there" in out


@pytest.mark.parametrize("kind", ["kallsyms", "json", "tables"])
def test_symbols(kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "symbols"
    address = 0xFFFF_FFFF_8123_4560
    if kind == "kallsyms":
        table.write_text(f"{address - 16:x} T schedule\n{address:x} T bpf_ktime_get_ns\nffffffffc0000000 t x [mod]\n")
    else:
        symbols = {hex(address): "bpf_ktime_get_ns"}
        table.write_text(json.dumps(symbols if kind == "json" else {"": symbols, "x86_64 other": {}}))
    code = raw(tmp_path, "e8" + (address - 0xFFFF_FFFF_C000_0005 & 0xFFFF_FFFF).to_bytes(4, "little").hex() + "c3")
    options = ("--target", "amd64", "--bpf", source(tmp_path, "call 5; exit"), "--address", "ffffffffc0000000")
    assert run(capsys, code, *options, "--symbols", table)[0] == 0
    assert run(capsys, code, *options)[0] == 1


# Bad input ----------------------------------------------------------------------------------------------

BAD: list[tuple[Any, str]] = [
    (5, "raw machine code does not say"),
    ([], "holds no such record"),
    ([5], "record 0: is not a JSON object"),
    ({}, "has no 'arch'"),
    ({"arch": "vax"}, "no target named 'vax'"),
    ({"arch": 5}, "'arch' is not of type str"),
    ({"arch": "ppc64", "jited": "00"}, "not known how a kernel's compiled code runs on ppc64"),
    (record("len", jited=...), "has no 'jited'"),
    (record("len", jited="0"), "'jited' is not hex bytes"),
    (record("len", jited=["c3"]), "'jited' is not of type str"),
    (record("len", funcs=5), "'funcs' is not a list"),
    (record("len", funcs=[]), "the lengths of 'funcs' make 0 bytes"),
    (record("len", funcs=[{"addr": 4096, "len": 400}]), "make 400 bytes"),
    (record("len", funcs=[{"addr": -1, "len": 4}]), "'addr' is not an unsigned 64-bit number"),
    (record("len", funcs=[{"addr": 4096}]), "entry without addr or len"),
    (record("len", funcs=[None]), "is not a JSON object"),
    (record("len", funcs=..., address="0xffffffffffffffff"), "past the end of memory"),
    (record("len", funcs=..., address="0x1290000000"), "used by the emulator itself"),
    (record("len", maps="1,2"), "'maps' is not"),
    (record("len", maps="1,9999,8,4,0,:3"), "too long"),
    (record("len", maps="1,8,8,4,0," + "00" * 9 + ":3"), "too long"),
    (record("len", symbols={"x": "y"}), "'symbols' is not {address: name}"),
    (record("len", symbols=[]), "'symbols' is not of type dict"),
    (record("len", memory=[{"address": 1}]), "'memory' has an entry"),
    (record("len", memory=[{"address": "0xfffffffffffffff0", "bytes": "00" * 32}]), "'memory' has an entry"),
    (record("len", memory=[{"address": "0x1290000000", "bytes": "00"}]), "lies over memory of the emulator"),
    (record("len", skb_len=5000), "no offset in struct sk_buff"),
    (record("len", prog_type=True), "'prog_type' is not an unsigned"),
    (record("len", result="many"), "'result' is not an unsigned"),
]


@pytest.mark.parametrize(("value", "words"), BAD, ids=lambda part: part if isinstance(part, str) else None)
def test_bad_records(value: Any, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, written(tmp_path, value))
    assert (code, out) == (2, "")
    assert err.startswith("crossbpf: ")
    assert err.count("\n") == 1
    assert words in err
    assert "internal error" not in err


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (b"{", (), "is no JSON"),
        (b"[" * 100_000, (), "is no JSON"),
        (b'{"a": "\xff"}', (), "is no JSON"),
        (b"\x1f\x8b\x08\0\0", (), "broken gzip"),
        (b"\xc3", (), "does not say its machine"),
        (b"\xc3", ("--target", "vax"), "no target named"),
        (b"\xc3", ("--target", "x86_64", "--address", "nowhere"), "not a 64-bit address"),
        (b"\xc3", ("--target", "x86_64", "--symbols", "/nonexistent"), "no such file"),
        (b"\xc3", ("--target", "x86_64", "--symbols", __file__, "--bpf", "/nonexistent"), "no such file"),
    ],
)  # fmt: skip
def test_bad_files(
    data: bytes, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(data)
    code, out, err = run(capsys, path, *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err


def test_a_bad_table_of_symbols(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "symbols.json"
    for text in ('{"a": {"b": "c"}}', '{"a": "b"}', '{"a": {"0x1": "c"}, "b": 5}'):
        table.write_text(text)
        code, _, err = run(capsys, IMAGES, "--symbols", table)
        assert code == 2
        assert "is no table of symbols" in err


# Images that a kernel's JIT made ------------------------------------------------------------------------

BIT_MANIPULATION = ("riscv64 6.12.107 zba/zbb", "riscv64 7.2.13 zba/zbb", "riscv64 6.12.107 harden=2")
"""Variants built with Zba and Zbb, which the emulator does not execute."""


@pytest.mark.skipif(not CORPUS.is_file(), reason="the corpus of kernel images is kept outside the repository")
def test_kernel_images(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, CORPUS, "--symbols", SYMBOLS, "--json")
    assert err == ""
    found = [json.loads(line) for line in out.splitlines()]
    run_whole = [one for one in found if not one["image"].startswith(BIT_MANIPULATION)]
    assert len(run_whole) == 700
    for one in run_whole:
        assert one["verdict"] == "agrees", one
        assert int(one["r0"], 16) & 0xFFFF_FFFF == one["recorded"], one
        assert one["interpreter"] is not None or "ld_abs" not in one["image"], one
    assert all(one["verdict"] in ("agrees", "undecided") for one in found)

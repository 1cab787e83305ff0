"""`crossbpf btf dump`, and what --link, --btf and --kconfig do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from crossbpf import cc
from crossbpf.cli import main
from crossbpf.inputs import read_source

OBJECTS = Path(__file__).resolve().parents[1] / "data" / "objects"
ROOT = OBJECTS.parents[2]
EXAMPLE = str(ROOT / "examples" / "crc32.bpfel.o")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Types for core.c, in a file."""
    path = tmp_path_factory.mktemp("types") / "target.o"
    try:
        path.write_bytes(cc.compile_c(OBJECTS / "core_target.c", "little"))
    except cc.NotHere as error:
        pytest.skip(str(error))
    return str(path)


class TestDump:
    @pytest.mark.parametrize("words", [[], ["format", "raw"]])
    @pytest.mark.parametrize("lead", [[], ["file"]])
    def test_raw(self, words: list[str], lead: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["btf", "dump", *lead, EXAMPLE, *words]) == 0
        assert capsys.readouterr().out.startswith("[1] PTR '(anon)' type_id=")

    def test_c(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["btf", "dump", "file", EXAMPLE, "format", "c"]) == 0
        assert capsys.readouterr().out.startswith("#ifndef __VMLINUX_H__")

    @pytest.mark.parametrize("option", ["-j", "--json", "-p"])
    def test_json(self, option: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["btf", "dump", EXAMPLE, option]) == 0
        assert json.loads(capsys.readouterr().out)["types"][0]["kind"] == "PTR"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "Missing argument 'FILE'"),
            (["x.o", "format", "rust"], "no format 'rust'; there are raw and c"),
            (["x.o", "form", "c"], "what is 'form c'?"),
            (["x.o", "format", "c", "-j"], "format c has no JSON form"),
            (["no-such.o"], "no-such.o: no such file"),
            ([__file__], "test_btf_verb.py: section .BTF+0x0: no BTF magic number"),
        ],
    )
    def test_usage(self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["btf", "dump", *words]) == 2
        printed = capsys.readouterr()
        assert message in printed.out + printed.err
        assert "\n" not in (printed.out + printed.err).rstrip()

    def test_of_c(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["btf", "dump", "file", str(OBJECTS / "types.c")]) == 0
        assert "] VAR 'hidden' " in capsys.readouterr().out

    def test_an_object_without_types(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = tmp_path / "x.c"
        source.write_text("int f(void) { return 1; }")
        (tmp_path / "x.o").write_bytes(cc.compile_c(source, "little", cflags=["-g0"]))
        assert main(["btf", "dump", str(tmp_path / "x.o")]) == 2
        assert "x.o: no section .BTF (compile with -g)" in capsys.readouterr().err


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Engine -> R0 of the last answer in JSON."""
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["engine"]: row["r0"] for row in record["engines"] if "r0" in row}


class TestCheck:
    def test_link(self, capsys: pytest.CaptureFixture[str]) -> None:
        first, second = str(OBJECTS / "link_a.c"), str(OBJECTS / "link_b.c")
        assert main(["check", first, "--entry", "linked", "--link", second, "--json"]) == 0
        assert set(rows(capsys).values()) == {hex(230 + 100000 + 201 + 7)}
        assert main(["check", first, "--entry", "linked"]) == 2
        assert "function helper_function is not defined" in capsys.readouterr().err

    def test_link_takes_the_object_of_the_byte_order(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("link_a", "link_b"):
            for order, suffix in (("little", "bpfel"), ("big", "bpfeb")):
                (tmp_path / f"{name}.{suffix}.o").write_bytes(cc.compile_c(OBJECTS / f"{name}.c", order))
        library = str(tmp_path / "link_b.bpfel.o")
        for suffix in ("bpfel", "bpfeb"):
            name = str(tmp_path / f"link_a.{suffix}.o")
            assert main(["check", name, "--entry", "linked", "--link", library, "--json"]) == 0
            assert set(rows(capsys).values()) == {hex(230 + 100000 + 201 + 7)}

    def test_btf(self, target: str, capsys: pytest.CaptureFixture[str]) -> None:
        name = str(OBJECTS / "core.c")
        assert main(["check", name, "--entry", "values", "--btf", target, "--json"]) == 0
        assert set(rows(capsys).values()) == {hex(42 + 0x500000000 + (9 << 8))}
        assert main(["check", name, "--entry", "careless", "--btf", target]) == 2
        assert "CO-RE relocation <byte_off> struct thing___old.gone (0:0) finds nothing" in capsys.readouterr().err
        assert main(["check", name, "--entry", "values", "--btf", "no-such-file"]) == 2
        assert "no-such-file: no such file" in capsys.readouterr().err

    def test_kconfig(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        name = str(OBJECTS / "externs.c")
        assert (
            main(["check", name, "--entry", "kernel_version", "--kconfig", "LINUX_KERNEL_VERSION=0x60c00", "--json"])
            == 0
        )
        assert set(rows(capsys).values()) == {"0x60c00"}
        assert main(["check", name, "--entry", "kernel_version", "--json"]) == 0
        assert set(rows(capsys).values()) == {"0x61200"}
        assert main(["check", name, "--entry", "configuration"]) == 2
        assert "CONFIG_SMP has no value" in capsys.readouterr().err
        text = b'# a comment\nCONFIG_SMP=y\nCONFIG_MODULES=n\nCONFIG_HZ=100\nCONFIG_DEFAULT_HOSTNAME="ab"\n'
        (tmp_path / "config").write_bytes(text)
        (tmp_path / "config.gz").write_bytes(gzip.compress(text))
        for file in ("config", "config.gz"):
            assert main(["check", name, "--entry", "configuration", "--kconfig", str(tmp_path / file), "--json"]) == 0
            assert set(rows(capsys).values()) == {hex(16 + (ord("n") << 8) + (100 << 16) + (ord("b") << 48))}
        (tmp_path / "bad.gz").write_bytes(b"\x1f\x8bnonsense")
        assert main(["check", name, "--kconfig", str(tmp_path / "bad.gz")]) == 2
        assert "is no file of NAME=VALUE lines" in capsys.readouterr().err

    def test_other_verbs_take_them_too(self, target: str, capsys: pytest.CaptureFixture[str]) -> None:
        name = str(OBJECTS / "core.c")
        assert main(["disasm", name, "--entry", "offsets", "--btf", target]) == 0
        moved = capsys.readouterr().out
        assert main(["disasm", name, "--entry", "offsets"]) == 0
        assert capsys.readouterr().out != moved
        assert main(["jit", name, "--entry", "offsets", "--btf", target, "--target", "arm64"]) == 0
        assert main(["trace", name, "--entry", "values", "--btf", target, "--target", "s390x"]) == 0


@pytest.mark.parametrize("order", ["little", "big"])
def test_programs_of_a_prog_array_come_along(order: str) -> None:
    source = read_source(str(OBJECTS / "maps.c"), entry="entry")
    program, tails = source.program_in(order), source.tails_in(order)
    assert [one.name for one in (program, *tails)] == ["entry", "called_last", "called_first"]
    assert all(one.order == order and one.maps == program.maps for one in tails)
    assert read_source(EXAMPLE).tails_in("little") == ()

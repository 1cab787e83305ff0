"""--map of check and trace, and how maps are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpf.program import Map, Program, program
from bpf.spec.maps import NO_PREALLOC
from bpf.text import assemble
from crossbpf import check, trace
from crossbpf.cli import main
from crossbpf.inputs import Source

COUNT = """
    *(u32 *)(r10 - 4) = 3; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto none
    r1 = 1; lock *(u64 *)(r0 + 0) += r1; r0 = *(u64 *)(r0 + 0); exit
    none: r0 = 99; exit"""
INNER = Map("inner", "hash", 4, 8, 4)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A file that is the program COUNT with these maps."""
    maps = getattr(request, "param", (Map("m", "hash", 4, 8, 40),))
    prog = assemble(COUNT)

    def in_order(order: str) -> Program:
        return program(prog.insns, name="count", order=order, maps=maps)

    for verb in (check, trace):
        monkeypatch.setattr(verb, "read_source", lambda name, **_: Source(name, "text", in_order))


def written(folder: Path, data: object) -> str:
    path = folder / "m.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return str(path)


def test_contents_are_shown(source: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, [[3, 7], [258, 1]])
    assert main(["check", "x", "--map", f"m={file}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line.split() for line in lines[lines.index("") + 1 :] if line]
    assert table == [["map", "key", "value"], ["m", "0x3", "0x8"], ["0x102", "0x1"]]


def test_bytes_in_two_byte_orders(source: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes are the same for all; what a program makes of them is not."""
    file = written(tmp_path, {"03000000": "0700000000000000"})
    assert main(["check", "x", "--map", f"m={file}"]) == 0
    out = capsys.readouterr().out
    assert "map (little-endian)" in out
    assert "map (big-endian)" in out
    assert "0x8" in out
    assert "0x63" in out  # no such key for a big-endian program


def test_contents_in_json(source: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, {"03000000": 7})
    assert main(["check", "x", "--json", "--target", "x86_64", "--map", f"m={file}"]) == 0
    found = json.loads(capsys.readouterr().out)
    for row in found["engines"]:
        assert row["maps"] == {"m": {"03000000": "0800000000000000"}}
        assert row["r0"] == "0x8"
    again = written(tmp_path, found["engines"][0]["maps"]["m"])  # as it is shown it can be given
    assert main(["check", "x", "--json", "--target", "x86_64", "--map", f"m={again}"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"][0]["r0"] == "0x9"


def test_many_elements(source: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, [[n, n] for n in range(20)])
    assert main(["check", "x", "--map", f"m={file}"]) == 0
    out = capsys.readouterr().out
    assert "4 more" in out
    assert "0xf" in out
    assert "0x10" not in out


@pytest.mark.parametrize(
    ("source", "data", "shown"),
    [
        ((Map("m", "array", 4, 8, 4),), [None, 5, "0000000000000000", 7], ["0x1 0x5", "0x3 0x8"]),
        ((Map("m", "percpu_array", 4, 8, 4),), [0, 0, 0, 7], ["0x3 0x8 | 0x7 | 0x7 | 0x7"]),
        ((Map("m", "hash", 4, 8, 4), Map("q", "queue", 0, 8, 4)), [[3, 7]], ["m 0x3 0x8", "q empty"]),
        ((Map("m", "lru_hash", 4, 8, 4), Map("o", "array_of_maps", 4, 4, 2, maps=(2,), inner=INNER), INNER), [[3, 7]],
         ["o 0x0 inner", "inner empty"]),
    ],
    indirect=["source"],
)  # fmt: skip
def test_kinds(
    source: None, data: object, shown: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "x", "--map", f"m={written(tmp_path, data)}"]) == 0
    out = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in shown:
        assert any(line in found for found in out), (line, out)


def test_trace_starts_with_the_elements(source: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, [[3, 7]])
    assert main(["trace", "x", "--target", "s390x", "--map", f"m={file}"]) == 0
    assert "agree at every instruction" in capsys.readouterr().out
    assert main(["trace", "x", "--target", "s390x", "--map", f"m={file}", "--break", "9", "--json"]) == 0
    states = json.loads(capsys.readouterr().out)["parts"]["states"]
    assert int(states["s390x"]["registers"][0], 16) != 0  # the element was found


@pytest.mark.parametrize(
    ("option", "data", "words"),
    [
        ("m", None, "'m' is not NAME=FILE.json"),
        ("n=FILE", [], "the program has no map named 'n' (its maps: m)"),
        ("m=nowhere.json", None, "no such file"),
        ("m=FILE", "{", "not JSON"),
        ("m=FILE", 5, "neither an object nor a list"),
        ("m=FILE", [1, 2], "are pairs"),
        ("m=FILE", {"zz": 1}, "key 'zz' is neither hex bytes nor a number"),
        ("m=FILE", {"01": 1}, "a key of 1 bytes"),
        ("m=FILE", {"01000000": True}, "value True is neither"),
        ("m=FILE", [[1, -1 << 70]], "too big"),
        ("m=FILE --map m=FILE", [], "map 'm' is given twice (once for each map, all in one file)"),
    ],
)
def test_errors_are_one_line(
    source: None, option: str, data: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, data)
    assert main(["check", "x", "--map", *option.replace("FILE", file).split()]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_names_of_maps_in_a_map_of_maps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outer = Map("m", "hash_of_maps", 4, 4, 4, inner=INNER)
    trie = Map("t", "lpm_trie", 8, 8, 4, flags=NO_PREALLOC)
    prog = assemble("r0 = 0; exit")

    def in_order(order: str) -> Program:
        return program(prog.insns, order=order, maps=(outer, INNER, trie))

    monkeypatch.setattr(check, "read_source", lambda name, **_: Source(name, "text", in_order))
    assert main(["check", "x", "--map", f"m={written(tmp_path, [[5, 'inner']])}"]) == 0
    assert "0x5  inner" in capsys.readouterr().out
    assert main(["check", "x", "--map", f"m={written(tmp_path, [[5, 5]])}"]) == 2
    assert "5 is not the name of a map" in capsys.readouterr().err

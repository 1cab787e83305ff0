"""`crossbpf.load`: programs and maps in Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from samples import COUNTS, SOURCE, built, counter, text

import crossbpf
from bpf.errors import CallFailed
from bpf.program import Map
from bpf.spec.maps import EXIST, NOEXIST
from runtime import Caller, Loaded
from vm.world import World

EXAMPLES = SOURCE.parents[3] / "examples"


def test_an_object() -> None:
    built()  # skips where there is no compiler
    loaded = crossbpf.load(str(SOURCE))
    assert set(loaded.programs) == {"count", "last", "jump"}
    assert set(loaded.maps) == {"counts", "each", "jumps", ".bss", ".rodata"}
    assert [loaded.run("count", engine=name).retval for name in ("interpreter", "arm64")] == [2, 2]
    counts = loaded.maps["counts"]
    assert bytes(counts[7]) == b"\2" + bytes(7)  # type: ignore[arg-type]
    assert list(counts) == [b"\7\0\0\0"] and len(counts) == 1 and 7 in counts and 8 not in counts
    assert loaded.run("jump").retval == 5
    assert loaded.maps["each"][1] == (b"\1" + bytes(7), *[bytes(8)] * 3)


def test_values_are_views() -> None:
    loaded = Loaded([counter()])
    view = loaded.maps["counts"][1]
    assert isinstance(view, memoryview)
    loaded.run(repeat=2)
    assert view[0] == 2
    view[0] = 9
    assert loaded.run().retval == 10
    loaded.maps["counts"][1] = 41
    assert loaded.run(engine="riscv64").retval == 42


def test_values_of_each_cpu_are_views() -> None:
    words = """
        r1 = 0; *(u32 *)(r10 - 4) = r1; r2 = r10; r2 += -4; r1 = map[idx:0]; call 1; if r0 == 0 goto out
        r1 = 1; r2 = *(u64 *)(r0 + 0); r2 += r1; *(u64 *)(r0 + 0) = r2; r0 = r2; out: exit"""
    loaded = Loaded([text(words, maps=(Map("each", "percpu_array", 4, 8, 1),))], world=World(cpu=2))
    views = loaded.maps["each"][0]
    assert not isinstance(views, memoryview) and len(views) == 4
    mine = views[2]
    assert mine is not None
    loaded.run()
    assert [bytes(view or b"")[0] for view in views] == [0, 0, 1, 0]
    mine[0] = 40
    assert loaded.run(engine="arm64").retval == 41


def test_keys_that_are_not_there() -> None:
    loaded = Loaded([text("r0 = 0; exit", maps=(Map("h", "hash", 4, 8, 1),))])
    view = loaded.maps["h"]
    with pytest.raises(KeyError):
        view[b"abcd"]
    assert view.get(b"abcd") is None
    view[b"abcd"] = b"12345678"
    assert list(view.items()) == [(b"abcd", b"12345678")]
    with pytest.raises(CallFailed, match="update of map h: E2BIG"):
        view[b"efgh"] = b"12345678"
    with pytest.raises(CallFailed, match="EEXIST"):
        view.update(b"abcd", b"12345678", NOEXIST)
    view.update(b"abcd", b"87654321", EXIST)
    del view[b"abcd"]
    assert len(view) == 0
    with pytest.raises(KeyError):
        del view[b"abcd"]


def test_frozen_values_are_not_changed() -> None:
    data = Map(".rodata", value_size=8, initial=bytes(8), readonly=True)
    view = Loaded([text("r0 = 0; exit", maps=(data,))]).maps[".rodata"]
    value = view[0]
    assert isinstance(value, memoryview) and value.readonly
    for change in (lambda: view.update(0, 1), lambda: view.__setitem__(0, 1)):
        with pytest.raises(CallFailed, match="EPERM"):
            change()
    assert bytes(value) == bytes(8)


def test_records() -> None:
    words = "r1 = map[idx:0]; *(u64 *)(r10 - 8) = 7; r2 = r10; r2 += -8; r3 = 8; r4 = 0; call 130; exit"
    loaded = Loaded([text(words, maps=(Map("ring", "ringbuf", 0, 0, 4096),))])
    loaded.run(engine="x86_64", repeat=2)
    assert [bytes(record) for record in loaded.maps["ring"].records()] == [b"\7" + bytes(7)] * 2
    loaded.maps["ring"].records()[1][0] = 9  # a view of the ring's memory
    assert [record[0] for record in loaded.maps["ring"].records()] == [7, 9]
    with pytest.raises(crossbpf.CrossbpfError, match="no records"):
        Loaded([counter()]).maps["counts"].records()


def test_who_may_and_which_kernel(tmp_path: Path) -> None:
    example = str(EXAMPLES / "crc32.bpfel.o")
    path = tmp_path / "two.bpf"
    path.write_text("r0 = 2\nexit\n")
    assert crossbpf.load(str(path), type="xdp", caps=frozenset({"CAP_SYS_ADMIN"})).programs
    with pytest.raises(crossbpf.CrossbpfError, match=r"two\.bpf.*EPERM"):
        crossbpf.load(str(path), type="xdp", caps=frozenset())
    with pytest.raises(crossbpf.CrossbpfError, match=r"program type xdp came in Linux 4\.8, --kernel is 4\.7"):
        crossbpf.load(str(path), type="xdp", kernel="4.7")
    said = r"crc32\.bpfel\.o: insn 0: program crc32: verification failed: R2 !read_ok: EACCES"
    with pytest.raises(crossbpf.CrossbpfError, match=said):
        crossbpf.load(example, type="xdp")
    with pytest.raises(crossbpf.CrossbpfError, match=r"came in Linux"):
        crossbpf.load(example, kernel="3.18")
    with pytest.raises(crossbpf.CrossbpfError, match="no program type named 'strange'"):
        crossbpf.load(example, type="strange")
    with pytest.raises(crossbpf.CrossbpfError, match="no program named 'x'"):
        crossbpf.load(example).run("x")
    Loaded([replace(counter(COUNTS), section="socket")], caller=Caller(frozenset(), 0))


def test_text_runs_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "seven.bpf"
    path.write_text("r0 = 7\nexit\n")
    loaded = crossbpf.load(str(path))
    assert [loaded.run(engine=name).retval for name in ("s390x", "x86_64")] == [7, 7]

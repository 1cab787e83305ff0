"""The pin directory: what comes back, who may die when, and two processes at once."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from samples import COUNTS, built, counter

from bpf.errors import BadInput, CallFailed
from bpf.program import Map
from runtime import Store, elements
from runtime.running import measure, run
from runtime.store import default_directory

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "bpffs", clock=lambda: 1_700_000_000.5)


def number(store: Store, name: str = "counts", key: int = 1) -> int:
    with store.open(write=False) as kernel:
        (made,) = kernel.find_maps("name", name)
        value = elements.lookup(made, key.to_bytes(4, made.order))
    assert isinstance(value, bytes)
    return int.from_bytes(value, "little")


def test_looking_makes_no_directory(store: Store) -> None:
    with store.open(write=False) as kernel:
        assert not kernel.programs
    assert not store.directory.exists()


def test_what_is_loaded_comes_back(store: Store) -> None:
    programs = built()
    with store.open() as kernel:
        made = kernel.load(programs)
        measure(kernel, made)
        for one in made:
            kernel.pin(f"d/{one.name}", one)
    with store.open(write=False) as kernel:
        found = {one.name: one for one in kernel.programs.values()}
        assert [one.id for one in kernel.programs.values()] == [1, 2, 3]
        for program, before in zip(programs, made, strict=True):
            after = found[program.name]
            assert (after.tag, after.type, after.gpl, after.loaded_at) == (before.tag, "xdp", True, 1_700_000_000)
            assert after.program.insns == program.insns
            assert after.program.functions == program.functions
            assert after.program.lines == program.lines
            assert after.program.btf is not None and program.btf is not None
            assert len(after.program.btf.types) == len(program.btf.types)
            assert after.map_ids == before.map_ids
            assert after.jited == before.jited != {}
        assert {map_.name for map_ in kernel.maps.values()} == {"counts", "each", "jumps", ".bss", ".rodata"}


def test_maps_keep_their_contents(store: Store) -> None:
    with store.open() as kernel:
        kernel.pin("count", kernel.load([counter()])[0])
    for expected in (3, 6):
        with store.open() as kernel:
            assert run(kernel, kernel.programs[1], repeat=3).retval == expected
        assert number(store) == expected


@pytest.mark.parametrize(
    ("map_", "values"),
    [
        (Map("m", "hash", 4, 8, 4), {b"abcd": b"12345678", b"efgh": b"87654321"}),
        (Map("m", "lru_hash", 4, 8, 2), {b"abcd": b"12345678", b"efgh": b"87654321"}),
        (Map("m", "percpu_hash", 4, 8, 4), {b"abcd": b"12345678"}),
        (Map("m", "lpm_trie", 8, 4, 4, flags=1), {bytes([8, 0, 0, 0, 10, 0, 0, 0]): b"1234"}),
        (Map("m", "queue", 0, 4, 4), {b"": b"1234"}),
        (Map("m", "bloom_filter", 0, 4, 4), {b"": b"1234"}),
        (Map("m", "devmap", 4, 4, 4), {bytes(4): b"1234"}),
        (Map("m", "array", 4, 100_000, 2), {bytes(4): bytes(range(250)) * 400}),
        (Map("m", "ringbuf", 0, 0, 4096), {}),
    ],
    ids=lambda value: value.kind if isinstance(value, Map) else "",
)
def test_every_kind_of_contents_comes_back(store: Store, map_: Map, values: dict[bytes, bytes]) -> None:
    with store.open() as kernel:
        made = kernel.create_map(map_)
        kernel.pin("m", made)
        for key, value in values.items():
            elements.update(kernel, made, key, value)
        if map_.kind == "ringbuf":
            made.state.output(b"record", 0)  # type: ignore[union-attr]
        assert made.state is not None
        saved, shown = made.state.save(), list(elements.dump(made))
    with store.open() as kernel:  # written once more, unchanged
        assert list(elements.dump(kernel.maps[1])) == shown
    with store.open(write=False) as kernel:
        assert kernel.maps[1].state is not None
        assert kernel.maps[1].state.save() == saved


def test_ids_are_never_given_twice(store: Store) -> None:
    seen: list[int] = []
    for _ in range(3):
        with store.open() as kernel:
            (one,) = kernel.load([counter()])
            kernel.pin("p", one)
            seen += [one.id, 100 + one.maps[0]]
        with store.open() as kernel:
            kernel.unpin("p")
            assert not kernel.programs and not kernel.maps
    assert seen == [1, 101, 2, 102, 3, 103]


def test_what_is_not_pinned_is_gone(store: Store) -> None:
    with store.open() as kernel:
        first, second = kernel.load([counter(), counter(name="other")])
        kernel.pin("p", first)
        assert second.id in kernel.programs
    with store.open(write=False) as kernel:
        assert list(kernel.programs) == [first.id]


def test_files_that_do_not_count_are_removed(store: Store) -> None:
    with store.open() as kernel:
        kernel.pin("count", kernel.load([counter()])[0])
    for _ in range(4):
        with store.open() as kernel:
            run(kernel, kernel.programs[1])
    names = sorted(path.name for path in store.directory.iterdir())
    assert names == ["index.json", "lock", "map-1-5", "prog-1"]


def test_nothing_is_written_when_nothing_has_changed(store: Store) -> None:
    with store.open() as kernel:
        kernel.pin("count", kernel.load([counter()])[0])
    before = {path.name: path.stat().st_mtime_ns for path in store.directory.iterdir() if path.name != "lock"}
    with store.open() as kernel:
        list(elements.dump(kernel.maps[1]))
    after = {path.name: path.stat().st_mtime_ns for path in store.directory.iterdir() if path.name != "lock"}
    assert after == before


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_writer_that_dies_leaves_the_old_state(store: Store, written: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.open() as kernel:
        kernel.pin("a", kernel.create_map(Map("a", "array", 4, 8, 4)))
        kernel.pin("b", kernel.create_map(Map("b", "array", 4, 8, 4)))
    left = [written]
    write = Store._write

    def dying(self: Store, name: str, data: bytes) -> None:
        if not left[0]:
            (self.directory / f"{name}.new").write_bytes(data[:10])
            raise _Killed
        left[0] -= 1
        write(self, name, data)

    monkeypatch.setattr(Store, "_write", dying)
    with pytest.raises(_Killed), store.open() as kernel:
        for made in kernel.maps.values():
            elements.update(kernel, made, b"\1\0\0\0", b"\xff" * 8)
    monkeypatch.undo()
    assert number(store, "a") == number(store, "b") == 0
    with store.open() as kernel:
        elements.update(kernel, kernel.maps[1], b"\1\0\0\0", b"\1" + bytes(7))
    assert number(store, "a") == 1
    assert len(list(store.directory.iterdir())) == 4


def test_an_error_changes_nothing(store: Store) -> None:
    with store.open() as kernel:
        kernel.pin("a", kernel.create_map(COUNTS))
    with pytest.raises(CallFailed), store.open() as kernel:
        kernel.pin("b", kernel.create_map(COUNTS))
        kernel.pin("b", kernel.create_map(COUNTS))
    with store.open(write=False) as kernel:
        assert list(kernel.pins) == ["a"]
        assert kernel.next_map == 2


_HAMMER = """
import sys
from pathlib import Path
from runtime import Store, hooks
from runtime.running import run
from bpf.program import Map
store = Store(Path(sys.argv[1]))
for turn in range(int(sys.argv[3])):
    with store.open() as kernel:
        run(kernel, kernel.find_programs("pinned", "count")[0])
        kernel.pin(f"{sys.argv[2]}/{turn}", kernel.create_map(Map("m", "array", 4, 8, 1)))
        hooks.attach(kernel, kernel.programs[1], *hooks.hook_named(kernel, f"xdp:{sys.argv[2]}{turn}"))
    with store.open(write=False) as kernel:
        assert len(kernel.find_maps("name", "counts")) == 1
    if turn % 2:
        with store.open() as kernel:
            kernel.unpin(f"{sys.argv[2]}/{turn}")
            hooks.detach(kernel, *hooks.hook_named(kernel, f"xdp:{sys.argv[2]}{turn}"))
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


def test_two_processes_at_once(store: Store) -> None:
    turns = 30
    with store.open() as kernel:
        kernel.pin("count", kernel.load([counter()])[0])
    both = [start(_HAMMER, store.directory, name, turns) for name in ("one", "two")]
    for process in both:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors.decode()
    assert number(store) == 2 * turns
    with store.open(write=False) as kernel:
        assert len(kernel.pins) == 1 + turns
        assert kernel.next_map == 2 + 2 * turns
        assert {one.place for one in kernel.attached} == {f"{n}{t}" for n in ("one", "two") for t in range(0, turns, 2)}
        assert len(kernel.attached) == turns
    kept = {path.name for path in store.directory.iterdir()}
    assert len(kept) == 3 + 1 + turns
    assert not [name for name in kept if name.endswith(".new")]


_WRITER = """
import sys
from pathlib import Path
from runtime import Store, elements
store = Store(Path(sys.argv[1]))
for turn in range(1, 1_000_000):
    with store.open() as kernel:
        for made in kernel.maps.values():
            elements.update(kernel, made, bytes(4), turn.to_bytes(8, "little") * 1000)
"""


def test_a_killed_writer(store: Store) -> None:
    with store.open() as kernel:
        for name in ("a", "b", "c"):
            kernel.pin(name, kernel.create_map(Map(name, "array", 4, 8000, 1)))
    draw, last = random.Random(7), -1
    for _ in range(4):
        process = start(_WRITER, store.directory)
        until = time.monotonic() + 20
        while number(store, "a", 0) & 0xFFFF == max(last, 0) & 0xFFFF and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(draw.random() / 10)
        process.kill()
        process.communicate()
        found = {name: number(store, name, 0) for name in ("a", "b", "c")}
        assert len(set(found.values())) == 1, found
        last = found["a"] & (1 << 64) - 1
        with store.open() as kernel:
            kernel.pin("d", kernel.create_map(COUNTS))
        with store.open() as kernel:
            kernel.unpin("d")
        assert len(list(store.directory.iterdir())) == 2 + 3


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("index.json", b"{"), ("index.json", b"[]"), ("index.json", b'{"version": 9}'), ("prog-1", b"{}"),
        ("prog-1", b'{"d":[["name","x"]]}'), ("map-1-1", b"[]"), ("map-1-1", b'[{"x":"00"},null]'),
        ("map-1-1", b"\xff"),
        ("map-1-1", b'[{"z":"eJw"},null]'),
    ],
)  # fmt: skip
def test_broken_files_are_one_line(store: Store, name: str, data: bytes) -> None:
    with store.open() as kernel:
        kernel.pin("count", kernel.load([counter()])[0])
    (store.directory / name).write_bytes(data)
    with pytest.raises(BadInput, match=name), store.open() as kernel:
        run(kernel, kernel.programs[1])


def test_an_index_without_its_parts(store: Store) -> None:
    with store.open() as kernel:
        kernel.pin("count", kernel.load([counter()])[0])
    index = json.loads((store.directory / "index.json").read_text())
    del index["programs"][0]["tag"]
    (store.directory / "index.json").write_text(json.dumps(index))
    with pytest.raises(BadInput, match=r"index\.json: broken"), store.open():
        pass


def test_where_pins_are_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_directory() == Path("/state/crossbpf/bpffs")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_directory() == Path.home() / ".local" / "state" / "crossbpf" / "bpffs"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_directory().parts[-3:] == ("Application Support", "crossbpf", "bpffs")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert default_directory() == Path("/local/crossbpf/bpffs")

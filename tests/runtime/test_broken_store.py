"""A pin directory that somebody has written into: an error of ours, or as if nothing were wrong; never a traceback."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from samples import built, counter

from bpf.errors import CrossbpfError
from bpf.program import Map
from runtime import Store, codec, elements
from runtime.running import run


@cache
def template() -> dict[str, bytes]:
    """The files of a directory with programs and maps of several kinds."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), clock=lambda: 1.0)
        with store.open() as kernel:
            for one in (*kernel.load(built()), *kernel.load([counter()])):
                kernel.pin(f"p{one.id}", one)
            for map_ in (Map("h", "hash", 4, 8, 4), Map("q", "queue", 0, 4, 2), Map("t", "lpm_trie", 8, 4, 2, flags=1)):
                made = kernel.create_map(map_)
                kernel.pin(map_.name, made)
                elements.update(kernel, made, bytes(map_.key_size), bytes(map_.value_size))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def use(folder: Path) -> None:
    """Everything that a command may do."""
    with Store(folder).open() as kernel:
        for made in kernel.maps.values():
            list(elements.dump(made)) if made.declared.kind != "arena" else None
        for one in list(kernel.programs.values()):
            run(kernel, one)
    with Store(folder).open(write=False) as kernel:
        assert kernel.pins is not None


def tolerate(name: str, data: bytes) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        for file, content in template().items():
            (folder / file).write_bytes(data if file == name else content)
        try:
            use(folder)
        except CrossbpfError as error:
            assert str(error).isprintable()
    finally:
        shutil.rmtree(folder)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 1 << 70), st.floats(), st.just([]), st.just({}),
    st.sampled_from(["", "x", "array", "big", "é"]),
)  # fmt: skip


@given(st.data())
def test_files_with_other_values_in_them(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(template()) - {"lock"})))
    record = json.loads(template()[name])
    path = data.draw(st.sampled_from(list(places(record))))
    value = data.draw(LEAVES)
    if not path:
        record = value
    else:
        inside = record
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = value
    tolerate(name, json.dumps(record, indent=1 if name == "index.json" else None).encode())


@given(st.data())
def test_files_with_other_bytes_in_them(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(template()) - {"lock"})))
    content = bytearray(template()[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    tolerate(name, bytes(content))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=200),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.binary(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
@example(bytes(1000))
def test_texts_say_what_they_were_given(value: Any) -> None:
    assert codec.load(codec.dump(value)) == value

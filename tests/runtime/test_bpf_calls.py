"""bpf() on elements does what the live kernel's does: the same results, the same errno, in any order, on every kind.

Skipped, with the reason, where bpf() is absent or not permitted. tests/runtime/test_elements.py has the same behaviour
written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bpf.map_rules import entries
from bpf.program import Map
from bpf.spec.maps import BATCHES, BUCKETS, LOCAL, MMAPABLE, NO_PREALLOC, PER_CGROUP, RDONLY, SOCKETS, WRONLY
from tests.live_kernel import live
from tests.runtime.live_calls import HERE, NO_SUCH, Live, Mine, Things, things
from vm.maps.batch import Batch

pytestmark = live
FEW = settings(max_examples=9, database=None, derandomize=True, deadline=None, phases=(Phase.generate,))
MANY = settings(FEW, max_examples=200)
INNER = Map("inner", "hash", 4, 8, 4)
CALLED = (
    Map("m", "array", 4, 8, 3), Map("m", "percpu_array", 4, 8, 3), Map("m", "hash", 4, 8, 4),
    Map("m", "hash", 4, 8, 4, flags=NO_PREALLOC), Map("m", "hash", 4, 16, 4, lock=8),
    Map("m", "array", 4, 16, 3, lock=4), Map("m", "percpu_hash", 4, 8, 4), Map("m", "lru_hash", 4, 8, 64),
    Map("m", "lru_percpu_hash", 4, 8, 64),
    Map("m", "lpm_trie", 8, 8, 4, flags=NO_PREALLOC), Map("m", "queue", 0, 8, 2), Map("m", "stack", 0, 8, 2),
    Map("m", "bloom_filter", 0, 8, 64), Map("m", "ringbuf", 0, 0, 4096), Map("m", "prog_array", 4, 4, 3),
    Map("m", "perf_event_array", 4, 4, 3), Map("m", "cgroup_array", 4, 4, 3),
    Map("m", "array_of_maps", 4, 4, 3, inner=INNER), Map("m", "hash_of_maps", 4, 4, 2, inner=INNER),
    Map("m", "devmap", 4, 4, 3), Map("m", "devmap", 4, 8, 3), Map("m", "devmap_hash", 4, 4, 2),
    Map("m", "devmap_hash", 4, 8, 2), Map("m", "cpumap", 4, 4, 9), Map("m", "cpumap", 4, 8, 9),
    *(Map("m", kind, 4, size, 2) for kind in ("sockmap", "sockhash", "reuseport_sockarray") for size in (4, 8)),
    Map("m", "xskmap", 4, 4, 2), *(Map("m", kind, 4, 8, 0, flags=NO_PREALLOC) for kind in sorted(LOCAL)),
    Map("m", "task_storage", 4, 16, 0, flags=NO_PREALLOC, lock=12),
    *(Map("m", kind, 16, 8, 0) for kind in sorted(PER_CGROUP)),
    Map("m", "hash", 4, 8, 4, flags=RDONLY), Map("m", "array", 4, 8, 4, flags=WRONLY),
    Map("m", "queue", 0, 8, 4, flags=WRONLY), Map("m", "sockmap", 4, 8, 2, flags=RDONLY),
    Map("m", "stack_trace", 4, 64, 3), Map("m", "arena", 0, 0, 1, flags=MMAPABLE),
)  # fmt: skip
UPDATES = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6, 8])
STEPS = st.sampled_from([*["update"] * 4, *["lookup"] * 2, *["delete", "take", "next", "walk", "batch"] * 2, "freeze"])
LOOKUPS = st.sampled_from([0, 0, 0, 0, 1, 4, 8])


def name_of(map_: Map) -> str:
    return f"{map_.kind}-{map_.value_size}-{map_.flags}"


@pytest.fixture(scope="module")
def there() -> Iterator[Things]:
    with things() as found:
        yield found


def keys_of(map_: Map) -> st.SearchStrategy[bytes]:
    if not map_.key_size:
        return st.just(b"") if map_.kind != "bloom_filter" else values_of(map_)
    if map_.kind == "lpm_trie":
        lengths = st.sampled_from([0, 1, 8, 31, 32, 33]).map(lambda length: length.to_bytes(4, HERE))
        return st.builds(bytes.__add__, lengths, st.sampled_from([bytes(4), b"\x80\0\0\1", b"\xff\xff\0\0"]))
    numbers = [0, 1, 2, 3, 4]
    if map_.kind in LOCAL:
        # No cgroup of this machine gets a value, so there only numbers that are no descriptors are tried.
        own = {"sk_storage": [1, 4, 7], "task_storage": [1], "inode_storage": [2], "cgrp_storage": []}
        numbers = [*own[map_.kind], NO_SUCH] if map_.kind == "sk_storage" else own[map_.kind]
        return st.sampled_from([*(n.to_bytes(4, HERE) for n in numbers), b"\xff" * 4])
    if map_.kind == "cpumap":
        numbers = [0, 1, 8, 9, 77]
    return st.sampled_from(numbers).map(lambda number: number.to_bytes(map_.key_size, HERE))


def values_of(map_: Map) -> st.SearchStrategy[bytes]:
    size = map_.value_size

    def words(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, HERE) for number in numbers)[:size]

    if map_.kind in SOCKETS:
        numbers = [*range(1, 6), 7, 8, 9, NO_SUCH, (1 << 8 * size) - 1]
        if map_.kind == "xskmap":  # descriptors of what is no such socket: see ENOTSOCK in docs/linux.md
            numbers = [1, 4, 6, NO_SUCH, (1 << 32) - 1]
        return st.sampled_from(numbers).map(lambda number: number.to_bytes(size, HERE))
    if map_.kind.startswith("devmap"):
        return st.sampled_from([words(1, 0), words(1, 0), words(0, 0), words(0, NO_SUCH), words(7777, 0),
                                words(1, NO_SUCH), words(1, (1 << 32) - 1)])  # fmt: skip
    if map_.kind == "cpumap":  # no thread is started on a CPU: only what is empty or wrong
        return st.sampled_from([words(0, 0), words(16_385, 0)])
    if map_.inner is not None or map_.kind == "prog_array":
        return st.sampled_from([words(1), words(2), b"\xff" * 4])
    if map_.kind in ("perf_event_array", "cgroup_array"):
        return st.just(b"\xff" * 4)
    if map_.kind == "bloom_filter":
        return st.sampled_from([bytes(8), b"\1" * 8, b"\2" * 8])
    return st.binary(min_size=size, max_size=size)


def walked(one: Mine | Live) -> object:
    """All keys, or the errno of the first step."""
    found, key = [], one.next_key(None)
    while isinstance(key, bytes):
        found.append(key)
        key = one.next_key(key)
    return sorted(found) if found else key


def shown(found: Batch, map_: Map) -> object:
    """A batch as both kernels have it; a table's order is its own."""
    pairs = list(zip(found.keys, found.values, strict=True))
    if map_.kind in ("array", "percpu_array", "array_of_maps"):
        return found.error, found.count, pairs, found.out if pairs else None
    return found.error, found.count, dict(pairs)


def in_steps(one: Mine | Live, count: int, *, take: bool) -> object:
    """What batches of so many elements give together, and how they end."""
    found: dict[bytes, object] = {}
    start: bytes | None = None
    while True:
        step = one.lookup_batch(start, count, 0, 0, take=take)
        found |= dict(zip(step.keys, step.values, strict=True))
        if step.error == 28:  # a bucket with more: which one that is is the hash's
            return "ENOSPC"
        if step.error or step.out is None:
            return step.error, found
        start = step.out


class Pair:
    """A map in both kernels, and operations that must give the same."""

    def __init__(self, map_: Map, there: Things, data: st.DataObject) -> None:
        self.map, self.data = map_, data
        self.both = Mine(map_), Live(map_, there)
        self.keys, self.values = keys_of(map_), values_of(map_)

    def same(self, what: str, act: Callable[[Mine | Live], object]) -> None:
        mine, live = map(act, self.both)
        assert mine == live, (what, self.map)

    def step(self) -> None:
        """One operation, whichever."""
        draw = self.data.draw
        name = draw(STEPS)
        key, value = draw(self.keys), draw(self.values)
        if name == "update":
            flags = draw(UPDATES)
            given = b"" if self.map.kind == "bloom_filter" else key
            self.same(f"update {key!r} {value!r} {flags}", lambda one: one.update(given, value, flags))
        elif name in ("lookup", "take"):
            flags = draw(LOOKUPS)
            if name == "take" and self.map.kind == "bloom_filter":
                key = b""
            self.same(f"{name} {key!r} {flags}", lambda one: getattr(one, name)(key, flags))
        elif name == "delete":
            given = b"" if self.map.kind == "bloom_filter" else key
            self.same(f"delete {key!r}", lambda one: one.delete(given))
        elif name == "next":
            # Where a table goes on is its own; how it says that there is nothing is not.
            table = "hash" in self.map.kind or self.map.kind == "lpm_trie"
            given = None if table or not self.map.key_size else key
            self.same(f"next {given!r}", lambda one: type(one.next_key(given)) if table else one.next_key(given))
        elif name == "freeze":
            self.same("freeze", lambda one: one.freeze())
        elif name == "walk":
            self.same("walk", walked)
        else:
            self.batch()

    def batch(self) -> None:
        draw = self.data.draw
        kind = draw(st.sampled_from(["lookup", "lookup", "take", "update", "delete", "steps"]))
        flags, count = draw(st.sampled_from([0, 0, 0, 0, 1, 4])), draw(st.integers(0, 3))
        pairs = [(draw(self.keys), draw(self.values)) for _ in range(count)]
        keyless = not self.map.key_size
        pairs = [(b"", value) for _, value in pairs] if keyless else pairs
        whole = entries(self.map) + 1
        if kind in ("lookup", "take"):
            more = draw(st.sampled_from([0, 0, 0, 1]))
            self.same(
                f"{kind} batch {flags} {more}",
                lambda one: shown(one.lookup_batch(None, whole, flags, more, take=kind == "take"), self.map),
            )
        elif kind == "steps" and "lookup" in BATCHES.get(self.map.kind, ()):
            take = self.map.kind in BUCKETS and draw(st.booleans())
            step = whole if take else max(count, 1)
            if self.map.kind not in BUCKETS or step == whole:
                self.same(f"steps {step}", lambda one: in_steps(one, step, take=take))
        elif kind == "update":
            self.same(f"update batch {pairs!r} {flags}", lambda one: counted(one.update_batch(pairs, flags)))
        elif kind == "delete":
            keys = [key for key, _ in pairs]
            self.same(f"delete batch {keys!r} {flags}", lambda one: counted(one.delete_batch(keys, flags)))


def counted(found: Batch) -> tuple[int, int]:
    return found.error, found.count


def hold(map_: Map, there: Things, data: st.DataObject) -> None:
    pair = Pair(map_, there, data)
    try:
        for _ in range(data.draw(st.integers(4, 14))):
            pair.step()
        pair.same("keys in the end", walked)
    finally:
        for one in pair.both:
            one.close()


@pytest.mark.parametrize("map_", CALLED, ids=name_of)
def test_any_calls(map_: Map, there: Things) -> None:
    @FEW
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        hold(map_, there, data)

    run()


@pytest.mark.deep
@pytest.mark.parametrize("map_", CALLED, ids=name_of)
def test_many_calls(map_: Map, there: Things) -> None:
    @MANY
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        hold(map_, there, data)

    run()

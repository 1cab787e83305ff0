"""What bpf() answers on every kind of map, written down: test_bpf_calls.py holds the same against the live kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.errors import CallFailed, MapRefused
from bpf.program import Map
from bpf.spec.errno import NUMBERS
from bpf.spec.maps import F_LOCK, MMAPABLE, NO_PREALLOC, RDONLY, WRONLY
from runtime import Kernel, Loaded, MapObject, Store, elements
from runtime.running import run
from tests.runtime.samples import text
from vm.maps import batch
from vm.maps.stack import StackState
from vm.maps.storage import CgroupStorageState
from vm.network import LISTEN, Network, Socket

NET = Network(
    sockets={
        1: Socket(), 2: Socket(state=""), 3: Socket("udp", local_port=9), 6: Socket("xdp"),
        7: Socket(state=LISTEN, local_port=7, reuseport=True),
    }
)  # fmt: skip
ARRAY, HASH = Map("m", "array", 4, 8, 3), Map("m", "hash", 4, 8, 4)
LOCKED = Map("m", "hash", 4, 16, 4, lock=8)
TRIE = Map("m", "lpm_trie", 8, 8, 4, flags=NO_PREALLOC)
SOCK, HASHED, PORTS = (Map("m", kind, 4, 8, 2) for kind in ("sockmap", "sockhash", "reuseport_sockarray"))
SHORT, XSK = Map("m", "sockmap", 4, 4, 2), Map("m", "xskmap", 4, 4, 2)
TASKS, SOCKS = (Map("m", f"{kind}_storage", 4, 8, 0, flags=NO_PREALLOC) for kind in ("task", "sk"))
OWN, EACH = (Map("m", kind, 16, 8, 0) for kind in ("cgroup_storage", "percpu_cgroup_storage"))
STACKS, ARENA = Map("m", "stack_trace", 4, 16, 3), Map("m", "arena", 0, 0, 1, flags=MMAPABLE)
DEVICES, DEVICE = Map("m", "devmap_hash", 4, 4, 1), Map("m", "devmap", 4, 8, 3)
CPUS, CGROUPS = Map("m", "cpumap", 4, 4, 9), Map("m", "cgroup_array", 4, 4, 2)
QUEUE, BLOOM = Map("m", "queue", 0, 8, 1), Map("m", "bloom_filter", 0, 8, 4)
RING, PERF = Map("m", "ringbuf", 0, 0, 4096), Map("m", "perf_event_array", 4, 4, 3)
OF_MAPS = Map("m", "array_of_maps", 4, 4, 2, inner=Map("inner", "array", 4, 8, 1))
JUMPS = Map("m", "prog_array", 4, 4, 2)


def word(number: int, size: int = 4) -> bytes:
    return number.to_bytes(size, "little")


K, V = word(1), word(5, 8)


def made(map_: Map, kernel: Kernel | None = None) -> MapObject:
    found = (kernel or Kernel()).create_map(map_)
    if found.state is not None:
        found.state.describe(NET)
    return found


def answer(map_: Map, *steps: tuple[object, ...]) -> str:
    """What the last step is answered with: the name of an errno, "none", "ok"."""
    kernel = Kernel()
    one = made(map_, kernel)
    found = ""
    for name, *rest in steps:
        try:
            found = "ok"
            if name == "update":
                elements.update(kernel, one, *rest)  # type: ignore[arg-type]
            elif name == "delete":
                elements.delete(kernel, one, *rest)  # type: ignore[arg-type]
            elif getattr(elements, str(name))(one, *rest) is None:
                found = "none"
        except CallFailed as failed:
            found = failed.name
    return found


def put(key: int, value: int, size: int = 8, flags: int = 0) -> tuple[object, ...]:
    return "update", word(key), word(value, size), flags


LOOK, DROP, NEXT, TAKE = ("lookup", K), ("delete", K), ("next_key", K), ("take", K)


@pytest.mark.parametrize(
    ("map_", "steps", "said"),
    [
        (ARRAY, [DROP], "EINVAL"), (ARRAY, [TAKE], "ENOTSUPP"), (ARRAY, [put(3, 5)], "E2BIG"),
        (ARRAY, [("lookup", K, 1)], "EINVAL"), (ARRAY, [("lookup", K, F_LOCK)], "EINVAL"),
        (ARRAY, [("next_key", word(2))], "ENOENT"), (ARRAY, [("next_key", word(9))], "ok"),
        (HASH, [TAKE], "ENOENT"), (HASH, [put(1, 5), TAKE], "ok"), (HASH, [put(1, 5), TAKE, LOOK], "none"),
        (HASH, [("take", K, F_LOCK)], "EINVAL"), (LOCKED, [put(1, 5, 16), ("take", K, F_LOCK)], "ok"),
        (TRIE, [("take", bytes(8))], "ENOTSUPP"), (DEVICES, [TAKE], "ENOTSUPP"),
        (QUEUE, [("take", b"")], "ENOENT"), (QUEUE, [("update", b"", V), ("take", b"")], "ok"),
        (QUEUE, [("take", b"", F_LOCK)], "EINVAL"), (QUEUE, [("next_key", None)], "EINVAL"),
        (QUEUE, [("delete", b"")], "EINVAL"), (BLOOM, [("next_key", None)], "EOPNOTSUPP"),
        (BLOOM, [("delete", b"")], "EOPNOTSUPP"), (BLOOM, [("lookup", V)], "none"),
        (BLOOM, [("update", b"", V), ("lookup", V)], "ok"), (BLOOM, [("lookup", K)], "EINVAL"),
        (RING, [("lookup", b"")], "ENOTSUPP"), (RING, [("update", b"", b"")], "ENOTSUPP"),
        (RING, [("delete", b"")], "ENOTSUPP"), (RING, [("next_key", None)], "ENOTSUPP"),
        (PERF, [LOOK], "ENOTSUPP"), (PERF, [put(0, 7, 4)], "EBADF"), (PERF, [put(3, 7, 4)], "E2BIG"),
        (PERF, [put(0, 7, 4, 1)], "EINVAL"), (PERF, [DROP], "ENOENT"), (PERF, [("delete", word(3))], "E2BIG"),
        (CGROUPS, [LOOK], "ENOTSUPP"), (CGROUPS, [put(1, 42, 4)], "ok"), (CGROUPS, [put(1, 42, 4, 2)], "EINVAL"),
        (CGROUPS, [put(1, 42, 4), DROP], "ok"), (CGROUPS, [DROP], "ENOENT"), (CGROUPS, [put(1, 1 << 31, 4)], "EBADF"),
        (OF_MAPS, [put(1, 7, 4)], "EBADF"), (OF_MAPS, [put(2, 7, 4)], "E2BIG"), (OF_MAPS, [put(1, 7, 4, 1)], "EINVAL"),
        (OF_MAPS, [("next_key", None)], "ok"), (JUMPS, [put(1, 7, 4)], "EBADF"), (JUMPS, [put(2, 7, 4)], "E2BIG"),
        (JUMPS, [put(1, 7, 4, 1)], "EINVAL"), (JUMPS, [("delete", word(2))], "E2BIG"), (JUMPS, [DROP], "ENOENT"),
        (JUMPS, [TAKE], "ENOTSUPP"),
        (DEVICE, [put(1, 1)], "ok"), (DEVICE, [put(1, 7)], "EINVAL"), (DEVICE, [put(1, 1, 8, 1)], "EEXIST"),
        (DEVICE, [put(3, 1)], "E2BIG"), (DEVICE, [put(1, 1), put(1, 0), LOOK], "none"), (DEVICE, [DROP], "ok"),
        (DEVICE, [("delete", word(3))], "EINVAL"), (DEVICE, [put(1, 1 | 77 << 32)], "EINVAL"),
        (DEVICE, [put(1, 77 << 32)], "EINVAL"), (DEVICE, [put(1, 1 | 0xFFFF_FFFF << 32)], "ok"),
        (DEVICES, [put(9, 1, 4)], "ok"), (DEVICES, [put(9, 0, 4)], "EINVAL"), (DEVICES, [put(9, 1, 4, 2)], "ok"),
        (DEVICES, [put(9, 1, 4), put(9, 1, 4, 1)], "EEXIST"), (DEVICES, [put(9, 1, 4), put(8, 1, 4)], "E2BIG"),
        (DEVICES, [DROP], "ENOENT"),
        (CPUS, [put(1, 16, 4)], "ok"), (CPUS, [put(1, 16_385, 4)], "EOVERFLOW"), (CPUS, [put(8, 16, 4)], "ENODEV"),
        (CPUS, [put(9, 16, 4)], "E2BIG"), (CPUS, [put(1, 16, 4, 1)], "EEXIST"), (CPUS, [put(1, 0, 4)], "ok"),
        (SOCK, [put(1, 1)], "ok"), (SOCK, [put(1, 99)], "EBADF"), (SOCK, [put(1, 2)], "EOPNOTSUPP"),
        (SOCK, [put(1, 1 << 31)], "EINVAL"), (SOCK, [put(2, 1)], "E2BIG"), (SOCK, [put(1, 1, 8, 2)], "ENOENT"),
        (SOCK, [put(1, 1), put(1, 1, 8, 1)], "EEXIST"), (SOCK, [put(1, 1, 8, 3)], "EINVAL"), (SOCK, [DROP], "EINVAL"),
        (SOCK, [put(1, 1), DROP], "ok"), (SOCK, [("next_key", None)], "ok"), (SHORT, [put(1, 1, 4), LOOK], "ENOSPC"),
        (HASHED, [put(9, 1), put(8, 1), put(7, 1)], "E2BIG"), (HASHED, [DROP], "ENOENT"),
        (HASHED, [put(9, 1), put(8, 1), put(7, 2)], "EOPNOTSUPP"), (HASHED, [put(9, 1), put(8, 1), put(9, 3)], "ok"),
        (PORTS, [put(1, 7)], "ok"), (PORTS, [put(1, 1)], "EINVAL"), (PORTS, [put(1, 6)], "ENOTSUPP"),
        (PORTS, [put(1, 99)], "EBADF"), (PORTS, [put(1, 7), put(0, 7)], "EBUSY"), (PORTS, [put(2, 7)], "E2BIG"),
        (PORTS, [put(1, 7, 8, 2)], "ENOENT"), (PORTS, [DROP], "ENOENT"), (PORTS, [("delete", word(2))], "E2BIG"),
        (XSK, [put(1, 6, 4)], "ok"), (XSK, [put(1, 1, 4)], "EOPNOTSUPP"), (XSK, [put(1, 6, 4), LOOK], "EOPNOTSUPP"),
        (XSK, [put(1, 6, 4), put(1, 6, 4, 1)], "ok"), (XSK, [DROP], "ok"), (XSK, [("delete", word(2))], "EINVAL"),
        (TASKS, [put(1, 5)], "ok"), (TASKS, [put(1, 5), LOOK], "ok"), (TASKS, [put(1, 5, 8, 2)], "ENOENT"),
        (TASKS, [put(1, 5), put(1, 5, 8, 1)], "EEXIST"), (TASKS, [put(1 << 31, 5)], "EBADF"), (TASKS, [LOOK], "none"),
        (TASKS, [NEXT], "ENOTSUPP"), (TASKS, [TAKE], "ENOTSUPP"), (TASKS, [DROP], "ENOENT"),
        (TASKS, [put(1, 5, 8, 4)], "EINVAL"), (SOCKS, [put(1, 5)], "ok"), (SOCKS, [put(99, 5)], "EBADF"),
        (SOCKS, [("lookup", word(99))], "EBADF"), (SOCKS, [("delete", word(99))], "EBADF"),
        (OWN, [("update", bytes(16), V)], "ENOENT"), (OWN, [("update", bytes(16), V, 1)], "EINVAL"),
        (OWN, [("delete", bytes(16))], "EINVAL"), (OWN, [("next_key", None)], "ENOENT"),
        (EACH, [("update", bytes(16), V, 2)], "ENOENT"), (EACH, [("update", bytes(16), V, 4)], "EINVAL"),
        (STACKS, [put(1, 5, 16)], "EINVAL"), (STACKS, [LOOK], "none"), (STACKS, [TAKE], "ENOENT"),
        (STACKS, [DROP], "ENOENT"), (STACKS, [("delete", word(4))], "E2BIG"), (STACKS, [("next_key", None)], "ENOENT"),
        (ARENA, [("lookup", b"")], "EINVAL"), (ARENA, [("update", b"", b"")], "EOPNOTSUPP"),
        (ARENA, [("next_key", None)], "EOPNOTSUPP"),
        (Map("m", "hash", 4, 8, 4, flags=RDONLY), [put(1, 5)], "EPERM"),
        (Map("m", "hash", 4, 8, 4, flags=RDONLY), [TAKE], "EPERM"),
        (Map("m", "hash", 4, 8, 4, flags=WRONLY), [LOOK], "EPERM"),
        (Map("m", "array", 4, 8, 4, flags=WRONLY), [TAKE], "EPERM"),
    ],
)  # fmt: skip
def test_what_bpf_answers(map_: Map, steps: list[tuple[object, ...]], said: str) -> None:
    assert answer(map_, *steps) == said


def test_a_cgroups_value_is_changed_and_gone_through() -> None:
    one, kernel = made(OWN), Kernel()
    assert isinstance(one.state, CgroupStorageState)
    for key in (bytes(16), K.ljust(16, b"\0")):
        one.state.make(key)
    elements.update(kernel, one, bytes(16), V)
    assert elements.lookup(one, bytes(16)) == V
    assert elements.next_key(one, bytes(16)) == K.ljust(16, b"\0")
    with pytest.raises(CallFailed, match="ENOENT"):  # there is none after a key that is not there
        elements.next_key(one, b"\7" * 16)


def test_a_stack_is_taken_out() -> None:
    one = made(STACKS)
    assert isinstance(one.state, StackState)
    key = word(one.state.identify((5, 6, 7), 0))
    assert elements.next_key(one, None) == key
    assert elements.take(one, key) == word(5, 8) + word(6, 8)
    assert elements.lookup(one, key) is None


# Batches -----------------------------------------------------------------------------------------


def filled(map_: Map, count: int) -> tuple[Kernel, MapObject]:
    kernel = Kernel()
    one = made(map_, kernel)
    assert elements.update_batch(kernel, one, [(word(n), word(10 * n, 8)) for n in range(count)]).count == count
    return kernel, one


def test_a_batch_of_an_array_goes_on_where_the_last_has_ended() -> None:
    _, one = filled(ARRAY, 3)
    first = elements.lookup_batch(one, None, 2)
    assert (first.error, first.count, first.keys, first.out) == (0, 2, (word(0), word(1)), word(1))
    last = elements.lookup_batch(one, first.out, 2)
    assert (last.error, last.count, last.values, last.out) == (NUMBERS["ENOENT"], 1, (word(20, 8),), word(2))
    end = elements.lookup_batch(one, last.out, 2)
    assert (end.error, end.count, end.out) == (NUMBERS["ENOENT"], 0, None)


@pytest.mark.parametrize("kind", ["hash", "percpu_hash", "lru_hash", "lru_percpu_hash"])
def test_a_table_is_gone_through_by_buckets(kind: str) -> None:
    _, one = filled(Map("m", kind, 4, 8, 64), 40)
    assert one.state is not None
    held: dict[int, int] = {}
    for key, _ in elements.dump(one):
        assert key is not None
        held[batch.bucket(one.state, key)] = held.get(batch.bucket(one.state, key), 0) + 1
    assert max(held.values()) > 1
    found: list[bytes] = []
    start, room = None, max(held.values())
    while True:
        step = elements.lookup_batch(one, start, room)
        found += step.keys
        start = step.out
        if step.error:
            break
    assert (step.error, sorted(found)) == (NUMBERS["ENOENT"], sorted(word(n) for n in range(40)))
    assert elements.lookup_batch(one, start, room) == batch.Batch(NUMBERS["ENOENT"], 0)
    full = next(number for number, count in held.items() if count > 1)
    stuck = elements.lookup_batch(one, word(full), 1)
    assert (stuck.error, stuck.count, stuck.out) == (NUMBERS["ENOSPC"], 0, word(full))


def test_a_table_is_emptied_in_batches() -> None:
    _, one = filled(HASH, 4)
    everything = elements.lookup_batch(one, None, 8, delete=True)
    assert (everything.error, everything.count) == (NUMBERS["ENOENT"], 4)
    assert dict(zip(everything.keys, everything.values, strict=True)) == {word(n): word(10 * n, 8) for n in range(4)}
    assert elements.lookup_batch(one, None, 8).count == 0


def test_a_batch_ends_where_something_fails() -> None:
    kernel, one = filled(HASH, 3)
    more = [(word(7), V), (word(8), V), (word(9), V)]
    assert elements.update_batch(kernel, one, more) == batch.Batch(NUMBERS["E2BIG"], 1)
    assert elements.delete_batch(one, [word(0), word(5), word(1)]) == batch.Batch(NUMBERS["ENOENT"], 1)
    assert elements.lookup(one, word(1)) is not None


@pytest.mark.parametrize(
    ("map_", "command", "flags", "said"),
    [
        (ARRAY, "lookup", 0, 0), (ARRAY, "take", 0, "ENOTSUPP"), (ARRAY, "delete", 0, "ENOTSUPP"),
        (ARRAY, "lookup", F_LOCK, "EINVAL"), (HASH, "lookup", 1, "EINVAL"), (LOCKED, "lookup", F_LOCK, "ENOENT"),
        (HASH, "take", 0, "ENOENT"), (HASH, "update", 1, "EINVAL"), (HASH, "delete", 1, "EINVAL"),
        (TRIE, "take", 0, "ENOTSUPP"), (TRIE, "lookup", 0, "ENOENT"), (QUEUE, "lookup", 0, "ENOTSUPP"),
        (JUMPS, "update", 0, "ENOTSUPP"), (SOCK, "lookup", 0, "ENOTSUPP"), (STACKS, "lookup", 0, "ENOTSUPP"),
        (Map("m", "hash", 4, 8, 4, flags=RDONLY), "take", 0, "EPERM"),
        (Map("m", "array", 4, 8, 4, flags=WRONLY), "lookup", 0, "EPERM"),
    ],
)  # fmt: skip
def test_which_batches_there_are(map_: Map, command: str, flags: int, said: str | int) -> None:
    kernel = Kernel()
    one = made(map_, kernel)
    if command == "update":
        found = elements.update_batch(kernel, one, [(K, V)], flags)
    elif command == "delete":
        found = elements.delete_batch(one, [K], flags)
    else:
        found = elements.lookup_batch(one, None, 1, flags, delete=command == "take")
    assert found.error == (NUMBERS[said] if isinstance(said, str) else said)


def test_values_of_each_cpu_go_through_a_batch_unchanged() -> None:
    kernel, one = filled(Map("m", "percpu_hash", 4, 8, 4), 1)
    each = tuple(word(n, 8) for n in range(4))
    elements.update_batch(kernel, one, [(word(3), each)])
    found = elements.lookup_batch(one, None, 4)
    assert dict(zip(found.keys, found.values, strict=True))[word(3)] == each


def test_batches_in_python() -> None:
    loaded = Loaded([text("r0 = 0; exit", maps=(HASH, Map("q", "queue", 0, 8, 2)))])
    view = loaded.maps["m"]
    assert view.update_batch({1: V, 2: V}).count == 2
    assert view.delete_batch([2]).count == 1
    assert view.lookup_batch(count=8).keys == (K,)
    assert view.take(1) == V
    assert len(view) == 0
    loaded.maps["q"].state.update(b"", V)
    assert loaded.maps["q"].take() == V


# What is kept ------------------------------------------------------------------------------------


def test_an_arena_keeps_its_pages(tmp_path: Path) -> None:
    arena = Map("arena", "arena", 0, 0, 2, flags=MMAPABLE)
    prog = text(
        "r1 = map_value[idx:0][4104]; r0 = *(u64 *)(r1 + 0); r2 = r0; r2 += 7; *(u64 *)(r1 + 0) = r2; exit",
        maps=(arena,),
    )
    store = Store(tmp_path)
    with store.open() as kernel:
        kernel.pin("adds", kernel.load([prog])[0])
    for turn in range(3):
        with store.open() as kernel:
            (one,) = kernel.find_programs("pinned", "adds")
            assert run(kernel, one, engine_name=("riscv64", "interpreter", "x86_64")[turn]).retval == 7 * turn
    assert max(path.stat().st_size for path in tmp_path.glob("map-*")) < 4096


def held() -> list[tuple[Kernel, MapObject]]:
    """A map of each of the kinds of this file, with something in it."""
    found = []
    for map_, key, value in (
        (SOCK, K, word(1, 8)), (HASHED, K, word(3, 8)), (PORTS, K, word(7, 8)), (XSK, K, word(6)), (TASKS, K, V),
        (SOCKS, K, V), (DEVICES, K, word(1)), (DEVICE, K, word(1, 8)), (CPUS, K, word(9)), (CGROUPS, K, word(42)),
        (TRIE, word(8) + K, V), (LOCKED, K, bytes(range(16))), (STACKS, K, b""), (OWN, bytes(16), b""),
        (EACH, bytes(16), b""),
    ):  # fmt: skip
        kernel = Kernel()
        one = made(map_, kernel)
        if isinstance(one.state, StackState):
            one.state.identify((5, 6), 0)
        elif isinstance(one.state, CgroupStorageState):
            one.state.make(key)
        else:
            elements.update(kernel, one, key, value)
        found.append((kernel, one))
    return found


@pytest.mark.parametrize(
    ("kernel", "one"), held(), ids=lambda one: one.declared.kind if isinstance(one, MapObject) else ""
)
def test_every_kind_is_kept_and_copied(kernel: Kernel, one: MapObject, tmp_path: Path) -> None:
    assert one.state is not None
    shown, copy = list(elements.dump(one)), one.state.copy()
    assert copy == one.state
    assert shown
    store = Store(tmp_path)
    with store.open() as kept:
        again = kept.create_map(one.declared)
        assert again.state is not None
        again.state.load(one.state.save())
        kept.pin("m", again)
    with store.open() as kept:
        (read,) = kept.find_maps("pinned", "m")
        assert read.state == one.state
        assert list(elements.dump(read)) == shown
    for key in list(copy.keys()):
        copy.remove(key)
    assert list(elements.dump(one)) == shown


def test_what_a_devmap_passes_packets_through_stays(tmp_path: Path) -> None:
    kernel = Kernel()
    devices = kernel.create_map(DEVICE)
    passing, other = kernel.load([text("r0 = 2; exit", "on", "xdp/devmap"), text("r0 = 2; exit", "off", "xdp")])
    with pytest.raises(CallFailed, match="an xdp/devmap program is needed: EINVAL"):
        elements.update(kernel, devices, K, word(1) + word(other.id))
    assert elements.lookup(devices, K) is None
    elements.update(kernel, devices, K, word(1) + word(passing.id))
    kernel.pin("devices", devices)
    kernel.collect()
    assert list(kernel.programs) == [passing.id]
    assert elements.lookup(devices, K) == word(1) + word(passing.id)


@pytest.mark.parametrize(
    ("map_", "name"),
    [
        (Map("m", "sockhash", 513, 8, 4), "E2BIG"), (Map("m", "lru_hash", 4, 8, 4, flags=1), "ENOTSUPP"),
        (Map("m", "task_storage", 4, 65_408, 0, flags=1), "E2BIG"),
        (Map("m", "percpu_array", 4, 8, 1, lock=0), "EOPNOTSUPP"),
        (Map("m", "lru_hash", 4, 8, 4, lock=0), "EOPNOTSUPP"),
        (Map("m", "hash", 4, 8, 4, flags=0x80, lock=0), "EACCES"),
        (Map("m", "array", 4, 8, 4, flags=1), "EINVAL"), (Map("m", "bloom_filter", 0, (4 << 20) + 1, 0), "E2BIG"),
        (Map("m", "bloom_filter", 0, 8, 4, extra=16), "EINVAL"), (Map("m", "hash", 4, 8, 4, extra=1), "EINVAL"),
        (Map("m", "arena", 0, 0, 4), "EINVAL"), (Map("m", "hash", 8, (4 << 20) - 56, 1), "E2BIG"),
    ],
)  # fmt: skip
def test_what_creation_answers(map_: Map, name: str) -> None:
    with pytest.raises(MapRefused) as refused:
        Kernel().create_map(map_)
    assert (refused.value.name, refused.value.errno) == (name, NUMBERS[name])
    assert refused.value.message.endswith(f": {name}")

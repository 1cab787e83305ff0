"""Each family of maps beside a plain Python model: the same results and contents, whatever is done in which order."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bpf.program import Map
from bpf.spec.errno import E2BIG, EAGAIN, EEXIST, EINVAL, ENOENT, ENOSPC
from bpf.spec.layout import CPUS
from bpf.spec.maps import ANY, EXIST, NO_PREALLOC, NOEXIST
from vm.maps import MapState, new_map
from vm.maps.ring import RingState

SETTINGS = settings(max_examples=40, stateful_step_count=40, deadline=None)
VALUES = st.binary(min_size=8, max_size=8)
FLAGS = st.sampled_from([ANY, ANY, ANY, NOEXIST, EXIST, 3, 4, 8])
CPU = st.integers(0, CPUS - 1)
SIZE = 4  # elements of the maps
ZERO = bytes(8)


class Common(RuleBasedStateMachine):
    """A map, and what every map can do: be saved and taken back, be copied."""

    kind = ""
    order: Literal["little", "big"] = "big"
    state: MapState

    def declared(self) -> Map:
        return Map("m", self.kind, 4, 8, SIZE)

    @initialize()
    def create(self) -> None:
        self.state = new_map(self.declared(), self.order)

    @rule()
    def save_and_load(self) -> None:
        other = new_map(self.declared(), self.order)
        other.load(self.state.save())
        assert other == self.state
        self.state = other

    @rule()
    def change_a_copy(self) -> None:
        before = self.state.save()
        other = self.state.copy()
        other.push(b"\xff" * 8, 0)
        for key in list(other.keys()):
            other.remove(key)
            other.put(key, b"\xff" * 8, 0, 0)
        assert self.state.save() == before


class Keyed(Common):
    """A map with keys beside a dict: key -> the values of the CPUs."""

    keys = st.integers(0, SIZE + 2).map(lambda number: number.to_bytes(4, "big"))

    def __init__(self) -> None:
        super().__init__()
        self.model: OrderedDict[bytes, list[bytes]] = OrderedDict()

    def value(self, key: bytes, cpu: int) -> bytes | None:
        offset = self.state.at(key, cpu)
        return None if offset is None else bytes(self.state.store[offset : offset + 8])

    def expected(self, key: bytes, flags: int) -> int:
        """What an update gives."""
        if flags > EXIST:
            return -EINVAL
        if key in self.model:
            return -EEXIST if flags == NOEXIST else 0
        return -ENOENT if flags == EXIST else -E2BIG if len(self.model) == SIZE else 0

    @rule(key=keys, cpu=CPU)
    def look(self, key: bytes, cpu: int) -> None:
        assert self.value(key, cpu) == (self.model[key][cpu] if key in self.model else None)

    @rule(key=keys, value=VALUES, flags=FLAGS, cpu=CPU)
    def change(self, key: bytes, value: bytes, flags: int, cpu: int) -> None:
        found, expected = self.state.put(key, value, flags, cpu), self.expected(key, flags)
        assert found == expected
        if not found:
            values = self.model.setdefault(key, [ZERO] * CPUS)
            values[cpu] = value
            if not self.state.per_cpu:
                values[:] = [value] * CPUS

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        assert self.state.remove(key) == (0 if key in self.model else -ENOENT)
        self.model.pop(key, None)

    @rule(key=keys, value=VALUES)
    def set_from_outside(self, key: bytes, value: bytes) -> None:
        expected = self.expected(key, ANY)
        if expected:
            with pytest.raises(OSError) as failed:
                self.state.update(key, value)
            assert failed.value.errno == -expected
        else:
            self.state.update(key, value)
            self.model[key] = [value] * CPUS

    @invariant()
    def contents(self) -> None:
        if not hasattr(self, "state"):
            return
        per_cpu = self.state.per_cpu
        assert self.state.contents() == {
            key: tuple(values) if per_cpu else values[0]
            for key, values in self.model.items()
            if "array" not in self.kind or any(map(any, values))
        }

    @rule()
    def walk(self) -> None:
        keys, key = [], self.state.next_key()
        while key is not None:
            keys.append(key)
            key = self.state.next_key(key)
        assert sorted(keys) == sorted(self.model)


class Array(Keyed):
    kind = "array"

    @initialize()
    def fill(self) -> None:
        self.model = OrderedDict((number.to_bytes(4, "big"), [ZERO] * CPUS) for number in range(SIZE))

    def expected(self, key: bytes, flags: int) -> int:
        if flags & ~4 > EXIST:
            return -EINVAL
        if key not in self.model:
            return -E2BIG
        return -EEXIST if flags & ~4 == NOEXIST else -EINVAL if flags & 4 else 0

    @rule(key=Keyed.keys)
    def delete(self, key: bytes) -> None:
        assert self.state.remove(key) == -EINVAL


class PercpuArray(Array):
    kind = "percpu_array"


class Hash(Keyed):
    kind = "hash"


class HashOnDemand(Keyed):
    kind = "hash"

    def declared(self) -> Map:
        return Map("m", self.kind, 4, 8, SIZE, flags=NO_PREALLOC)


class PercpuHash(Keyed):
    kind = "percpu_hash"


class Lru(Keyed):
    kind = "lru_hash"

    def expected(self, key: bytes, flags: int) -> int:
        found = super().expected(key, flags)
        if not found and key in self.model:
            self.model.move_to_end(key)
        if found == -E2BIG:
            self.model.popitem(last=False)
        return 0 if found == -E2BIG else found

    @rule(key=Keyed.keys, cpu=CPU)
    def look(self, key: bytes, cpu: int) -> None:
        super().look(key, cpu)
        if key in self.model:
            self.model.move_to_end(key)

    @rule(key=Keyed.keys)
    def look_from_outside(self, key: bytes) -> None:
        """Keeps nothing alive."""
        found = self.state.lookup(key)
        assert (None if found is None else bytes(found)) == (self.model[key][0] if key in self.model else None)


class LruPercpu(Lru):
    kind = "lru_percpu_hash"


class Trie(Common):
    """A trie beside a list of prefixes that is searched from end to end."""

    kind = "lpm_trie"
    keys = st.builds(
        lambda length, data: length.to_bytes(4, "big") + data,
        st.sampled_from([0, 1, 4, 7, 8, 9, 15, 16, 17]),
        st.sampled_from([b"\0\0", b"\x80\0", b"\xff\xff", b"\xff\x80", b"\x81\x01", b"\x80\x01"]),
    )

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[bytes, bytes]] = {}  # bits -> key, value

    def declared(self) -> Map:
        return Map("m", self.kind, 6, 8, SIZE, flags=NO_PREALLOC)

    @staticmethod
    def bits(key: bytes) -> str:
        return f"{int.from_bytes(key[4:], 'big'):016b}"[: int.from_bytes(key[:4], "big")]

    @rule(key=keys, value=VALUES, flags=FLAGS)
    def change(self, key: bytes, value: bytes, flags: int) -> None:
        bits = self.bits(key)
        if flags > EXIST or key[3] > 16:
            expected = -EINVAL
        elif bits in self.model:
            expected = -EEXIST if flags == NOEXIST else 0
        else:
            expected = -ENOENT if flags == EXIST else -ENOSPC if len(self.model) == SIZE else 0
        assert self.state.put(key, value, flags, 0) == expected
        if not expected:
            self.model[bits] = key, value

    @rule(key=keys)
    def look(self, key: bytes) -> None:
        matching = [bits for bits in self.model if key[3] <= 16 and self.bits(key).startswith(bits)]
        offset = self.state.at(key, 0)
        found = None if offset is None else bytes(self.state.store[offset : offset + 8])
        assert found == (self.model[max(matching, key=len)][1] if matching else None)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        expected = -EINVAL if key[3] > 16 else 0 if self.bits(key) in self.model else -ENOENT
        assert self.state.remove(key) == expected
        if not expected:
            del self.model[self.bits(key)]

    @invariant()
    def contents(self) -> None:
        if hasattr(self, "state"):
            assert self.state.contents() == dict(self.model.values())


class Queue(Common):
    kind = "queue"

    def __init__(self) -> None:
        super().__init__()
        self.model: deque[bytes] = deque()

    def declared(self) -> Map:
        return Map("m", self.kind, 0, 8, SIZE)

    @rule(value=VALUES, flags=FLAGS)
    def push(self, value: bytes, flags: int) -> None:
        full = len(self.model) == SIZE
        expected = -EINVAL if flags & NOEXIST or flags > EXIST else -E2BIG if full and not flags else 0
        assert self.state.push(value, flags) == expected
        if not expected:
            if full:
                self.model.popleft()
            self.model.append(value)

    @rule()
    def pop(self) -> None:
        assert self.state.peek(b"") == (self.model[self.end] if self.model else -ENOENT)
        assert self.state.pop() == (self.take() if self.model else -ENOENT)

    end = 0

    def take(self) -> bytes:
        return self.model.popleft()

    @invariant()
    def contents(self) -> None:
        if hasattr(self, "state"):
            assert self.state.contents() == tuple(self.model)


class Stack(Queue):
    kind = "stack"
    end = -1

    def take(self) -> bytes:
        return self.model.pop()


class Bloom(Common):
    kind = "bloom_filter"

    def __init__(self) -> None:
        super().__init__()
        self.model: set[bytes] = set()

    def declared(self) -> Map:
        return Map("m", self.kind, 0, 8, SIZE)

    @rule(value=VALUES, flags=FLAGS)
    def push(self, value: bytes, flags: int) -> None:
        assert self.state.push(value, flags) == (-EINVAL if flags else 0)
        if not flags:
            self.model.add(value)

    @rule(value=VALUES)
    def peek(self, value: bytes) -> None:
        assert (self.state.peek(value) == -ENOENT) == (value not in self.model)

    @invariant()
    def contents(self) -> None:
        if hasattr(self, "state"):
            assert self.state.contents() == tuple(sorted(self.model))


class Ring(Common):
    """A ring buffer beside a list of records."""

    kind = "ringbuf"
    ROOM = 4096

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[int, bytes, str]] = []  # offset, bytes, busy | done | discarded
        self.used = 0

    def declared(self) -> Map:
        return Map("m", self.kind, 0, 0, self.ROOM)

    @property
    def ring(self) -> RingState:
        assert isinstance(self.state, RingState)
        return self.state

    @staticmethod
    def needs(size: int) -> int:
        return -(-(size + 8) // 8) * 8

    @rule(size=st.sampled_from([0, 1, 8, 100, 1000, 2040, 2041, 4080, 4081, 5000]), fill=st.integers(0, 255))
    def reserve(self, size: int, fill: int) -> None:
        offset = self.ring.reserve(size, 0)
        assert (offset is None) == (self.used + self.needs(size) >= self.ROOM)
        if offset is not None:
            data = bytes([fill]) * size
            self.ring.store[offset : offset + size] = data
            self.records.append((offset, data, "busy"))
            self.used += self.needs(size)

    @rule(data=st.binary(max_size=40), flags=st.sampled_from([0, 1, 2, 4]))
    def output(self, data: bytes, flags: int) -> None:
        full = self.used + self.needs(len(data)) >= self.ROOM
        assert self.ring.output(data, flags) == (-EINVAL if flags == 4 else -EAGAIN if full else 0)
        if flags != 4 and not full:
            self.records.append((-1, data, "done"))
            self.used += self.needs(len(data))

    @precondition(lambda self: any(how == "busy" for *_, how in self.records))
    @rule(pick=st.randoms(use_true_random=False), discard=st.booleans())
    def end_a_record(self, pick: object, discard: bool) -> None:
        busy = [n for n, (*_, how) in enumerate(self.records) if how == "busy"]
        at = pick.choice(busy)  # type: ignore[attr-defined]
        offset, data, _ = self.records[at]
        assert self.ring.commit(offset, discard=discard)
        self.records[at] = offset, data, "discarded" if discard else "done"
        assert not self.ring.commit(offset)

    def ready(self) -> list[tuple[int, bytes, str]]:
        first = next((n for n, (*_, how) in enumerate(self.records) if how == "busy"), len(self.records))
        return self.records[:first]

    @rule()
    def consume(self) -> None:
        ready = self.ready()
        assert self.ring.consume() == [data for _, data, how in ready if how == "done"]
        del self.records[: len(ready)]
        self.used = sum(self.needs(len(data)) for _, data, _ in self.records)

    @invariant()
    def contents(self) -> None:
        if hasattr(self, "state"):
            assert self.ring.query(0) == self.used
            assert self.state.contents() == tuple(data for _, data, how in self.ready() if how == "done")


FAMILIES = (
    Array, PercpuArray, Hash, HashOnDemand, PercpuHash, Lru, LruPercpu, Trie, Queue, Stack, Bloom, Ring,
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_a_map_is_its_model(family: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(family, settings=SETTINGS)  # type: ignore[no-untyped-call]

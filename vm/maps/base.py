"""What a map is: keys and index in Python, values as bytes that a run's guest memory holds meanwhile.

Every kind answers the same questions. A program's side is named by what helpers do (`at`, `put`, `remove`, `push`,
`pop`, `peek`) and returns 0 or a negative errno, as they do; `lookup`, `update`, `delete` and `next_key` are bpf()'s,
for Python, and raise OSError. Which helpers a kind takes is in bpf/spec/maps.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from bpf.map_rules import slots, value_bytes
from bpf.order import Order
from bpf.program import Map
from bpf.spec import layout
from bpf.spec.errno import (
    EINVAL,
    EOPNOTSUPP,
    WORDS,
)
from bpf.spec.maps import ANY, EXIST, F_LOCK, RULES
from vm.network import Network

_LOCK_SIZE = layout.LOCK_SIZE

Value = bytes | tuple[bytes | None, ...]
"""A value; of a per-CPU map one for each CPU, None where an engine cannot show it."""

Contents = Mapping[bytes, Value] | tuple[bytes, ...]
"""What a map holds, in a form that no address or order of insertion shows in: elements by key, or a list."""


def checked(result: int) -> int:
    """A result that is no error. Raises OSError with Linux's number."""
    if result < 0:
        raise OSError(-result, WORDS[-result])
    return result


@lru_cache(maxsize=64)
def _geometry(map_: Map) -> tuple[int, bool, int, int]:
    """Bytes of values, whether there is one for each CPU, the strides. Kept, since worlds open maps all the time."""
    per_cpu = RULES[map_.kind].per_cpu
    apart = layout.cpu_stride(map_.value_size, slots(map_)) if per_cpu else 0
    return value_bytes(map_), per_cpu, layout.stride(map_.value_size), apart


class MapState:
    """A map of a World.

    map     its declaration; order: byte order of the programs that see it
    values  its memory, as the plan's region lays it out
    store   `values`, or during a run the guest's memory

    NO_LOOKUP, NO_NEXT  what bpf() answers to a lookup and to a search for the next key, 0 where they are possible
    """

    NO_LOOKUP: int = 0
    NO_NEXT: int = 0

    __slots__ = ("_cpu_stride", "_size", "_stride", "map", "order", "per_cpu", "store", "values")

    def __init__(self, map_: Map, order: Order) -> None:
        self.map = map_
        self.order: Order = order
        self._size = map_.value_size
        room, self.per_cpu, self._stride, self._cpu_stride = _geometry(map_)
        self.values = bytearray(room)
        self.store: bytearray | memoryview = self.values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MapState):
            return NotImplemented
        return (self.map, self.order, self.save()) == (other.map, other.order, other.save())

    __hash__ = None  # type: ignore[assignment]

    # Memory ----------------------------------------------------------------------------------------

    def attach(self, memory: memoryview) -> None:
        """Values are in this memory from now on; they are there already."""
        self.store = memory

    def detach(self) -> None:
        """Take the values back out of the guest's memory."""
        if self.store is not self.values:
            self.values[:] = self.store
            self.store = self.values

    def offset(self, slot: int, cpu: int = 0) -> int:
        """Where in the map's memory a value lies."""
        return slot * self._stride + cpu * self._cpu_stride

    def _get(self, slot: int, cpu: int = 0) -> bytes:
        at, timer = self.offset(slot, cpu), self.map.timer
        value = bytes(self.store[at : at + self._size])
        if timer is not None:  # nobody outside sees what is in it
            value = value[:timer] + bytes(layout.TIMER_SIZE) + value[timer + layout.TIMER_SIZE :]
        return value

    def _set(self, slot: int, value: bytes, cpu: int = 0, *, fresh: bool = False, timer: bool = False) -> None:
        """Write a value; a spin lock in it keeps its state, and is open in a fresh one.

        timer: a timer in it goes on, too; else it is gone.
        """
        at, lock, start = self.offset(slot, cpu), self.map.lock, self.map.timer
        if lock is not None:
            kept = bytes(_LOCK_SIZE) if fresh else bytes(self.store[at + lock : at + lock + _LOCK_SIZE])
            value = value[:lock] + kept + value[lock + _LOCK_SIZE :]
        if start is not None:
            end = start + layout.TIMER_SIZE
            kept = bytes(self.store[at + start : at + end]) if timer else bytes(layout.TIMER_SIZE)
            value = value[:start] + kept + value[end:]
        self.store[at : at + self._size] = value

    def _each(self, slot: int) -> Value:
        if self.per_cpu:
            return tuple(self._get(slot, cpu) for cpu in range(layout.CPUS))
        return self._get(slot)

    def _flags(self, flags: int) -> int:
        """0, or what flags that make no sense are answered with."""
        if flags & ~F_LOCK > EXIST or (flags & F_LOCK and self.map.lock is None):
            return -EINVAL
        return 0

    def describe(self, net: Network) -> None:
        """What the numbers in its keys or values may name. Without it they may be anything."""

    # A program's side ------------------------------------------------------------------------------

    def at(self, key: bytes, cpu: int) -> int | None:
        """The offset of a key's value on a CPU; None where there is none."""
        return None

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """Make or change an element."""
        return -EOPNOTSUPP

    def remove(self, key: bytes) -> int:
        """Delete an element."""
        return -EOPNOTSUPP

    def push(self, value: bytes, flags: int) -> int:
        """Add a value to a map without keys."""
        return -EOPNOTSUPP

    def pop(self) -> bytes | int:
        """Take a value out of a map without keys."""
        return -EOPNOTSUPP

    def peek(self, value: bytes) -> bytes | int:
        """The value that pop would take; a bloom filter looks for the given one."""
        return -EOPNOTSUPP

    # Python's side ---------------------------------------------------------------------------------

    def keys(self) -> Iterable[bytes]:
        """Its keys."""
        return ()

    def contents(self) -> Contents:
        """What it holds, in canonical form."""
        return {key: value for key in self.keys() if (value := self.value(key)) is not None}

    def value(self, key: bytes) -> Value | None:
        """A copy of the value of a key, of each CPU for a per-CPU map."""
        return None

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        """The value of a key as a view of the map's memory; None where there is none."""
        at = self.find(self._key(key), cpu)
        return None if at is None else memoryview(self.store)[at : at + self._size]

    def hidden(self) -> int:
        """0, or what bpf() answers to every lookup."""
        return self.NO_LOOKUP

    def named(self, key: bytes) -> int:
        """0, or an errno where a key is the number of something that is not there."""
        return 0

    def find(self, key: bytes, cpu: int) -> int | None:
        """As `at`, without the traces that a program's lookup leaves."""
        return self.at(key, cpu)

    def update(self, key: bytes, value: Value, flags: int = ANY) -> None:
        """Set the value of a key, on all CPUs, or to one for each. Raises OSError."""
        key = self._key(key)
        each = (value,) * (layout.CPUS if self.per_cpu else 1) if isinstance(value, bytes) else value
        for one in each:
            if one is None or len(one) != self._size:
                size = 0 if one is None else len(one)
                raise ValueError(f"a value of {size} bytes: map {self.map.name} has {self._size}")
        if flags & F_LOCK and self.map.lock is None:
            checked(-EINVAL)  # before anything else is looked at
        if not self.map.key_size:
            checked(self.push(each[0] or b"", flags))
            return
        checked(self.named(key))
        for cpu, one in enumerate(each[: layout.CPUS if self.per_cpu else 1]):
            checked(self.put(key, one or b"", ANY if cpu else flags, cpu))

    def delete(self, key: bytes) -> None:
        """Delete a key. Raises OSError."""
        checked(self.named(self._key(key)) or self.remove(key))

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """The key after this one; the first for None, or for a key that is not there; None after the last.

        Raises OSError where there are no keys to go through.
        """
        checked(self.NO_NEXT)
        keys = list(self.keys())
        at = keys.index(key) + 1 if key in keys else 0
        return keys[at] if at < len(keys) else None

    def _key(self, key: bytes) -> bytes:
        if len(key) != self.map.key_size:
            raise ValueError(f"a key of {len(key)} bytes: map {self.map.name} has {self.map.key_size}")
        return key

    # Snapshots -------------------------------------------------------------------------------------

    def save(self) -> tuple[Any, ...]:
        """Its state as plain data."""
        return bytes(self.store), self._save()

    def load(self, saved: tuple[Any, ...]) -> None:
        """Take a saved state."""
        self.values[:] = saved[0]
        self.store = self.values
        self._load(saved[1])

    def copy(self) -> MapState:
        """A map of its own in the same state."""
        other = type(self)(self.map, self.order)
        other.load(self.save())
        return other

    def _save(self) -> Any:
        return None

    def _load(self, saved: Any) -> None:
        pass

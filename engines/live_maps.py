"""Maps of a live kernel: made as a unit declares them, filled from a World, read back in canonical form."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from bpf.errors import Refused
from bpf.map_rules import OF_MAPS
from bpf.order import Order
from bpf.program import Map
from bpf.spec.layout import CPUS, RECORD_HEADER, stride, up
from bpf.spec.maps import LOCAL, MAP_TYPES, PER_CGROUP, RULES, SOCKETS
from engines import syscall
from engines.value_info import KEY, VALUE, value_info
from vm.maps import Contents, MapState, Value

_WHY_NOT: Mapping[str, str] = {
    "perf_event_array": "no perf event is opened there",
    "bloom_filter": "its chance hits are the kernel's own, and its contents cannot be read",
    "devmap": "its elements would be devices of this machine",
    "devmap_hash": "its elements would be devices of this machine",
    "cgroup_array": "its elements would be cgroups of this machine",
    "cpumap": "its elements would be threads on the CPUs of this machine",
    "user_ringbuf": "its records are written by a process that maps it",
    "arena": "an arena lies elsewhere in the kernel, none is made there",
    "stack_trace": "its elements would be stacks of this kernel",
    **dict.fromkeys(SOCKETS, "its elements would be sockets of this machine"),
    **{kind: f"its values would belong to a {owner} of this machine" for kind, owner in LOCAL.items()},
    **dict.fromkeys(PER_CGROUP, "its values would belong to a cgroup of this machine"),
}
_READABLE = 1 << 16  # elements that are read one by one
_BUSY, _DISCARDED = 1 << 31, 1 << 30  # BPF_RINGBUF_*_BIT of a record's length


def check(map_: Map) -> None:
    """Raise Refused for a map that is not made in the kernel."""
    why = _WHY_NOT.get(map_.kind, "")
    if map_.max_entries > _READABLE and map_.kind != "ringbuf":
        why = f"more than {_READABLE} elements are not read back"
    if why:
        raise Refused(f"map {map_.name}: {why}")


@cache
def possible_cpus() -> int:
    """How many CPUs the kernel keeps values for."""
    last = Path("/sys/devices/system/cpu/possible").read_text("ascii").strip().replace(",", "-").split("-")[-1]
    return int(last) + 1


@contextlib.contextmanager
def on_cpu(cpu: int | None) -> Iterator[None]:
    """Run this thread on one CPU meanwhile; None: wherever it is. Raises Refused."""
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    if cpu not in before:
        raise Refused(f"CPU {cpu} is not there for this process", remedy="choose another for the world")
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class LiveMap:
    """A map in the kernel. The caller closes its descriptor."""

    def __init__(self, map_: Map, order: Order, inner: int = 0) -> None:
        """order: of this machine; inner: descriptor of a map like those of a map-in-map. Raises OSError."""
        self.map = map_
        self._order: Order = order
        self.per_cpu = RULES[map_.kind].per_cpu
        self.descriptor = syscall.create_map(
            map_.name, MAP_TYPES[map_.kind].number, map_.key_size, map_.value_size, map_.max_entries, map_.flags, inner,
            None if map_.lock is None and map_.timer is None else (value_info(map_, order), KEY, VALUE),
        )  # fmt: skip
        self.number = syscall.map_id(self.descriptor)

    def _keys(self) -> list[bytes]:
        found: list[bytes] = []
        key = syscall.next_key(self.descriptor, None, self.map.key_size)
        while key is not None:
            found.append(key)
            key = syscall.next_key(self.descriptor, key, self.map.key_size)
        return found

    def fill(self, state: MapState, others: Mapping[str, LiveMap]) -> None:
        """Make it hold what a map of a World holds. others: the unit's maps by name. Raises OSError, Refused."""
        kind = self.map.kind
        if kind == "ringbuf":
            if state.contents():
                raise Refused(f"map {self.map.name}: records cannot be put into a ring buffer of the kernel")
        elif kind in ("queue", "stack"):
            while syscall.lookup(self.descriptor, b"", self.map.value_size, take=True) is not None:
                pass
            for value in state.contents():
                syscall.update(self.descriptor, b"", value)
        else:
            if not kind.endswith("array"):
                for key in self._keys():
                    with contextlib.suppress(FileNotFoundError):  # an array of maps shows keys that hold nothing
                        syscall.delete(self.descriptor, key)
            elements = state.contents()
            assert not isinstance(elements, tuple)
            if kind == "array":  # what is zero is left out
                elements = {key: bytes(self.map.value_size) for key in self._keys()} | dict(elements)
            elif kind == "percpu_array":
                zero = (bytes(self.map.value_size),) * CPUS
                elements = dict.fromkeys(self._keys(), zero) | dict(elements)
            for key, held in elements.items():
                syscall.update(self.descriptor, key, self._given(held, others))

    def _given(self, value: Value, others: Mapping[str, LiveMap]) -> bytes:
        if self.map.kind in OF_MAPS:
            assert isinstance(value, bytes)
            return others[value.decode()].descriptor.to_bytes(4, self._order)
        if isinstance(value, bytes):
            return value
        room = stride(self.map.value_size)
        return b"".join((one or b"").ljust(room, b"\0") for one in value[: possible_cpus()]).ljust(
            room * possible_cpus(), b"\0"
        )

    def read(self, others: Mapping[str, LiveMap]) -> Contents:
        """Its contents; a queue or a stack is empty afterwards. Raises OSError."""
        kind = self.map.kind
        if kind == "ringbuf":
            return tuple(self._records())
        if kind in ("queue", "stack"):
            found: list[bytes] = []
            while (value := syscall.lookup(self.descriptor, b"", self.map.value_size, take=True)) is not None:
                found.append(value)
            return tuple(found if kind == "queue" else found[::-1])
        names = {other.number: name for name, other in others.items()}
        elements: dict[bytes, Value] = {}
        size = stride(self.map.value_size) * possible_cpus() if self.per_cpu else self.map.value_size
        for key in self._keys():
            data = syscall.lookup(self.descriptor, key, size)
            if data is None or (kind in ("array", "percpu_array") and not any(data)):
                continue
            elements[key] = names[self._number(data)].encode() if kind in OF_MAPS else self._shown(data)
        return elements

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, self._order)

    def _shown(self, data: bytes) -> Value:
        if not self.per_cpu:
            return data
        room, size = stride(self.map.value_size), self.map.value_size
        values = [data[at : at + size] for at in range(0, len(data), room)]
        return tuple(values[cpu] if cpu < len(values) else None for cpu in range(CPUS))

    def _records(self) -> Iterator[bytes]:
        """What a reader of the ring buffer would get; nothing is consumed."""
        size = self.map.max_entries
        with (
            mmap.mmap(self.descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ) as reader,
            mmap.mmap(self.descriptor, mmap.PAGESIZE + 2 * size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE) as writer,
        ):
            at, end = self._number(reader[:8]), self._number(writer[:8])
            while at < end:
                start = mmap.PAGESIZE + at % size
                word = self._number(writer[start : start + 4])
                if word & _BUSY:
                    return
                length = word & ~_DISCARDED
                if not word & _DISCARDED:
                    yield writer[start + RECORD_HEADER : start + RECORD_HEADER + length]
                at += up(length + RECORD_HEADER, 8)


def make(maps: Sequence[Map], order: Order, descriptors: list[int]) -> dict[str, LiveMap]:
    """The maps with elements, by name; their descriptors, and one for a template, go to the list.

    Raises OSError.
    """
    made: dict[str, LiveMap] = {}
    wanted = [map_ for map_ in maps if not map_.is_data and map_.kind != "prog_array"]
    for map_ in sorted(wanted, key=lambda map_: map_.kind in OF_MAPS):
        inner = 0
        if map_.kind in OF_MAPS:
            like = map_.inner or maps[next(number for number in map_.maps if number != -1)]
            inner = LiveMap(like, order).descriptor
            descriptors.append(inner)
        made[map_.name] = LiveMap(map_, order, inner)
        descriptors.append(made[map_.name].descriptor)
    return made

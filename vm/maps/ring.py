"""What programs send out: ring buffers, whose records are bytes of guest memory, and perf event arrays.

A ring buffer's region has twice its size. A record starts in the first half, where Linux has it, and may run on into
the second, which in Linux is the first once more: so it is never in two pieces. The 8 bytes of its header stay zero.
"""

from __future__ import annotations

from typing import Any

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EAGAIN, EBADF, EINVAL, ENOENT, ENOTSUPP, EOPNOTSUPP
from bpf.spec.layout import CPUS, RECORD_HEADER, up
from bpf.spec.maps import ANY
from vm.maps.array import next_index
from vm.maps.base import Contents, MapState, Value, checked

NO_WAKEUP, FORCE_WAKEUP = 1, 2
AVAILABLE, RING_SIZE, CONSUMER, PRODUCER = range(4)
CURRENT_CPU = 0xFFFF_FFFF  # BPF_F_CURRENT_CPU; BPF_F_INDEX_MASK has the same bits
BUSY, DONE, DISCARDED = range(3)


class RingState(MapState):
    """ringbuf. Contents: the records that a reader would get now, in the order in which they were reserved."""

    __slots__ = ("_busy", "_records", "consumer", "producer")
    NO_LOOKUP = NO_NEXT = -ENOTSUPP

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self.producer = self.consumer = 0  # positions only grow
        self._records: list[list[int]] = []  # position, size, how it is; not yet read
        self._busy: dict[int, list[int]] = {}  # offset -> record that is not ended

    def push(self, value: bytes, flags: int) -> int:
        """See MapState. Records come from programs."""
        return -ENOTSUPP

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return -ENOTSUPP

    def _place(self, position: int) -> int:
        """The offset of the record at a position."""
        return position % self.map.max_entries + RECORD_HEADER

    def reserve(self, size: int, flags: int) -> int | None:
        """The offset of a new record; None where there is no room."""
        needed = up(size + RECORD_HEADER, 8)
        if flags or self.producer + needed - self.consumer >= self.map.max_entries:
            return None
        self._records.append([self.producer, size, BUSY])
        offset = self._place(self.producer)
        self._busy[offset] = self._records[-1]
        self.producer += needed
        return offset

    def commit(self, offset: int, *, discard: bool = False) -> bool:
        """End a reserved record; False where none starts at the offset."""
        record = self._busy.pop(offset, None)
        if record is None:
            return False
        record[2] = DISCARDED if discard else DONE
        return True

    def output(self, data: bytes, flags: int) -> int:
        """Reserve, copy, submit."""
        if flags & ~(NO_WAKEUP | FORCE_WAKEUP):
            return -EINVAL
        offset = self.reserve(len(data), 0)
        if offset is None:
            return -EAGAIN
        self.store[offset : offset + len(data)] = data
        self.commit(offset)
        return 0

    def query(self, what: int) -> int:
        """What ringbuf_query returns."""
        found = {
            AVAILABLE: self.producer - self.consumer, RING_SIZE: self.map.max_entries, CONSUMER: self.consumer,
            PRODUCER: self.producer,
        }  # fmt: skip
        return found.get(what, 0)

    def _ready(self) -> list[list[int]]:
        """The records before the first that is not ended."""
        ended: list[list[int]] = []
        for record in self._records:
            if record[2] == BUSY:
                break
            ended.append(record)
        return ended

    def _view(self, record: list[int]) -> memoryview:
        at = self._place(record[0])
        return memoryview(self.store)[at : at + record[1]]

    def records(self) -> list[memoryview]:
        """What a reader would get, as views of the map's memory."""
        return [self._view(record) for record in self._ready() if record[2] == DONE]

    def consume(self) -> list[bytes]:
        """Read what there is to read."""
        found, ended = [bytes(view) for view in self.records()], self._ready()
        if ended:
            position, size, _ = ended[-1]
            self.consumer = position + up(size + RECORD_HEADER, 8)
            del self._records[: len(ended)]
        return found

    def contents(self) -> Contents:
        """See MapState."""
        return tuple(bytes(view) for view in self.records())

    def _save(self) -> Any:
        return self.producer, self.consumer, tuple(map(tuple, self._records))

    def _load(self, saved: Any) -> None:
        self.producer, self.consumer, records = saved
        self._records = [list(record) for record in records]
        self._busy = {self._place(record[0]): record for record in self._records if record[2] == BUSY}


class UserRingState(RingState):
    """user_ringbuf: records that Python's side writes (`update`), and the program takes one by one.

    Contents: the records that it has not taken.
    """

    __slots__ = ()

    def update(self, key: bytes, value: Value, flags: int = ANY) -> None:
        """Add a record. Raises OSError."""
        assert isinstance(value, bytes)
        checked(self.output(value, flags))

    def first(self) -> tuple[int, int] | None:
        """Offset and size of the record that is next; None where there is none."""
        if not self._records:
            return None
        position, size, _ = self._records[0]
        return self._place(position), size

    def release(self) -> None:
        """The record that was next is taken."""
        position, size, _ = self._records.pop(0)
        self.consumer = position + up(size + RECORD_HEADER, 8)


class PerfState(MapState):
    """perf_event_array, with an event open on each CPU of the machine. Contents: the records of all, in their order."""

    __slots__ = ("_records",)
    NO_LOOKUP = -ENOTSUPP

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._records: list[bytes] = []

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState. The events are there from the start; no number is one of another."""
        if flags:
            return -EINVAL
        return -E2BIG if int.from_bytes(key, self.order) >= self.map.max_entries else -EBADF

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return -E2BIG if int.from_bytes(key, self.order) >= self.map.max_entries else -ENOENT

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """See MapState."""
        return next_index(self, key)

    def output(self, data: bytes, flags: int, cpu: int) -> int:
        """What perf_event_output returns."""
        if flags & ~CURRENT_CPU:
            return -EINVAL
        index = cpu if flags == CURRENT_CPU else flags
        if index >= self.map.max_entries:
            return -E2BIG
        if index >= CPUS:
            return -ENOENT
        if index != cpu:
            return -EOPNOTSUPP
        self._records.append(data)
        return 0

    def consume(self) -> list[bytes]:
        """Read what there is to read."""
        found, self._records = self._records, []
        return found

    def contents(self) -> Contents:
        """See MapState."""
        return tuple(self._records)

    def _save(self) -> Any:
        return tuple(self._records)

    def _load(self, saved: Any) -> None:
        self._records = list(saved)

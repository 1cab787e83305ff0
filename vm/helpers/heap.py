"""Objects that programs make and drop: blocks of the map `.heap`, so that they live on with the maps they are in.

The first two words say where nothing has been yet, and which dropped block comes first. A block is its size, the
dropped block behind it, and the object; all three are offsets in the map, or 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from bpf.plan import HEAP
from bpf.spec.layout import up
from vm.helpers.base import Place
from vm.services import Trap

WORD, HEAD, FIRST = 8, 16, 16


class _Heap:
    """The map's memory as words."""

    def __init__(self, place: Place) -> None:
        self._place = place
        state = place.maps.state(place.maps.handle(HEAP.name))
        assert state is not None
        self.start = place.maps.address(state, 0)

    def __getitem__(self, at: int) -> int:
        return int.from_bytes(self._place.memory.read(self.start + at, WORD), self._place.order)

    def __setitem__(self, at: int, value: int) -> None:
        self._place.memory.write(self.start + at, value.to_bytes(WORD, self._place.order))


def obj_new(place: Place, arguments: Sequence[int]) -> int:
    """The address of a new object of R1 bytes, all zero; 0 where there is no room."""
    heap, size = _Heap(place), up(max(arguments[0], 1), HEAD)
    before, block = WORD, heap[WORD]
    while block and heap[block] != size:  # only a block of that size is used again
        before, block = block + WORD, heap[block + WORD]
    if block:
        heap[before] = heap[block + WORD]
    else:
        block = heap[0] or FIRST
        if block + HEAD + size > HEAP.value_size:
            return 0
        heap[0] = block + HEAD + size
        heap[block] = size
    heap[block + WORD] = 0
    place.memory.write(heap.start + block + HEAD, bytes(size))
    return heap.start + block + HEAD


def obj_drop(place: Place, arguments: Sequence[int]) -> int:
    """Object R1 is no more. Raises Trap for what is no object."""
    heap = _Heap(place)
    block = arguments[0] - heap.start - HEAD
    if not FIRST <= block < HEAP.value_size or block % HEAD:
        raise Trap("object", arguments[0])
    heap[block + WORD], heap[WORD] = heap[WORD], block
    return 0

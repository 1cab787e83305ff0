"""BTF whose types are read when they are asked for: a kernel has more than a hundred thousand, a program needs few."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from bpf.errors import BadObject
from bpf.object.btf import VOID, Btf, Kind, Type
from bpf.object.btf_wire import EACH, HEADER, ORDER_OF, Reader

_REST = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VAR: 4, Kind.DECL_TAG: 4}  # bytes behind a type's own words
_EACH = [EACH.get(Kind(kind), 0) if kind in list(Kind) else 0 for kind in range(32)]
_MORE = [_REST.get(Kind(kind), 0) if kind in list(Kind) else 0 for kind in range(32)]


class _Types(Sequence[Type]):
    """The types by number; each is decoded once."""

    def __init__(self, reader: Reader, starts: array[int]) -> None:
        self._reader = reader
        self._starts = starts
        self._known: dict[int, Type] = {0: VOID}

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Type: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Type]: ...
    def __getitem__(self, index: int | slice) -> Type | Sequence[Type]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        found = self._known.get(index)
        if found is None:
            self._reader.at = self._starts[index]
            found = self._known[index] = self._reader.one()
        return found

    def __iter__(self) -> Iterator[Type]:
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True, eq=False)
class LazyBtf(Btf):
    """Types that are looked up by name without reading them all. names: per type where its name is in `strings`."""

    names: array[int] = field(default_factory=lambda: array("I"), repr=False)
    _found: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def named(self, name: str) -> Sequence[int]:
        """The numbers of all types of that name."""
        known = self._found.get(name)
        if known is None:
            known = self._found[name] = self._find(name)
        return known

    def _find(self, name: str) -> list[int]:
        at = self.strings.find(b"\0" + name.encode() + b"\0") + 1 if name else 0
        numbers: list[int] = []
        while at:
            number = 0
            try:
                while True:
                    number = self.names.index(at, number + 1)
                    numbers.append(number)
            except ValueError:
                at = self.strings.find(b"\0" + name.encode() + b"\0", at) + 1
        return sorted(numbers)


def open_types(data: bytes) -> LazyBtf:
    """A raw BTF file that is trusted to be whole, as the running kernel's own. Raises BadObject for another file."""
    order = ORDER_OF.get(data[:2])
    if order is None or len(data) < HEADER:
        raise BadObject("no BTF magic number 0xeb9f", place="BTF")
    mark = "<" if order == "little" else ">"
    header, types_at, types_size, strings_at, strings_size = struct.unpack_from(mark + "4x5I", data)
    strings = data[header + strings_at : header + strings_at + strings_size]
    at, end = header + types_at, header + types_at + types_size
    starts, names = array("I", [0]), array("I", [0])
    unpack = struct.Struct(mark + "II").unpack_from
    while at < end:
        name, info = unpack(data, at)
        starts.append(at)
        names.append(name)
        kind = info >> 24 & 31
        at += 12 + _MORE[kind] + _EACH[kind] * (info & 0xFFFF)
    return LazyBtf(_Types(Reader(data, mark, 0, end, strings), starts), order, strings, names)

"""Structures from what is said of their members: the bytes of memory that a program finds.

    Structure(types, number, {"pid": 7, "comm": "sh", "files.next": 0xffff..., "cpus[2]": 1}).encode("little")

Members have dotted paths; those of unions and structures without a name count as the outer one's. What is not said is
0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bpf.errors import BadInput
from bpf.object.btf import COMPOSITE, ENUMS, Btf, Kind
from bpf.object.btf import Value as Enumerator
from bpf.order import Order

MOST = 1 << 24  # bytes of a structure
Value = int | str
_STEP = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]")


@dataclass(frozen=True)
class Structure:
    """A structure in memory. fields: path -> a number, a text for characters or an enumerator."""

    types: Btf = field(repr=False, compare=False)
    number: int
    fields: Mapping[str, Value]
    _made: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def encode(self, order: Order) -> bytes:
        """Its bytes. Raises BadInput for a member that is not there or a value that it cannot have."""
        if order not in self._made:
            self._made[order] = self._encode(order)
        return self._made[order]

    def _encode(self, order: Order) -> bytes:
        size = self.types.size(self.number)
        if size > MOST:
            raise BadInput(f"{self.types[self.number].name} has {size} bytes: at most {MOST} are described")
        data = bytearray(size)
        for path, value in self.fields.items():
            number, at, bits = find(self.types, self.number, path)
            _put(self.types, data, number, at, bits, value, path, order)
        return bytes(data)


Content = bytes | Structure
"""Memory: bytes, or a structure that is the same in either byte order."""


def content(given: Content, order: Order) -> bytes:
    """The bytes of memory in a byte order."""
    return given if isinstance(given, bytes) else given.encode(order)


def find(types: Btf, number: int, path: str) -> tuple[int, int, int]:
    """Type, offset in bits, and width of a bit-field (else 0) of a member. Raises BadInput."""
    at = bits = 0
    rest = path
    while rest:
        match = _STEP.match(rest)
        rest = rest[match.end() :].removeprefix(".") if match else rest
        number = types.strip(number)
        one = types[number]
        if match is None or (match[1] is None) != (one.kind is Kind.ARRAY):
            raise BadInput(f"{path!r} is no member of {types[number].name or 'this type'}")
        if match[2] is not None:
            index = int(match[2])
            if index >= one.count:
                raise BadInput(f"{path!r}: the array has {one.count} elements")
            at += 8 * index * types.size(one.type)
            number = one.type
            continue
        found = _member(types, number, match[1])
        if found is None:
            known = ", ".join(member.name for member in one.members if member.name)
            raise BadInput(f"{one.name or 'this type'} has no member {match[1]!r}", remedy=f"members: {known[:200]}")
        number, inside, bits = found
        at += inside
    return number, at, bits


def _member(types: Btf, number: int, name: str) -> tuple[int, int, int] | None:
    """A member by name, also of those that have none."""
    one = types[types.strip(number)]
    if one.kind not in COMPOSITE:
        return None
    for member in one.members:
        if member.name == name:
            return member.type, member.offset, member.bits
        if not member.name and (inner := _member(types, member.type, name)) is not None:
            return inner[0], member.offset + inner[1], inner[2]
    return None


def _put(
    types: Btf, data: bytearray, number: int, at: int, bits: int, value: Value, path: str, order: Order
) -> None:  # fmt: skip
    one, size = types[types.strip(number)], types.size(number)
    if one.kind is Kind.ARRAY and isinstance(value, str):
        text = value.encode()
        if len(text) > size:
            raise BadInput(f"{path}: {value!r} does not fit {size} bytes")
        data[at // 8 : at // 8 + size] = text.ljust(size, b"\0")
        return
    if isinstance(value, str):
        value = _number(one.values if one.kind in ENUMS else (), value, path)
    if one.kind not in ENUMS and one.kind not in (Kind.INT, Kind.PTR):
        raise BadInput(f"{path} is no number", remedy="name a member of it")
    width = bits or 8 * size
    if not -(1 << width - 1) <= value < 1 << width:
        raise BadInput(f"{path} = {value} does not fit {width} bits")
    first, last = at // 8, (at + width + 7) // 8
    word = int.from_bytes(data[first:last], order)
    shift = 8 * (last - first) - at % 8 - width if order == "big" else at % 8
    mask = (1 << width) - 1
    word = word & ~(mask << shift) | (value & mask) << shift
    data[first:last] = word.to_bytes(last - first, order)


def _number(values: Sequence[Enumerator], text: str, path: str) -> int:
    """A number, or an enumerator by its name."""
    for one in values:
        if one.name == text:
            return one.value
    try:
        return int(text, 0)
    except ValueError:
        raise BadInput(f"{path} is a number, and {text!r} is none") from None

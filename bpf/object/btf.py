"""BTF: the types of a program or a kernel, from bytes and to bytes, in both byte orders.

Layout: include/uapi/linux/btf.h and Documentation/bpf/btf.rst of Linux. What is read is whole afterwards: every type
number is that of a type which may stand there, every size is known, nothing contains itself.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from bpf.errors import BadObject

MAGIC = 0xEB9F
POINTER = 8  # bytes
MAX_DEPTH = 64  # how deep types may nest; the kernel allows 32
MAX_SIZE = 1 << 32
HEADER = 24
SIGNED, CHAR, BOOL = 1, 2, 4  # encodings of an INT
LINKAGE = ("static", "global", "extern")

_NAME = "section .BTF"


class Kind(IntEnum):
    """BTF_KIND_*."""

    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


MODIFIERS = frozenset({Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
COMPOSITE = frozenset({Kind.STRUCT, Kind.UNION})
ENUMS = frozenset({Kind.ENUM, Kind.ENUM64})
_REFERS = MODIFIERS | {Kind.PTR, Kind.TYPEDEF, Kind.FUNC, Kind.FUNC_PROTO, Kind.VAR, Kind.DECL_TAG}  # size is a type
_DECLARATIONS = frozenset({Kind.FUNC, Kind.VAR, Kind.DATASEC, Kind.DECL_TAG})  # no types of anything
_RECORD = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VAR: 4, Kind.DECL_TAG: 4}
_EACH = {
    Kind.STRUCT: 12, Kind.UNION: 12, Kind.ENUM: 8, Kind.FUNC_PROTO: 8, Kind.DATASEC: 12, Kind.ENUM64: 12,
}  # fmt: skip


class Member(NamedTuple):
    """A member of a struct or union. offset: in bits; bits: the width of a bit-field, else 0."""

    name: str
    type: int
    offset: int
    bits: int = 0


class Value(NamedTuple):
    """An enumerator; negative only in a signed enum."""

    name: str
    value: int


class Param(NamedTuple):
    """A parameter; a last one of type 0 without a name stands for `...`."""

    name: str
    type: int


class Variable(NamedTuple):
    """A variable (or extern function) in a section: bytes from offset on."""

    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Type:
    """One type.

    size       bytes: INT, FLOAT, STRUCT, UNION, ENUM, ENUM64, DATASEC
    type       what it refers to, 0 being void: an ARRAY's elements, what a FUNC_PROTO returns
    flag       kind_flag: bit-fields have widths, an enum is signed, a FWD is a union
    encoding   of an INT, with `offset` and `bits`
    index      the type that counts the `count` elements of an ARRAY
    linkage    of a FUNC or VAR: index into LINKAGE
    component  of a DECL_TAG: member or parameter, -1 for the whole
    items      members, enumerators, parameters or variables
    """

    kind: Kind
    name: str = ""
    size: int = 0
    type: int = 0
    flag: bool = False
    encoding: int = 0
    offset: int = 0
    bits: int = 0
    index: int = 0
    count: int = 0
    linkage: int = 0
    component: int = -1
    members: tuple[Member, ...] = ()
    values: tuple[Value, ...] = ()
    params: tuple[Param, ...] = ()
    variables: tuple[Variable, ...] = ()


VOID = Type(Kind.TYPEDEF, "void")


@dataclass(frozen=True)
class Btf:
    """Types by number; number 0 is void. strings: the table as it was read, into which .BTF.ext points."""

    types: tuple[Type, ...]
    order: str = "little"
    strings: bytes = field(default=b"\0", repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.types)

    def __getitem__(self, number: int) -> Type:
        return self.types[number]

    def strip(self, number: int, *, typedefs: bool = True) -> int:
        """The type behind modifiers and typedefs."""
        while number and (
            self.types[number].kind in MODIFIERS or (typedefs and self.types[number].kind is Kind.TYPEDEF)
        ):
            number = self.types[number].type
        return number

    def size(self, number: int) -> int:
        """Size in bytes; 0 for what has none (void, functions, forward declarations)."""
        found = self.types[number]
        if found.kind is Kind.ARRAY:
            return found.count * self.size(found.type)
        if found.kind in MODIFIERS or found.kind in (Kind.TYPEDEF, Kind.VAR):
            return self.size(found.type) if number else 0
        return POINTER if found.kind is Kind.PTR else found.size

    def find(self, name: str, *kinds: Kind) -> int | None:
        """The number of the first type of that name and one of those kinds."""
        return next((n for n in self.named(name) if not kinds or self.types[n].kind in kinds), None)

    def named(self, name: str) -> Sequence[int]:
        """The numbers of all types of that name."""
        return self._by_name.get(name, ())

    def flavours(self, name: str) -> Sequence[int]:
        """The numbers of all types whose name is `name` but for a suffix ___x."""
        return self._by_essential.get(name, ())

    def string(self, offset: int, place: str = "") -> str:
        """A string of the table as it was read. Raises BadObject."""
        return _string(self.strings, offset, place or _NAME)

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, type_ in enumerate(self.types):
            if number and type_.name:
                found.setdefault(type_.name, []).append(number)
        return found

    @cached_property
    def _by_essential(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for name, numbers in self._by_name.items():
            found.setdefault(essential(name), []).extend(numbers)
        return found


def essential(name: str) -> str:
    """A name without its flavour: what stands before the last ___ that has something on both sides."""
    at = name.rfind("___")
    while at > 0 and (name[at - 1] == "_" or name[at + 3 : at + 4] in ("", "_")):
        at = name.rfind("___", 0, at + 2)
    return name[:at] if at > 0 else name


def btf(types: Sequence[Type], order: str = "little") -> Btf:
    """Types as a Btf; types[0] has number 1. Raises BadObject as `decode` does."""
    made = Btf((VOID, *types), order)
    check(made)
    return made


# Reading ---------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Btf:
    """Read .BTF or a raw BTF file; its magic number says the byte order. Raises BadObject naming the place."""
    order = {b"\x9f\xeb": "little", b"\xeb\x9f": "big"}.get(data[:2])
    if order is None:
        raise _broken(0, "no BTF magic number 0xeb9f")
    mark = "<" if order == "little" else ">"
    if len(data) < HEADER:
        raise _broken(0, f"header of {len(data)} bytes; it has {HEADER}")
    version, flags, header, types_at, types_size, strings_at, strings_size = struct.unpack_from(mark + "2x2B5I", data)
    if version != 1 or flags:
        raise _broken(2, f"BTF of version {version} with flags {flags}; version 1 without flags is known")
    if header < HEADER or header > len(data):
        raise _broken(4, f"header of {header} bytes")
    if types_at % 4 or header + types_at + types_size > len(data):
        raise _broken(8, "types end after their section")
    if header + strings_at + strings_size > len(data):
        raise _broken(16, "strings end after their section")
    strings = data[header + strings_at : header + strings_at + strings_size]
    if not strings or strings[0] or strings[-1]:
        raise _broken(16, "strings do not start and end with a zero byte")
    reader = _Reader(data, mark, header + types_at, header + types_at + types_size, strings)
    found = Btf((VOID, *reader.all()), order, strings)
    check(found)
    return found


@dataclass(slots=True)
class _Reader:
    data: bytes
    mark: str
    at: int
    end: int
    strings: bytes
    known: dict[int, str] = field(default_factory=dict)

    def all(self) -> list[Type]:
        types: list[Type] = []
        while self.at < self.end:
            types.append(self.one())
        return types

    def take(self, fields: str) -> tuple[int, ...]:
        size = struct.calcsize(self.mark + fields)
        if size > self.end - self.at:
            raise _broken(self.at, "type ends after its section")
        self.at += size
        return struct.unpack_from(self.mark + fields, self.data, self.at - size)

    def name(self, offset: int) -> str:
        name = self.known.get(offset)
        if name is None:
            name = _string(self.strings, offset, f"{_NAME}+0x{self.at:x}")
            if not name.isprintable():
                raise _broken(self.at, "a name that cannot be printed")
            self.known[offset] = name
        return name

    def one(self) -> Type:
        start = self.at
        name_at, info, size = self.take("3I")
        number, count, flag = info >> 24 & 31, info & 0xFFFF, bool(info >> 31)
        if number not in _KINDS:
            raise _broken(start + 4, f"type of unknown kind {number}")
        kind, name = _KINDS[number], self.name(name_at)
        if count * _EACH.get(kind, 0) > self.end - self.at:
            raise _broken(start, f"{kind.name} with {count} parts does not fit")
        if kind is Kind.INT:
            (word,) = self.take("I")
            return Type(kind, name, size, flag=flag, encoding=word >> 24 & 15, offset=word >> 16 & 255, bits=word & 255)
        if kind is Kind.ARRAY:
            element, index, length = self.take("3I")
            return Type(kind, name, type=element, index=index, count=length)
        if kind in COMPOSITE:
            raw = [self.take("3I") for _ in range(count)]
            members = tuple(
                Member(self.name(n), t, o & 0xFFFFFF if flag else o, o >> 24 if flag else 0) for n, t, o in raw
            )
            return Type(kind, name, size, flag=flag, members=members)
        if kind is Kind.ENUM:
            code = "Ii" if flag else "II"
            values = tuple(Value(self.name(n), v) for n, v in (self.take(code) for _ in range(count)))
            return Type(kind, name, size, flag=flag, values=values)
        if kind is Kind.ENUM64:
            code = "IIi" if flag else "III"
            halves = (self.take(code) for _ in range(count))
            values = tuple(Value(self.name(n), high << 32 | low) for n, low, high in halves)
            return Type(kind, name, size, flag=flag, values=values)
        if kind is Kind.FUNC_PROTO:
            params = tuple(Param(self.name(n), t) for n, t in (self.take("2I") for _ in range(count)))
            return Type(kind, name, type=size, params=params)
        if kind is Kind.DATASEC:
            variables = tuple(Variable(*self.take("3I")) for _ in range(count))
            return Type(kind, name, size, variables=variables)
        if kind is Kind.VAR:
            return Type(kind, name, type=size, linkage=self.take("I")[0])
        if kind is Kind.FUNC:
            return Type(kind, name, type=size, linkage=count)
        if kind is Kind.DECL_TAG:
            return Type(kind, name, type=size, flag=flag, component=self.take("i")[0])
        if kind in _REFERS:
            return Type(kind, name, type=size, flag=flag)
        return Type(kind, name, 0 if kind is Kind.FWD else size, flag=flag)


_KINDS = {int(kind): kind for kind in Kind}


# Checking --------------------------------------------------------------------------------------------------------


def check(types: Btf) -> None:
    """Raise BadObject for a type that cannot be: see the module."""
    for number, one in enumerate(types.types[1:], 1):
        _check_references(types, number, one)
    _Depths(types, by_value=False).all()
    _Depths(types, by_value=True).all()
    sizes = [0] * len(types)
    done = [False] * len(types)
    for number in range(1, len(types)):
        _check_sizes(types, number, sizes, done)


def _wrong(number: int, one: Type, what: str) -> BadObject:
    name = f" {one.name}" if one.name else ""
    return BadObject(f"{one.kind.name}{name}: {what}", place=f"{_NAME}: type {number}", remedy="compile again")


def _refers_to(one: Type) -> list[int]:
    found = [item.type for items in (one.members, one.params, one.variables) for item in items]
    if one.kind in _REFERS or one.kind is Kind.ARRAY:
        found.append(one.type)
    return found


def _check_references(types: Btf, number: int, one: Type) -> None:
    for other in _refers_to(one):
        if not 0 <= other < len(types):
            raise _wrong(number, one, f"type {other} is not there")
        kind = types[other].kind
        if one.kind is Kind.DATASEC:
            if kind not in (Kind.VAR, Kind.FUNC):
                raise _wrong(number, one, f"type {other} is no variable")
        elif one.kind is not Kind.DECL_TAG and kind in _DECLARATIONS:
            raise _wrong(number, one, f"type {other} is a {kind.name}")
    if one.kind is Kind.ARRAY and not 0 < one.index < len(types):
        raise _wrong(number, one, f"index type {one.index} is not there")
    if one.kind is Kind.FUNC and types[one.type].kind is not Kind.FUNC_PROTO:
        raise _wrong(number, one, f"type {one.type} is no FUNC_PROTO")
    if one.kind in (Kind.FUNC, Kind.VAR) and one.linkage >= len(LINKAGE):
        raise _wrong(number, one, f"linkage {one.linkage}")
    if one.kind is Kind.INT and (
        one.size not in (1, 2, 4, 8, 16) or not one.offset + one.bits <= 8 * one.size or not one.bits
    ):
        raise _wrong(number, one, f"{one.bits} bits at {one.offset} in {one.size} bytes")
    if one.kind in ENUMS and one.size not in (1, 2, 4, 8):
        raise _wrong(number, one, f"{one.size} bytes")
    if one.kind is Kind.FLOAT and one.size not in (2, 4, 8, 12, 16):
        raise _wrong(number, one, f"{one.size} bytes")


@dataclass(slots=True)
class _Depths:
    """How deep each type nests: finds loops. by_value: through members; else through pointers and all but members."""

    types: Btf
    by_value: bool
    depth: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def all(self) -> None:
        for number in range(1, len(self.types)):
            self.of(number)

    def of(self, number: int) -> int:
        if not number:
            return 0
        known = self.depth.get(number)
        if known is not None:
            return known
        one = self.types[number]
        if number in self.open:
            raise _wrong(number, one, "contains itself")
        self.open.add(number)
        stop = (Kind.PTR, Kind.FUNC_PROTO) if self.by_value else COMPOSITE
        depth = 1 + (0 if one.kind in stop else max(map(self.of, _refers_to(one)), default=0))
        if depth > MAX_DEPTH or len(self.open) > 2 * MAX_DEPTH:
            raise _wrong(number, one, f"nests more than {MAX_DEPTH} deep")
        self.open.remove(number)
        self.depth[number] = depth
        return depth


def _check_sizes(types: Btf, number: int, sizes: list[int], done: list[bool]) -> int:
    """Size of a type, having checked that everything in it has one and lies within it."""
    if not number or done[number]:
        return sizes[number]
    one = types[number]
    size = one.size
    if one.kind is Kind.ARRAY:
        if not _sized(types, one.type):
            raise _wrong(number, one, f"type {one.type} of its elements has no size")
        size = one.count * _check_sizes(types, one.type, sizes, done)
        if size > MAX_SIZE:
            raise _wrong(number, one, f"{size} bytes")
    elif one.kind in MODIFIERS or one.kind in (Kind.TYPEDEF, Kind.VAR):
        size = _check_sizes(types, one.type, sizes, done)
    elif one.kind is Kind.PTR:
        size = POINTER
    for member in one.members:
        if not _sized(types, member.type):
            raise _wrong(number, one, f"type {member.type} of member {member.name} has no size")
        width = member.bits or 8 * _check_sizes(types, member.type, sizes, done)
        if member.bits:
            inner = types[types.strip(member.type)]
            if inner.kind not in ENUMS and inner.kind is not Kind.INT:
                raise _wrong(number, one, f"bit-field {member.name} is no integer")
            if member.bits > 8 * inner.size:
                raise _wrong(number, one, f"bit-field {member.name} of {member.bits} bits")
        elif member.offset % 8:
            raise _wrong(number, one, f"member {member.name} at bit {member.offset}")
        if member.offset + width > 8 * one.size:
            raise _wrong(number, one, f"member {member.name} ends after its {one.size} bytes")
    for variable in one.variables:
        if one.size and variable.offset + variable.size > one.size:
            raise _wrong(number, one, f"variable {types[variable.type].name} ends after its {one.size} bytes")
    sizes[number], done[number] = size, True
    return size


def _sized(types: Btf, number: int) -> bool:
    inner = types.strip(number)
    return bool(inner) and types[inner].kind not in (Kind.FWD, Kind.FUNC_PROTO)


# Writing ---------------------------------------------------------------------------------------------------------


def encode(types: Btf, order: str | None = None) -> bytes:
    """The bytes of .BTF, in its own byte order unless another is named; strings in the order of their first use."""
    mark = "<" if (order or types.order) == "little" else ">"
    strings = bytearray(b"\0")
    known = {"": 0}

    def name(text: str) -> int:
        if text not in known:
            known[text] = len(strings)
            strings.extend(text.encode("utf-8") + b"\0")
        return known[text]

    def put(fields: str, *values: int) -> None:
        body.extend(struct.pack(mark + fields, *values))

    body = bytearray()
    for one in types.types[1:]:
        count = max(len(one.members), len(one.values), len(one.params), len(one.variables))
        if one.kind is Kind.FUNC:
            count = one.linkage
        put(
            "3I", name(one.name), one.flag << 31 | one.kind << 24 | count, one.type if one.kind in _REFERS else one.size
        )
        if one.kind is Kind.INT:
            put("I", one.encoding << 24 | one.offset << 16 | one.bits)
        elif one.kind is Kind.ARRAY:
            put("3I", one.type, one.index, one.count)
        elif one.kind is Kind.VAR:
            put("I", one.linkage)
        elif one.kind is Kind.DECL_TAG:
            put("i", one.component)
        for member in one.members:
            put("3I", name(member.name), member.type, member.bits << 24 | member.offset)
        for value in one.values:
            low = value.value & 0xFFFFFFFF
            put("2I", name(value.name), low)
            if one.kind is Kind.ENUM64:
                put("I", value.value >> 32 & 0xFFFFFFFF)
        for param in one.params:
            put("2I", name(param.name), param.type)
        for variable in one.variables:
            put("3I", *variable)
    head = struct.pack(mark + "HBBIIIII", MAGIC, 1, 0, HEADER, 0, len(body), len(body), len(strings))
    return bytes(head + body + strings)


def _string(strings: bytes, offset: int, place: str) -> str:
    stop = strings.find(b"\0", offset) if offset < len(strings) else -1
    if stop < 0:
        raise BadObject(f"string {offset} is outside of .BTF", place=place, remedy="compile again, or without -g")
    return strings[offset:stop].decode("utf-8", "replace")


def _broken(at: int, what: str) -> BadObject:
    return BadObject(what, place=f"{_NAME}+0x{at:x}", remedy="compile again, or without -g")

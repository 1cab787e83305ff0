"""Types from bytes and to bytes, in both byte orders (include/uapi/linux/btf.h of Linux)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from bpf.errors import BadObject
from bpf.object.btf import COMPOSITE, REFERS, SECTION, VOID, Btf, Kind, Member, Param, Type, Value, Variable, string_at
from bpf.object.btf_check import check
from bpf.order import Order

MAGIC = 0xEB9F
ORDER_OF: dict[bytes, Order] = {b"\x9f\xeb": "little", b"\xeb\x9f": "big"}
"""What the magic number looks like in each byte order."""
HEADER = 24

EACH = {
    Kind.STRUCT: 12, Kind.UNION: 12, Kind.ENUM: 8, Kind.FUNC_PROTO: 8, Kind.DATASEC: 12, Kind.ENUM64: 12,
}  # fmt: skip


def decode(data: bytes) -> Btf:
    """Read .BTF or a raw BTF file; its magic number says the byte order. Raises BadObject naming the place."""
    order = ORDER_OF.get(data[:2])
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
    reader = Reader(data, mark, header + types_at, header + types_at + types_size, strings)
    found = Btf((VOID, *reader.all()), order, strings)
    check(found)
    return found


@dataclass(slots=True)
class Reader:
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
            name = string_at(self.strings, offset, f"{SECTION}+0x{self.at:x}")
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
        if count * EACH.get(kind, 0) > self.end - self.at:
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
        if kind in REFERS:
            return Type(kind, name, type=size, flag=flag)
        return Type(kind, name, 0 if kind is Kind.FWD else size, flag=flag)


_KINDS = {int(kind): kind for kind in Kind}


def encode(types: Btf, order: Order | None = None) -> bytes:
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
        put("3I", name(one.name), one.flag << 31 | one.kind << 24 | count, one.type if one.kind in REFERS else one.size)
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


def _broken(at: int, what: str) -> BadObject:
    return BadObject(what, place=f"{SECTION}+0x{at:x}", remedy="compile again, or without -g")

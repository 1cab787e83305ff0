"""Bytes as what their type says: numbers, texts, members by name; as bpftool shows the values of maps."""

from __future__ import annotations

from typing import Any

from bpf.object.btf import BOOL, CHAR, COMPOSITE, ENUMS, SIGNED, Btf, Kind, Type
from bpf.order import Order

_DEEPEST = 32


def typed(types: Btf, number: int, data: bytes, depth: int = 0) -> Any:
    """A value of a type as JSON has it: number, bool, text, list, dictionary. What has no form is its bytes in hex.

    A pointer is a text; an enumerator its name; an array of char that ends in zeros, and else can be read, a text.
    """
    number = types.strip(number)
    one = types[number]
    order = types.order
    if depth < _DEEPEST:
        if one.kind is Kind.INT:
            return _integer(one, data, order)
        if one.kind in ENUMS:
            found = int.from_bytes(data[: one.size], order, signed=one.flag)
            return next((value.name for value in one.values if value.value == found), found)
        if one.kind is Kind.PTR:
            return hex(int.from_bytes(data[:8], order))
        if one.kind is Kind.ARRAY:
            return _array(types, one, data, depth)
        if one.kind in COMPOSITE:
            return {
                member.name: _member(types, one, index, data, order, depth) for index, member in enumerate(one.members)
            }
        if one.kind is Kind.DATASEC:
            return {
                one.name: [
                    {types[v.type].name: typed(types, types[v.type].type, data[v.offset :], depth + 1)}
                    for v in one.variables
                ]
            }
    return "0x" + data[: types.size(number)].hex()


def _integer(one: Type, data: bytes, order: Order) -> Any:
    value = int.from_bytes(data[: one.size], order, signed=bool(one.encoding & SIGNED))
    if one.encoding & BOOL:
        return bool(value)
    if one.encoding & CHAR and chr(value & 0xFF).isascii() and chr(value & 0xFF).isprintable():
        return chr(value & 0xFF)
    return value


def _array(types: Btf, one: Type, data: bytes, depth: int) -> Any:
    size = types.size(one.type)
    element = types[types.strip(one.type)]
    if element.kind is Kind.INT and element.size == 1 and element.name == "char":
        text, _, rest = data[: one.count].partition(b"\0")
        if not any(rest) and text.isascii() and text.decode("ascii").isprintable() and len(text) < one.count:
            return text.decode("ascii")
    return [typed(types, one.type, data[at : at + size], depth + 1) for at in range(0, one.count * size, size or 1)]


def _member(types: Btf, one: Type, index: int, data: bytes, order: Order, depth: int) -> Any:
    member = one.members[index]
    if not member.bits:
        return typed(types, member.type, data[member.offset // 8 :], depth + 1)
    first, last = member.offset // 8, (member.offset + member.bits + 7) // 8
    word = int.from_bytes(data[first:last], order)
    behind = 8 * (last - first) - member.offset % 8 - member.bits
    value = (word >> (behind if order == "big" else member.offset % 8)) & (1 << member.bits) - 1
    kind = types[types.strip(member.type)]
    negative = kind.encoding & SIGNED if kind.kind is Kind.INT else kind.flag
    return value - (1 << member.bits) if negative and value >> member.bits - 1 else value

"""Functions of the running kernel by name: their numbers in its BTF, which calls of kernel functions hold."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from bpf.errors import Refused
from bpf.object.btf import Kind

TYPES = Path("/sys/kernel/btf/vmlinux")
_MAGIC = b"\x9f\xeb"  # of a little-endian machine
_HEADER = "HBBIIIII"  # magic, version, flags, header, types at, their size, strings at, their size
_TYPE = "III"  # name, info, size or type
_EACH = {
    Kind.STRUCT: 12, Kind.UNION: 12, Kind.ENUM: 8, Kind.FUNC_PROTO: 8, Kind.DATASEC: 12, Kind.ENUM64: 12,
}  # fmt: skip
_ONCE = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VAR: 4, Kind.DECL_TAG: 4}


@cache
def _functions() -> dict[bytes, int]:
    """Name -> number, of the functions whose names begin with bpf_."""
    data, found = _types()
    return {
        data[at : data.index(b"\0", at)]: number
        for number, kind, at in found
        if kind == Kind.FUNC and data.startswith(b"bpf_", at)
    }


def _types() -> tuple[bytes, list[tuple[int, int, int]]]:
    """The bytes of the BTF, and (number, kind, where its name is) of each type: a fast walk over 100,000 of them."""
    try:
        data = TYPES.read_bytes()
    except OSError as error:
        raise Refused(f"the types of this kernel cannot be read: {error.strerror}", file=str(TYPES)) from None
    order = "<" if data.startswith(_MAGIC) else ">"
    *_, header, types_at, size, strings_at, _ = struct.unpack_from(order + _HEADER, data)
    at, end, strings = header + types_at, header + types_at + size, header + strings_at
    found: list[tuple[int, int, int]] = []
    number, unpack = 1, struct.Struct(order + _TYPE).unpack_from
    once, each = [0] * 32, [0] * 32
    for kind in Kind:
        once[kind], each[kind] = _ONCE.get(kind, 0), _EACH.get(kind, 0)
    while at < end:
        name, info, _ = unpack(data, at)
        kind = info >> 24 & 0x1F
        found.append((number, kind, strings + name))
        at += 12 + once[kind] + each[kind] * (info & 0xFFFF)
        number += 1
    return data, found


def structure(name: str) -> int:
    """The number of a structure. Raises Refused where this kernel has none."""
    data, found = _types()
    for number, kind, at in found:
        if kind == Kind.STRUCT and data.startswith(name.encode() + b"\0", at):
            return number
    raise Refused(f"this kernel has no structure {name}")


def function(name: str) -> int:
    """The number of a function. Raises Refused where this kernel has none."""
    number = _functions().get(name.encode())
    if number is None:
        raise Refused(f"this kernel has no function {name}")
    return number

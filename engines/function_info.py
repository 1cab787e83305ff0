"""What the kernel wants to know of functions before it allows tail calls, callbacks or packet loads beside them.

The least BTF that says it (Documentation/bpf/btf.rst): every function is static and returns an int.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bpf.order import Order

INT, FUNC, FUNC_PROTO = 1, 12, 13  # BTF_KIND_*
RECORD = 8  # bytes of a struct bpf_func_info
_MAGIC, _VERSION, _HEADER = 0xEB9F, 1, 24
SIGNED_32_BITS = 1 << 24 | 32
_FIRST = 3  # number of the first function's type: int and its prototype come before


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """btf: the types; records: struct bpf_func_info, one per function."""

    btf: bytes
    records: bytes


def header(types: bytes, strings: bytes, order: Order) -> bytes:
    """BTF of these types and strings."""
    head = _MAGIC.to_bytes(2, order) + bytes((_VERSION, 0))
    for number in (_HEADER, 0, len(types), len(types), len(strings)):  # offsets and lengths of types and strings
        head += number.to_bytes(4, order)
    return head + types + strings


def function_info(starts: Sequence[int], order: Order) -> FunctionInfo:
    """Of the functions that start at these slots, in a kernel of that byte order."""

    def words(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, order) for number in numbers)

    strings = bytearray(b"\0int\0")
    types = words(1, INT << 24, 4, SIGNED_32_BITS) + words(0, FUNC_PROTO << 24, 1)
    for number in range(len(starts)):
        types += words(len(strings), FUNC << 24, 2)
        strings += b"f%d\0" % number
    records = b"".join(words(start, _FIRST + number) for number, start in enumerate(starts))
    return FunctionInfo(header(types, bytes(strings), order), records)

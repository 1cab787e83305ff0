"""What the kernel wants to know of functions before it allows tail calls, callbacks or packet loads beside them.

The least BTF that says it (Documentation/bpf/btf.rst): every function is static and returns an int.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

INT, FUNC, FUNC_PROTO = 1, 12, 13  # BTF_KIND_*
_MAGIC, _VERSION, _HEADER = 0xEB9F, 1, 24
_SIGNED_32_BITS = 1 << 24 | 32
_FIRST = 3  # number of the first function's type: int and its prototype come before


def btf(count: int) -> bytes:
    """BTF of so many functions, in the host's byte order."""
    strings, names = bytearray(b"\0int\0"), []
    for number in range(count):
        names.append(len(strings))
        strings += b"f%d\0" % number
    types = struct.pack("=4I", 1, INT << 24, 4, _SIGNED_32_BITS) + struct.pack("=3I", 0, FUNC_PROTO << 24, 1)
    types += b"".join(struct.pack("=3I", name, FUNC << 24, 2) for name in names)
    sizes = (0, len(types), len(types), len(strings))  # offsets and lengths of types and strings, behind the header
    return struct.pack("=HBB5I", _MAGIC, _VERSION, 0, _HEADER, *sizes) + types + bytes(strings)


def records(starts: Sequence[int]) -> bytes:
    """struct bpf_func_info of the functions that start at these slots."""
    return b"".join(struct.pack("=2I", start, _FIRST + number) for number, start in enumerate(starts))

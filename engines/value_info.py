"""What the kernel wants to know of a map's values before they may hold a spin lock or a timer: the least BTF for it."""

from __future__ import annotations

from bpf.order import Order
from bpf.program import Map
from engines.function_info import SIGNED_32_BITS, header

STRUCT, INT = 4, 1  # BTF_KIND_*
KEY, VALUE = 2, 5  # numbers of the types


def value_info(map_: Map, order: Order) -> bytes:
    """BTF in which type KEY is the map's key, and type VALUE its value. order: of the kernel."""

    def words(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, order) for number in numbers)

    strings = b"\0int\0bpf_spin_lock\0bpf_timer\0key\0value\0member\0"

    def name(word: bytes) -> int:
        return strings.index(b"\0" + word + b"\0") + 1

    def struct(word: bytes, size: int, *members: tuple[int, int]) -> bytes:
        fields = b"".join(words(name(b"member"), kind, 8 * offset) for kind, offset in members)
        return words(name(word), STRUCT << 24 | len(members), size) + fields

    integer = words(name(b"int"), INT << 24, 4, SIGNED_32_BITS)
    special = [(kind, offset) for kind, offset in ((3, map_.lock), (4, map_.timer)) if offset is not None]
    types = integer
    types += integer if map_.key_size == 4 else struct(b"key", map_.key_size)  # an array insists on a number
    types += struct(b"bpf_spin_lock", 4, (1, 0)) + struct(b"bpf_timer", 16)
    types += struct(b"value", map_.value_size, *sorted(special, key=lambda one: one[1]))
    return header(types, strings, order)

"""Where values lie in a map's memory: what helpers and compiled code must agree on.

Linux's own strides: a value takes a multiple of 8 bytes; the values of one CPU lie apart from those of another.
"""

from __future__ import annotations

from bpf.order import Order

VALUE_ALIGN = 8
CACHE_LINE = 64
CPUS = 4
"""The machine's CPUs: per-CPU maps hold a value for each."""

RECORD_HEADER = 8  # BPF_RINGBUF_HDR_SZ: in front of each record of a ring buffer
LOCK_SIZE = 4  # struct bpf_spin_lock
TIMER_SIZE = 16  # struct bpf_timer: its number in the world, 0 for none; zeros

DYNPTR_SIZE = 16
DYNPTR_MAX, DYNPTR_KIND, DYNPTR_READONLY = (1 << 24) - 1, 28, 1 << 31
"""A struct bpf_dynptr is the address of the data, 8 bytes; size, kind << 28 and a flag, 4; an offset, 4."""


def up(size: int, alignment: int) -> int:
    """size, rounded up."""
    return size + alignment - 1 & -alignment


def stride(value_size: int) -> int:
    """Bytes from one value to the next."""
    return up(value_size, VALUE_ALIGN)


def cpu_stride(value_size: int, slots: int) -> int:
    """Bytes from one CPU's values to the next CPU's."""
    return up(stride(value_size) * slots, CACHE_LINE)


def size(value_size: int, slots: int, *, per_cpu: bool) -> int:
    """Bytes of a map with so many values (of each CPU)."""
    return CPUS * cpu_stride(value_size, slots) if per_cpu else stride(value_size) * slots


def dynptr(data: int, size: int, offset: int, order: Order) -> bytes:
    """The bytes of a dynptr. size: with its kind and flag."""
    fields = ((data, 8), (size, 4), (offset, 4))
    return b"".join(value.to_bytes(width, order) for value, width in fields)


def read_dynptr(data: bytes, order: Order) -> tuple[int, int, int]:
    """Address, size with kind and flag, offset."""
    address, size, offset = (int.from_bytes(data[a:b], order) for a, b in ((0, 8), (8, 12), (12, 16)))
    return address, size, offset

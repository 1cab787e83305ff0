"""Where values lie in a map's memory: what helpers and compiled code must agree on.

Linux's own strides: a value takes a multiple of 8 bytes; the values of one CPU lie apart from those of another.
"""

from __future__ import annotations

VALUE_ALIGN = 8
CACHE_LINE = 64
CPUS = 4
"""The machine's CPUs: per-CPU maps hold a value for each."""

RECORD_HEADER = 8  # BPF_RINGBUF_HDR_SZ: in front of each record of a ring buffer


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

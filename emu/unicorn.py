"""The edge to Unicorn: constants by name, registers in batches, the version that was measured."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Any

from bpf.errors import NotHere
from jit.target import Emulation

VERSION = "2.1.4"


def _import() -> Any:
    try:
        found = metadata.version("unicorn")
    except metadata.PackageNotFoundError:
        found = "none"
    if found != VERSION:
        raise NotHere(f"unicorn {VERSION} is needed, found {found}", remedy=f"pip install unicorn=={VERSION}")
    return import_module("unicorn")


unicorn: Any = _import()
_library: Any = import_module("unicorn.unicorn_py3.unicorn").uclib


READS: tuple[int, ...] = (unicorn.UC_MEM_READ_UNMAPPED, unicorn.UC_MEM_READ_PROT)
"""Types of a failed access that reads."""


def constant(module: str, name: str) -> int:
    """A constant of Unicorn by its name."""
    value: int = getattr(import_module(f"unicorn.{module}"), name)
    return value


def register(facts: Emulation, name: str) -> int:
    """Unicorn's number of a register: PREFIX + NAME, or PREFIX + NAME without its first letter (ppc64's r3)."""
    module = import_module(f"unicorn.{facts.module}")
    value: int | None = getattr(module, facts.registers + name.upper(), None)
    if value is None:
        value = getattr(module, facts.registers + name[1:].upper())
    assert value is not None
    return value


class Registers:
    """A fixed set of registers, read and written in one call each.

    `values` is an array of unsigned 64-bit numbers in the order of `names`.
    """

    __slots__ = ("_count", "_handle", "_ids", "_pointers", "names", "values")

    def __init__(self, uc: Any, facts: Emulation, names: Sequence[str]) -> None:
        count = len(names)
        self.names = tuple(names)
        self._handle = uc._uch
        self._count = count
        self._ids = (ctypes.c_int * count)(*(register(facts, name) for name in names))
        self.values = (ctypes.c_uint64 * count)()
        size = ctypes.sizeof(ctypes.c_uint64)
        start = ctypes.addressof(self.values)
        self._pointers = (ctypes.c_void_p * count)(*(start + size * index for index in range(count)))

    def read(self) -> list[int]:
        """The registers' values now."""
        _library.uc_reg_read_batch(self._handle, self._ids, self._pointers, self._count)
        return list(self.values)

    def write(self, values: Sequence[int]) -> None:
        """Set all of them."""
        self.values[:] = list(values)
        _library.uc_reg_write_batch(self._handle, self._ids, self._pointers, self._count)

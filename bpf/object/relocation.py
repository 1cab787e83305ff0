"""The relocations of LLVM's BPF backend (Documentation/bpf/llvm_reloc.rst of Linux), and data with them applied."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bpf.errors import BadObject
from bpf.object.reader import Elf, Relocation, Section

R_BPF_64_64 = 1  # an lddw: a variable, a map, a function's address
R_BPF_64_ABS64 = 2  # 8 bytes of data: initial values of maps, jump tables, debug information
R_BPF_64_ABS32 = 3  # 4 bytes of data: debug information
R_BPF_64_NODYLD32 = 4  # 4 bytes of .BTF and .BTF.ext
R_BPF_64_32 = 10  # a call

NAMES: Mapping[int, str] = MappingProxyType(
    {
        R_BPF_64_64: "R_BPF_64_64", R_BPF_64_ABS64: "R_BPF_64_ABS64", R_BPF_64_ABS32: "R_BPF_64_ABS32",
        R_BPF_64_NODYLD32: "R_BPF_64_NODYLD32", R_BPF_64_32: "R_BPF_64_32",
    }
)  # fmt: skip
WIDTHS: Mapping[int, int] = MappingProxyType({R_BPF_64_ABS64: 8, R_BPF_64_ABS32: 4, R_BPF_64_NODYLD32: 4})
"""Bytes that a relocation of data patches."""


def kind_name(kind: int) -> str:
    """What to call a relocation of this type."""
    return NAMES.get(kind, f"of type {kind}")


def addend(elf: Elf, section: Section, relocation: Relocation) -> int:
    """What stands at a relocation of data. Raises BadObject for one that is none, or is outside."""
    place = f"section {section.name}+0x{relocation.offset:x}"
    width = WIDTHS.get(relocation.kind)
    if width is None:
        raise BadObject(f"relocation {kind_name(relocation.kind)} in data", place=place)
    if relocation.offset + width > len(section.data):
        raise BadObject("relocation outside of its section", place=place)
    at = relocation.offset
    return int.from_bytes(section.data[at : at + width], "big" if elf.order == "big" else "little")


def relocated(elf: Elf, section: Section) -> bytes:
    """The bytes of a section of data with its relocations applied, sections starting at 0. Raises BadObject."""
    data = bytearray(section.data)
    for relocation in section.relocations.values():
        place = f"section {section.name}+0x{relocation.offset:x}"
        before = addend(elf, section, relocation)
        if relocation.symbol >= len(elf.symbols):
            raise BadObject(f"relocation names symbol {relocation.symbol}, which is not there", place=place)
        width = WIDTHS[relocation.kind]
        value = before + elf.symbols[relocation.symbol].value & (1 << 8 * width) - 1
        data[relocation.offset : relocation.offset + width] = value.to_bytes(
            width, "big" if elf.order == "big" else "little"
        )
    return bytes(data)

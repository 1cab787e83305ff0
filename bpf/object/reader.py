"""An ELF file as plain data: sections, symbols, relocations. The one place that knows pyelftools and its exceptions."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from bpf.errors import BadObject
from bpf.order import Order

MAX_DATA = 1 << 26  # bytes of all sections; a .bss may claim any size without bringing the bytes
MAX_ALIGN = 4096

_KEPT = (".BTF", ".BTF.ext", ".debug_line", ".debug_str", ".debug_line_str")  # what is read beside code and data
_DEBUG = (".debug", ".rel.debug", ".rela.debug")  # no program needs these: broken ones are as if they were not there
_OLD_LLVM = "EM_NONE"  # what it made before BPF had a number


@dataclass(frozen=True, slots=True)
class Relocation:
    """One record of a .rel section: patch the place at `offset` with the address of symbol number `symbol`."""

    offset: int
    kind: int
    symbol: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """kind and binding are ELF's names without prefix ("FUNC", "GLOBAL"); section is an index, or "UNDEF", "ABS"."""

    name: str
    kind: str
    binding: str
    hidden: bool
    section: int | str
    value: int
    size: int = 0


@dataclass(slots=True)
class Section:
    """A section. `data` is empty for one that only tools read; a .bss has its zeros. align: of its start, in bytes."""

    index: int
    name: str
    code: bool
    allocated: bool
    writable: bool
    data: bytes = b""
    relocations: dict[int, Relocation] = field(default_factory=dict)
    align: int = 1


@dataclass(frozen=True, slots=True)
class Elf:
    """A relocatable BPF object. order: "little" or "big"."""

    order: Order
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def named(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((section for section in self.sections if section.name == name), None)


def read(data: bytes) -> Elf:
    """Read an object file. Raises BadObject for anything but a whole relocatable 64-bit ELF file for BPF."""
    if not data.startswith(b"\x7fELF"):
        raise BadObject("not an ELF file", remedy="give an object that `clang -target bpf -c` made")
    here = ["ELF header"]
    try:
        return _read(ELFFile(io.BytesIO(data)), len(data), here)
    except BadObject:
        raise
    except Exception as error:  # noqa: BLE001  whatever pyelftools trips over, KeyError to MemoryError
        raise BadObject(f"broken ELF file: {_reason(error)}", place=here[-1]) from None


def section_bytes(data: bytes, name: str) -> bytes:
    """The bytes of one section of an ELF file for any machine, b"" if it has none. Raises BadObject."""
    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(name)
        if section is None or section["sh_type"] == "SHT_NOBITS":
            return b""
        if section["sh_flags"] & SH_FLAGS.SHF_COMPRESSED or section["sh_size"] > len(data):
            raise BadObject("section is compressed, or ends after the file", place=f"section {name}")
        found: bytes = section.data()
        return found
    except BadObject:
        raise
    except Exception as error:  # noqa: BLE001  as in `read`
        raise BadObject(f"broken ELF file: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:120] if text else type(error).__name__


def _read(elf: ELFFile, size: int, here: list[str]) -> Elf:
    """here: a list whose last item says what is being read, for the error message."""
    if elf.elfclass != 64:
        raise BadObject("a 32-bit ELF file; BPF objects are 64-bit")
    if elf["e_machine"] not in ("EM_BPF", _OLD_LLVM):
        raise BadObject(
            f"an ELF file for machine {elf['e_machine']}, not for BPF", remedy="compile with `clang -target bpf`"
        )
    if elf["e_type"] != "ET_REL":
        raise BadObject(f"an ELF file of type {elf['e_type']}, not a relocatable object", remedy="compile with -c")
    if not elf["e_shnum"]:
        raise BadObject("an ELF file without sections")
    sections: list[Section] = []
    symbols: list[Symbol] = []
    patches: list[RelocationSection] = []
    broken: list[tuple[int, ELFError]] = []
    room = MAX_DATA
    for index in range(elf["e_shnum"]):
        here.append(f"section header {index}")
        try:
            raw = elf.get_section(index)
        except ELFError as error:
            broken.append((index, error))
            sections.append(Section(index, "", code=False, allocated=False, writable=False))
            continue
        flags, kind, length = raw["sh_flags"], raw["sh_type"], raw["sh_size"]
        here.append(f"section {index} {raw.name}")
        section = Section(
            index, raw.name, bool(flags & SH_FLAGS.SHF_EXECINSTR), bool(flags & SH_FLAGS.SHF_ALLOC),
            bool(flags & SH_FLAGS.SHF_WRITE), align=min(max(raw["sh_addralign"], 1), MAX_ALIGN),
        )  # fmt: skip
        sections.append(section)
        if isinstance(raw, SymbolTableSection):
            symbols = _symbols(raw)
        elif isinstance(raw, RelocationSection):
            patches.append(raw)
        elif section.allocated or raw.name in _KEPT:
            spare = raw.name.startswith(_DEBUG) and not section.allocated
            if spare and (flags & SH_FLAGS.SHF_COMPRESSED or not _fits(raw, size, room)):
                continue
            if flags & SH_FLAGS.SHF_COMPRESSED:
                raise BadObject("compressed section", place=here[-1], remedy="compile with -gz=none")
            if kind != "SHT_NOBITS" and length > size - raw["sh_offset"]:
                raise BadObject(f"section of {length} bytes ends after the file", place=here[-1])
            if length > room:
                raise BadObject(f"section of {length} bytes; all together may have {MAX_DATA}", place=here[-1])
            room -= length
            section.data = raw.data()
    for index, refused in broken:
        here.append(f"section header {index}")
        target = _patched(elf, index)
        if not 0 <= target < len(sections) or not sections[target].name.startswith(_DEBUG):
            raise refused
        sections[target].data = b""
    for raw in patches:
        here.append(f"section {raw.name}")
        spare = raw.name.startswith(_DEBUG)
        if raw["sh_info"] >= len(sections):
            if spare:
                continue
            raise BadObject(f"relocations of section {raw['sh_info']}, which is not there", place=here[-1])
        target = sections[raw["sh_info"]]
        if target.data:  # what is not read needs no relocation
            try:
                target.relocations.update(_relocations(raw))
            except (BadObject, ELFError):
                if not spare or target.allocated:
                    raise
                target.data = b""
    return Elf("little" if elf.little_endian else "big", tuple(sections), tuple(symbols))


def _fits(raw: Any, size: int, room: int) -> bool:
    """Whether a section's bytes are in the file of `size` bytes, and are no more than may be read."""
    length: int = raw["sh_size"]
    return length <= room and (raw["sh_type"] == "SHT_NOBITS" or length <= size - raw["sh_offset"])


def _patched(elf: ELFFile, index: int) -> int:
    """The number of the section that relocations are for which pyelftools does not take; -1: those are no relocations.

    Only their header is asked.
    """
    at = elf["e_shoff"] + index * elf["e_shentsize"]
    header = struct_parse(elf.structs.Elf_Shdr, elf.stream, stream_pos=at)
    number: int = header["sh_info"]
    return number if header["sh_type"] in ("SHT_REL", "SHT_RELA") else -1


def _symbols(raw: SymbolTableSection) -> list[Symbol]:
    out = []
    for symbol in raw.iter_symbols():
        info, section = symbol["st_info"], symbol["st_shndx"]
        out.append(
            Symbol(
                symbol.name,
                str(info["type"]).removeprefix("STT_"),
                str(info["bind"]).removeprefix("STB_"),
                symbol["st_other"]["visibility"] in ("STV_HIDDEN", "STV_INTERNAL"),
                section if isinstance(section, int) else str(section).removeprefix("SHN_"),
                symbol["st_value"],
                symbol["st_size"],
            )
        )
    return out


def _relocations(raw: RelocationSection) -> dict[int, Relocation]:
    if raw.is_RELA():
        raise BadObject(
            "relocations with addends (SHT_RELA)", place=f"section {raw.name}", remedy="clang makes SHT_REL"
        )
    return {
        record["r_offset"]: Relocation(record["r_offset"], record["r_info_type"], record["r_info_sym"])
        for record in raw.iter_relocations()
    }

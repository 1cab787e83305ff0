"""An object file taken apart: sections and symbols, types, what .BTF.ext says, source lines."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bpf.errors import BadObject
from bpf.object.btf import LINKAGE, Btf
from bpf.object.btf_ext import Ext, decode_ext
from bpf.object.btf_wire import decode
from bpf.object.dwarf import Place, line_table
from bpf.object.reader import Elf, Section, read, section_bytes
from bpf.object.relocation import relocated
from bpf.program import Line


@dataclass(frozen=True, slots=True)
class Parts:
    """lines: DWARF's, and .BTF.ext's in their stead where both say something."""

    elf: Elf
    types: Btf | None = None
    ext: Ext = field(default_factory=Ext)
    lines: dict[Place, Line] = field(default_factory=dict)

    def at(self, section: int, offset: int) -> str:
        """A place, for an error message."""
        return f"section {self.elf.sections[section].name}+0x{offset:x}"

    def strings(self, name: str) -> str:
        """The text in a section such as license, up to its first zero byte; "" if it is not there."""
        section = self.elf.named(name)
        return "" if section is None else section.data.split(b"\0")[0].decode("utf-8", "replace")

    @property
    def version(self) -> int:
        """The kernel version in section version; 0 if it is not there."""
        section = self.elf.named("version")
        data = b"" if section is None else section.data[:4]
        return int.from_bytes(data, "big" if self.elf.order == "big" else "little")

    def variables(self, section: str) -> dict[int, int]:
        """Byte offset -> VAR or FUNC number of what the types say is in a section."""
        if self.types is None:
            return {}
        numbers = self.types.named(section)
        found = [variable for number in numbers for variable in self.types[number].variables]
        return {v.offset: v.type for v in found if LINKAGE[self.types[v.type].linkage] != "extern"}


def open_parts(data: bytes) -> Parts:
    """Take an object file apart. Raises BadObject."""
    elf = read(data)
    section, ext = elf.named(".BTF"), elf.named(".BTF.ext")
    types = _types(elf, section) if section is not None and section.data else None
    found = Ext()
    if types is not None and ext is not None and ext.data:
        found = decode_ext(relocated(elf, ext), types)
    return Parts(elf, types, found, _lines(elf, found))


def _types(elf: Elf, section: Section) -> Btf:
    types = decode(relocated(elf, section))
    if types.order != elf.order:
        raise BadObject(f"types of a {types.order}-endian machine in a {elf.order}-endian file", place="section .BTF")
    return types


def _lines(elf: Elf, ext: Ext) -> dict[Place, Line]:
    """DWARF's lines, with what BTF knows: the text of a line, and the head of a function instead of its brace."""
    texts = {(line.file, line.line): line.text for line in ext.lines.values()}
    try:
        table = line_table(elf)
    except BadObject:  # no program needs its lines
        table = {}
    lines = {place: replace(line, text=texts.get((line.file, line.line), "")) for place, line in table.items()}
    indices = {section.name: section.index for section in reversed(elf.sections) if section.code}
    for (section, offset), line in ext.lines.items():
        if section in indices:
            lines[indices[section], offset] = line
    return lines


def raw_types(data: bytes) -> Btf:
    """The types of an object file as they stand in it, or of a raw BTF file. Raises BadObject."""
    if not data.startswith(b"\x7fELF"):
        return decode(data)
    found = section_bytes(data, ".BTF")
    if not found:
        raise BadObject("no section .BTF", remedy="compile with -g")
    return decode(found)

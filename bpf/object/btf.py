"""The two things of .BTF and .BTF.ext that matter so far: CO-RE relocations (to refuse them) and source lines.

Layout: include/uapi/linux/btf.h and Documentation/bpf/btf.rst of Linux. Types are not read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from bpf.errors import BadObject
from bpf.object.reader import Elf, Section
from bpf.program import Line

MAGIC = 0xEB9F
_LINE_INFO, _CORE = 16, 24  # where the header of .BTF.ext says where each table is


@dataclass(frozen=True, slots=True)
class Ext:
    """.BTF.ext and the strings of .BTF."""

    elf: Elf
    ext: Section
    strings: bytes

    def number(self, at: int) -> int:
        """The 32-bit number at an offset of .BTF.ext."""
        return _number(self.elf, self.ext, at, 4)

    def string(self, offset: int) -> str:
        """The string at an offset of .BTF's string table."""
        stop = self.strings.find(b"\0", offset)
        if stop < 0:
            raise _broken(self.ext, 0, f"string {offset} is outside of .BTF")
        return self.strings[offset:stop].decode("utf-8", "replace")

    def records(self, table: int, words: int) -> Iterator[tuple[str, list[int]]]:
        """(code section, the first `words` numbers) of each record of the table whose place stands at `table`."""
        header = self.number(4)
        if header < table + 8:  # an older, shorter header: no such table
            return
        at = header + self.number(table)
        end = at + self.number(table + 4)
        if end > len(self.ext.data):
            raise _broken(self.ext, table, "table ends after its section")
        if at == end:
            return
        size = self.number(at)
        if size < 4 * words or size % 4:
            raise _broken(self.ext, at, f"records of {size} bytes")
        at += 4
        while at < end:
            section, count = self.string(self.number(at)), self.number(at + 4)
            at += 8
            if count * size > end - at:
                raise _broken(self.ext, at - 4, f"{count} records do not fit")
            for _ in range(count):
                yield section, [self.number(at + 4 * word) for word in range(words)]
                at += size


def open_ext(elf: Elf) -> Ext | None:
    """The object's .BTF.ext, if it has one. Raises BadObject."""
    btf, ext = elf.named(".BTF"), elf.named(".BTF.ext")
    if btf is None or ext is None or not ext.data:
        return None
    for section in (btf, ext):
        if _number(elf, section, 0, 2) != MAGIC:
            raise _broken(section, 0, "no BTF magic number 0xeb9f")
    start = _number(elf, btf, 4, 4) + _number(elf, btf, 16, 4)
    length = _number(elf, btf, 20, 4)
    if start + length > len(btf.data):
        raise _broken(btf, 16, "strings end after their section")
    return Ext(elf, ext, btf.data[start : start + length])


def core_relocations(ext: Ext) -> dict[str, list[int]]:
    """Code section -> offsets of the instructions that a CO-RE relocation wants to patch."""
    found: dict[str, list[int]] = {}
    for section, (offset,) in ext.records(_CORE, 1):
        found.setdefault(section, []).append(offset)
    return found


def line_info(ext: Ext) -> dict[tuple[str, int], Line]:
    """(code section, offset) -> the source line that starts there, with its text."""
    lines: dict[tuple[str, int], Line] = {}
    for section, (offset, file, text, position) in ext.records(_LINE_INFO, 4):
        name = posixpath.normpath(ext.string(file)) if file else ""
        lines[section, offset] = Line(name, position >> 10, ext.string(text).strip(), position & 0x3FF)
    return lines


def _number(elf: Elf, section: Section, at: int, size: int) -> int:
    if at + size > len(section.data):
        raise _broken(section, at, "ends too early")
    return int.from_bytes(section.data[at : at + size], "big" if elf.order == "big" else "little")


def _broken(section: Section, at: int, what: str) -> BadObject:
    return BadObject(what, place=f"section {section.name}+0x{at:x}", remedy="compile again, or without -g")

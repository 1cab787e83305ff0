"""Source lines from .debug_line (DWARF 2 to 5, section 6.2 of each standard).

Our own reader rather than pyelftools': it needs no .debug_info, knows which section an address belongs to (in a
relocatable file every section starts at 0, only the relocation tells), and is bounded by the section's length
whatever the bytes say.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from bpf.errors import BadObject
from bpf.object.reader import Elf, Section
from bpf.program import Line

Place = tuple[int, int]  # section index, byte offset

# Content types of a DWARF 5 file entry, and the forms that clang gives them (sections 6.2.4.1 and 7.5.6).
_LNCT_PATH, _LNCT_DIRECTORY = 1, 2
_FORM_DATA2, _FORM_DATA4, _FORM_DATA8, _FORM_STRING, _FORM_BLOCK = 0x05, 0x06, 0x07, 0x08, 0x09
_FORM_DATA1, _FORM_STRP, _FORM_UDATA, _FORM_DATA16, _FORM_LINE_STRP = 0x0B, 0x0E, 0x0F, 0x1E, 0x1F


def line_table(elf: Elf) -> dict[Place, Line]:
    """Where each source line starts. Raises BadObject naming the offset in .debug_line."""
    section = elf.named(".debug_line")
    table: dict[Place, Line] = {}
    if section is None or not section.data:
        return table
    cursor = Cursor(section, elf)
    while cursor.at < len(section.data):
        table.update(_unit(cursor))
    return table


@dataclass(slots=True)
class Cursor:
    """Reads a debug section from front to back. `end` is where the unit in hand ends."""

    section: Section
    elf: Elf
    at: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        self.end = len(self.section.data)

    def broken(self, what: str) -> BadObject:
        """The error that something is wrong here."""
        return BadObject(
            what, place=f"section {self.section.name}+0x{self.at:x}", remedy="compile again, or without -g"
        )

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.end - self.at:
            raise self.broken("debug information ends too early")
        self.at += size
        return self.section.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        """An unsigned number of `size` bytes, relocated."""
        place = self.at
        value = int.from_bytes(self.take(size), "big" if self.elf.order == "big" else "little")
        relocation = self.section.relocations.get(place)
        if relocation is not None and relocation.symbol < len(self.elf.symbols):
            value += self.elf.symbols[relocation.symbol].value
        return value

    def uleb(self) -> int:
        """An unsigned LEB128 number."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 64:
                raise self.broken("LEB128 number of more than 64 bits")

    def sleb(self) -> int:
        """A signed LEB128 number."""
        before = self.at
        value = self.uleb()
        bits = 7 * (self.at - before)
        return value - (1 << bits) if value >> (bits - 1) else value

    def string(self) -> str:
        """A string up to its zero byte."""
        stop = self.section.data.find(b"\0", self.at, self.end)
        if stop < 0:
            raise self.broken("string without an end")
        return self.take(stop + 1 - self.at)[:-1].decode("utf-8", "replace")

    def string_in(self, name: str) -> str:
        """A string in another section, at the offset that stands here."""
        offset = self.number(4)
        other = self.elf.named(name)
        stop = -1 if other is None else other.data.find(b"\0", offset)
        if other is None or stop < 0:
            raise self.broken(f"string outside of {name}")
        return other.data[offset:stop].decode("utf-8", "replace")


@dataclass(slots=True)
class _Header:
    step: int
    line_base: int
    line_range: int
    operands: list[int]
    directories: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # by file number; DWARF 2 to 4 count from 1

    def path(self, name: str, directory: int) -> str:
        base = self.directories[directory] if 0 <= directory < len(self.directories) else ""
        return posixpath.normpath(posixpath.join(base, name)) if name else ""


def _unit(cursor: Cursor) -> Iterator[tuple[Place, Line]]:
    cursor.end = len(cursor.section.data)
    length = cursor.number(4)
    if length >= 0xFFFFFFF0:
        raise cursor.broken("64-bit DWARF is not supported")
    if length > cursor.end - cursor.at:
        raise cursor.broken("line table ends after its section")
    cursor.end = cursor.at + length
    version = cursor.number(2)
    if not 2 <= version <= 5:
        raise cursor.broken(f"line table of DWARF version {version}; 2 to 5 are known")
    header = _header(cursor, version)
    yield from _rows(cursor, header)


def _header(cursor: Cursor, version: int) -> _Header:
    if version == 5:
        cursor.take(2)  # sizes of an address and of a segment selector
    header_length = cursor.number(4)
    program = cursor.at + header_length
    step = cursor.number(1)
    if version >= 4:
        cursor.take(1)  # operations per instruction: 1 but for VLIW machines
    cursor.take(1)  # whether a row is a statement by default; every row is taken
    line_base = cursor.number(1)
    line_range = cursor.number(1)
    if not line_range:
        raise cursor.broken("line_range is 0")
    operands = list(cursor.take(max(cursor.number(1) - 1, 0)))
    header = _Header(step, line_base - 256 if line_base > 127 else line_base, line_range, operands)
    if version == 5:
        header.directories = [name for name, _ in _entries(cursor)]
        header.files = [header.path(name, directory) for name, directory in _entries(cursor)]
    else:
        header.directories, header.files = [""], [""]
        while name := cursor.string():
            header.directories.append(name)
        while name := cursor.string():
            header.files.append(header.path(name, cursor.uleb()))
            cursor.uleb(), cursor.uleb()  # time and size
    if not cursor.at <= program <= cursor.end:
        raise cursor.broken("header of the line table has another length than it says")
    cursor.at = program
    return header


def _entries(cursor: Cursor) -> list[tuple[str, int]]:
    """A DWARF 5 list of directories or files: (name, directory number)."""
    formats = [(cursor.uleb(), cursor.uleb()) for _ in range(cursor.number(1))]
    count = cursor.uleb()
    if count > cursor.end - cursor.at or (count and not formats):
        raise cursor.broken(f"list of {count} files does not fit")
    out = []
    for _ in range(count):
        values: dict[int, str | int] = {}
        for content, form in formats:
            values[content] = _value(cursor, form)
        directory = values.get(_LNCT_DIRECTORY, 0)
        out.append((str(values.get(_LNCT_PATH, "")), directory if isinstance(directory, int) else 0))
    return out


def _value(cursor: Cursor, form: int) -> str | int:
    sizes = {_FORM_DATA1: 1, _FORM_DATA2: 2, _FORM_DATA4: 4, _FORM_DATA8: 8, _FORM_DATA16: 16}
    if form in sizes:
        return cursor.number(sizes[form])
    if form == _FORM_UDATA:
        return cursor.uleb()
    if form == _FORM_STRING:
        return cursor.string()
    if form == _FORM_STRP:
        return cursor.string_in(".debug_str")
    if form == _FORM_LINE_STRP:
        return cursor.string_in(".debug_line_str")
    if form == _FORM_BLOCK:
        return cursor.take(cursor.uleb()).hex()
    raise cursor.broken(f"form 0x{form:x} is not known")


def _rows(cursor: Cursor, header: _Header) -> Iterator[tuple[Place, Line]]:
    """Run the line program. Line 0 means code that no line asked for: such a row is left out."""
    opcode_base = len(header.operands) + 1
    section, address, file, line, column = -1, 0, 1, 1, 0

    def row() -> Iterator[tuple[Place, Line]]:
        if section >= 0 and line > 0:
            name = header.files[file] if 0 <= file < len(header.files) else ""
            yield (section, address), Line(name, line, column=column)

    while cursor.at < cursor.end:
        opcode = cursor.number(1)
        if opcode >= opcode_base:  # a special opcode: advance both and make a row
            advance, lines = divmod(opcode - opcode_base, header.line_range)
            address += advance * header.step
            line += header.line_base + lines
            yield from row()
        elif opcode == 0:  # an extended opcode
            size = cursor.uleb()
            after = cursor.at + size
            if not 0 < size <= cursor.end - cursor.at:
                raise cursor.broken("extended line opcode does not fit")
            extended = cursor.number(1)
            if extended == 1:  # end_sequence
                section, address, file, line, column = -1, 0, 1, 1, 0
            elif extended == 2:  # set_address
                relocation = cursor.section.relocations.get(cursor.at)
                symbols = cursor.elf.symbols
                owner = symbols[relocation.symbol].section if relocation and relocation.symbol < len(symbols) else -1
                section = owner if isinstance(owner, int) else -1
                address = cursor.number(size - 1)
            cursor.at = after
        elif opcode == 1:  # copy
            yield from row()
        elif opcode == 2:  # advance_pc
            address += cursor.uleb() * header.step
        elif opcode == 3:  # advance_line
            line += cursor.sleb()
        elif opcode == 4:  # set_file
            file = cursor.uleb()
        elif opcode == 5:  # set_column
            column = cursor.uleb()
        elif opcode == 8:  # const_add_pc
            address += (255 - opcode_base) // header.line_range * header.step
        elif opcode == 9:  # fixed_advance_pc
            address += cursor.number(2)
        else:  # the others concern rows' flags; an unknown one says how many operands to skip
            for _ in range(header.operands[opcode - 1]):
                cursor.uleb()

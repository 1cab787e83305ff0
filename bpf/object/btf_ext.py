""".BTF.ext: which type a function has, which source line an instruction came from, what CO-RE wants patched."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from bpf.errors import BadObject
from bpf.object.btf import Btf
from bpf.object.btf_wire import MAGIC
from bpf.program import Line

Spot = tuple[str, int]  # name of a code section, byte offset

_FUNC_INFO, _LINE_INFO, _CORE = 8, 16, 24  # where the header says where each table is
_NAME = ".BTF.ext"


class Ask(IntEnum):
    """What a CO-RE relocation asks of the target's types: enum bpf_core_relo_kind."""

    BYTE_OFFSET = 0
    BYTE_SIZE = 1
    FIELD_EXISTS = 2
    SIGNED = 3
    LSHIFT = 4
    RSHIFT = 5
    LOCAL_ID = 6
    TARGET_ID = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    VALUE_EXISTS = 10
    VALUE = 11
    TYPE_MATCHES = 12


@dataclass(frozen=True, slots=True)
class Relo:
    """A CO-RE relocation: patch the instruction at `offset`. access: indices from the type on, "0:1:2"."""

    offset: int
    type: int
    access: str
    ask: Ask


@dataclass(frozen=True, slots=True)
class Ext:
    """What .BTF.ext says, by place."""

    functions: dict[Spot, int] = field(default_factory=dict)
    lines: dict[Spot, Line] = field(default_factory=dict)
    core: dict[str, tuple[Relo, ...]] = field(default_factory=dict)


def decode_ext(data: bytes, types: Btf) -> Ext:
    """Read .BTF.ext beside the .BTF it belongs to. Raises BadObject naming the place."""
    reader = _Reader(data, types)
    if reader.number(0, 2) != MAGIC:
        raise _broken(0, "no BTF magic number 0xeb9f")
    functions = {}
    for section, at, (offset, type_) in reader.records(_FUNC_INFO, 2):
        functions[section, offset] = reader.type(type_, at)
    lines = {}
    for section, at, (offset, file, text, position) in reader.records(_LINE_INFO, 4):
        name = posixpath.normpath(reader.string(file, at)) if file else ""
        lines[section, offset] = Line(name, position >> 10, reader.string(text, at).strip(), position & 0x3FF)
    core: dict[str, list[Relo]] = {}
    for section, at, (offset, type_, access, ask) in reader.records(_CORE, 4):
        if ask not in _ASKS:
            raise _broken(at + 12, f"CO-RE relocation of unknown kind {ask}")
        core.setdefault(section, []).append(Relo(offset, reader.type(type_, at), reader.string(access, at), _ASKS[ask]))
    return Ext(functions, lines, {section: tuple(relos) for section, relos in core.items()})


_ASKS = {int(ask): ask for ask in Ask}


@dataclass(frozen=True, slots=True)
class _Reader:
    data: bytes
    types: Btf

    def number(self, at: int, size: int = 4) -> int:
        if at + size > len(self.data):
            raise _broken(at, "ends too early")
        return int.from_bytes(self.data[at : at + size], "big" if self.types.order == "big" else "little")

    def string(self, offset: int, at: int) -> str:
        return self.types.string(offset, f"section {_NAME}+0x{at:x}")

    def type(self, number: int, at: int) -> int:
        if not 0 < number < len(self.types):
            raise _broken(at + 4, f"type {number} is not there")
        return number

    def records(self, table: int, words: int) -> Iterator[tuple[str, int, list[int]]]:
        """(code section, place, the first `words` numbers) of each record of the table whose place is at `table`."""
        header = self.number(4)
        if header < table + 8:  # an older, shorter header: no such table
            return
        at = header + self.number(table)
        end = at + self.number(table + 4)
        if end > len(self.data):
            raise _broken(table, "table ends after its section")
        if at == end:
            return
        size = self.number(at)
        if size < 4 * words or size % 4:
            raise _broken(at, f"records of {size} bytes")
        at += 4
        while at < end:
            section, count = self.string(self.number(at), at), self.number(at + 4)
            at += 8
            if count * size > end - at:
                raise _broken(at - 4, f"{count} records do not fit")
            for _ in range(count):
                yield section, at, [self.number(at + 4 * word) for word in range(words)]
                at += size


def _broken(at: int, what: str) -> BadObject:
    return BadObject(what, place=f"section {_NAME}+0x{at:x}", remedy="compile again, or without -g")

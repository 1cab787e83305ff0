"""Static linking: several object files as one, names resolved between them.

Sections of one name are joined in the order of the files; so are declarations and types. A global symbol is defined
once: a weak definition gives way to a strong one, or to an earlier weak one, and then stays as a local symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bpf.errors import BadObject, CrossbpfError
from bpf.object.btf import VOID, Btf, Type
from bpf.object.btf_ext import Ext, Relo
from bpf.object.dwarf import Place
from bpf.object.parts import Parts, open_parts
from bpf.object.reader import MAX_DATA, Elf, Relocation, Section, Symbol
from bpf.order import Order
from bpf.program import Line

_SAID_ONCE = ("license", "version")


def link(files: Sequence[tuple[str, bytes]]) -> Parts:
    """(name, bytes) of each file -> one object for `Object`.

    Raises BadObject for a broken file, files of both byte orders, and what is defined twice.
    """
    if not files:
        raise BadObject("no files to link")
    opened: list[tuple[str, Parts]] = []
    for name, data in files:
        try:
            opened.append((name, open_parts(data)))
        except CrossbpfError as error:
            raise error.at(file=name) from None
    first, parts = opened[0]
    if len(opened) == 1:
        return parts
    linker = _Linker(parts.elf.order)
    for name, parts in opened:
        if parts.elf.order != linker.order:
            raise BadObject(f"{parts.elf.order}-endian, and {first} is {linker.order}-endian", file=name)
        linker.add(name, parts)
    return linker.finish()


@dataclass(slots=True)
class _Linker:
    order: Order
    sections: list[Section] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    types: list[Type] = field(default_factory=list)
    strings: bytes = b"\0"
    ext: Ext = field(default_factory=Ext)
    lines: dict[Place, Line] = field(default_factory=dict)
    _by_name: dict[str, int] = field(default_factory=dict)  # section -> index
    _owner: dict[str, tuple[str, int]] = field(default_factory=dict)  # global symbol -> file, number
    _undefined: dict[str, int] = field(default_factory=dict)
    _size: int = 0

    def add(self, file: str, parts: Parts) -> None:
        """Append a file."""
        moved = [self._section(file, parts, section) for section in parts.elf.sections]
        numbers = [self._symbol(file, parts, symbol, moved) for symbol in parts.elf.symbols]
        for section, (index, base) in zip(parts.elf.sections, moved, strict=True):
            target = self.sections[index].relocations
            for relocation in section.relocations.values():
                number = numbers[relocation.symbol] if relocation.symbol < len(numbers) else 1 << 32
                at = relocation.offset + base
                target[at] = Relocation(at, relocation.kind, number)
        for (index, offset), line in parts.lines.items():
            if 0 <= index < len(moved):
                self.lines[moved[index][0], moved[index][1] + offset] = line
        if parts.types is not None:
            self._types(parts, parts.types, moved)

    def finish(self) -> Parts:
        """The whole."""
        types = Btf((VOID, *self.types), self.order, self.strings) if self.types else None
        return Parts(Elf(self.order, tuple(self.sections), tuple(self.symbols)), types, self.ext, self.lines)

    # -- sections and symbols -------------------------------------------------------------------------------------

    def _section(self, file: str, parts: Parts, section: Section) -> tuple[int, int]:
        """(index, offset) of where a section of a file goes."""
        index = self._by_name.get(section.name, -1)
        kept = section.allocated and bool(section.name)
        if index < 0 or not kept:
            index = len(self.sections)
            if kept:
                self._by_name[section.name] = index
            copy = replace(section, index=index, relocations={}, data=section.data if kept else b"")
            self.sections.append(copy)
            return index, 0
        there = self.sections[index]
        if there.code != section.code:
            raise BadObject(f"section {section.name} is code in one file and data in another", file=file)
        if section.name in _SAID_ONCE:
            if there.data.rstrip(b"\0") != section.data.rstrip(b"\0"):
                raise BadObject(f"section {section.name} says something else than an earlier file's", file=file)
            return index, 0
        base = len(there.data) + -len(there.data) % section.align
        self._size += base + len(section.data) - len(there.data)
        if self._size > MAX_DATA:
            raise BadObject(f"all sections together have more than {MAX_DATA} bytes", file=file)
        there.data = there.data.ljust(base, b"\0") + section.data
        there.align = max(there.align, section.align)
        there.writable |= section.writable
        return index, base

    def _symbol(self, file: str, parts: Parts, symbol: Symbol, moved: Sequence[tuple[int, int]]) -> int:
        """The number of a symbol of a file in the whole."""
        here = symbol
        if isinstance(symbol.section, int) and symbol.section < len(moved):
            index, base = moved[symbol.section]
            here = replace(symbol, section=index, value=symbol.value + base)
        if symbol.binding == "LOCAL" or not symbol.name:
            return self._append(here)
        if symbol.section == "UNDEF":
            if symbol.name in self._owner:
                return self._owner[symbol.name][1]
            number = self._undefined.get(symbol.name)
            if number is None:
                number = self._undefined[symbol.name] = self._append(here)
            elif symbol.binding != "WEAK":
                self.symbols[number] = replace(self.symbols[number], binding=symbol.binding)
            return number
        if symbol.name not in self._owner:
            number = self._undefined.pop(symbol.name, -1)
            number = self._append(here) if number < 0 else number
            self.symbols[number] = here
            self._owner[symbol.name] = file, number
            return number
        if symbol.name in _SAID_ONCE or self._said_once(here):
            return self._owner[symbol.name][1]
        owner, number = self._owner[symbol.name]
        before = self.symbols[number]
        if symbol.binding != "WEAK" and before.binding != "WEAK":
            raise BadObject(f"{symbol.name} is defined here and in {owner}", file=file, remedy="make one static")
        if symbol.binding != "WEAK":  # the strong one takes the number that references have
            self._append(replace(before, binding="LOCAL"))
            self.symbols[number] = here
            self._owner[symbol.name] = file, number
        else:
            self._append(replace(here, binding="LOCAL"))
        return number

    def _said_once(self, symbol: Symbol) -> bool:
        return isinstance(symbol.section, int) and self.sections[symbol.section].name in _SAID_ONCE

    def _append(self, symbol: Symbol) -> int:
        self.symbols.append(symbol)
        return len(self.symbols) - 1

    # -- types ----------------------------------------------------------------------------------------------------

    def _types(self, parts: Parts, types: Btf, moved: Sequence[tuple[int, int]]) -> None:
        shift = len(self.types)
        # Sections of one name that are one here: data sections by their first, as `moved` joined them.
        pairs = list(zip(parts.elf.sections, moved, strict=True))
        bases = {section.name: base for section, (_, base) in reversed(pairs)}

        def new(number: int) -> int:
            return number + shift if number else 0

        for one in types.types[1:]:
            base = bases.get(one.name, 0)
            self.types.append(
                replace(
                    one, type=new(one.type), index=new(one.index), size=one.size,
                    members=tuple(member._replace(type=new(member.type)) for member in one.members),
                    params=tuple(param._replace(type=new(param.type)) for param in one.params),
                    variables=tuple(
                        variable._replace(type=new(variable.type), offset=variable.offset + base)
                        for variable in one.variables
                    ),
                )
            )  # fmt: skip
        for (section, offset), number in parts.ext.functions.items():
            self.ext.functions[section, offset + bases.get(section, 0)] = new(number)
        for (section, offset), line in parts.ext.lines.items():
            self.ext.lines[section, offset + bases.get(section, 0)] = line
        for section, relos in parts.ext.core.items():
            base = bases.get(section, 0)
            moved_relos = (Relo(relo.offset + base, new(relo.type), relo.access, relo.ask) for relo in relos)
            self.ext.core[section] = (*self.ext.core.get(section, ()), *moved_relos)

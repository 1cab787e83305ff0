"""Map declarations: section .maps, written with types, and the old section maps, written with numbers.

In .maps a map is a variable of a struct type whose members' types carry the values: `int (*max_entries)[10]` says 10,
`struct key *key` the key's type. The bytes hold nothing but initial values: maps of a map-in-map, programs of a
prog array.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bpf.errors import BadObject
from bpf.object.btf import ENUMS, Btf, Kind, Member
from bpf.object.dwarf import Place
from bpf.object.parts import Parts
from bpf.object.reader import Section, Symbol
from bpf.program import Map
from bpf.spec.maps import BY_NUMBER

BTF_SECTION, OLD_SECTION = ".maps", "maps"

RDONLY_PROG = 1 << 7
MAX_SLOTS = 1 << 16  # initial values of one map
_OLD_SIZE = 20  # struct bpf_map_def: type, key_size, value_size, max_entries, map_flags
_NUMBERS = ("type", "max_entries", "map_flags", "numa_node", "key_size", "value_size", "map_extra", "pinning")
_OF_MAPS = ("array_of_maps", "hash_of_maps")


@dataclass(frozen=True, slots=True)
class Declared:
    """A map where it is declared. size: bytes of the declaration; values: where in it they start, -1: none."""

    map: Map
    size: int
    values: int = -1


def declared(parts: Parts) -> dict[Place, Declared]:
    """Every map that an object declares, by its place. Raises BadObject for a declaration that says no map."""
    found: dict[Place, Declared] = {}
    for section in parts.elf.sections:
        if section.code or section.name not in (BTF_SECTION, OLD_SECTION) or not section.data:
            continue
        read = _typed if section.name == BTF_SECTION else _old
        found.update(read(parts, section))
    return dict(sorted(found.items()))


def _symbols(parts: Parts, section: Section) -> list[Symbol]:
    """The variables of a section in order, one for each place."""
    found: dict[int, Symbol] = {}
    for symbol in parts.elf.symbols:
        if symbol.section == section.index and symbol.kind in ("OBJECT", "NOTYPE") and symbol.name:
            found.setdefault(symbol.value, symbol)
    return [found[value] for value in sorted(found)]


# Section maps ----------------------------------------------------------------------------------------------------


def _old(parts: Parts, section: Section) -> Iterator[tuple[Place, Declared]]:
    symbols = _symbols(parts, section)
    if not symbols:
        raise BadObject("no map has a name", place=f"section {section.name}")
    size, left = divmod(len(section.data), len(symbols))
    if left or size < _OLD_SIZE:
        raise BadObject(
            f"{len(symbols)} maps in {len(section.data)} bytes; each is a struct of the same size, {_OLD_SIZE} or more",
            place=f"section {section.name}", remedy="declare maps in section .maps",
        )  # fmt: skip
    for symbol in symbols:
        place = parts.at(section.index, symbol.value)
        raw = section.data[symbol.value : symbol.value + size]
        if symbol.value % size or len(raw) < size:
            raise BadObject(f"map {symbol.name} is between two declarations", place=place)
        if any(raw[_OLD_SIZE:]):
            raise BadObject(f"map {symbol.name} has options that are not known", place=place)
        kind, key, value, entries, flags = struct.unpack_from(("<" if parts.elf.order == "little" else ">") + "5I", raw)
        map_ = Map(
            symbol.name, _kind(kind, symbol.name, place), key, value, entries, flags=flags,
            readonly=bool(flags & RDONLY_PROG),
        )  # fmt: skip
        yield (section.index, symbol.value), Declared(map_, size)


def _kind(number: int, name: str, place: str) -> str:
    found = BY_NUMBER.get(number)
    if found is None:
        raise BadObject(f"map {name} is of type {number}, which is not known", place=place)
    return found.name


# Section .maps ---------------------------------------------------------------------------------------------------


def _typed(parts: Parts, section: Section) -> Iterator[tuple[Place, Declared]]:
    types = parts.types
    if types is None:
        raise BadObject("maps are declared with types, and there are none", place=f"section {section.name}",
                        remedy="compile with -g")  # fmt: skip
    variables = parts.variables(section.name)
    for symbol in _symbols(parts, section):
        place = parts.at(section.index, symbol.value)
        number = variables.get(symbol.value, 0)
        if not number or types[number].kind is not Kind.VAR:
            number = next((n for n in types.named(symbol.name) if types[n].kind is Kind.VAR), 0)
        struct_ = types.strip(types[number].type) if number else 0
        if types[struct_].kind is not Kind.STRUCT:
            raise BadObject(f"map {symbol.name} is not declared as a struct", place=place)
        size = types.size(struct_)
        if symbol.value + size > len(section.data):
            raise BadObject(f"map {symbol.name} ends after its section", place=place)
        reader = _Declaration(types, symbol.name, place)
        yield (section.index, symbol.value), Declared(reader.map(struct_), size, reader.values)


@dataclass(slots=True)
class _Declaration:
    """Reads one declaration."""

    types: Btf
    name: str
    place: str
    values: int = -1

    def wrong(self, what: str) -> BadObject:
        return BadObject(f"map {self.name}: {what}", place=self.place)

    def map(self, number: int, *, inner: bool = False) -> Map:
        said: dict[str, int] = {}
        elements: Member | None = None
        for member in self.types[number].members:
            if member.name in said:
                raise self.wrong(f"{member.name} is said twice")
            if member.name in _NUMBERS:
                said[member.name] = self.number(member)
            elif member.name in ("key", "value"):
                said[member.name] = self.pointed(member)
            elif member.name == "values" and not inner:
                elements = member
            else:
                raise self.wrong(f"member {member.name or '(anon)'} says nothing about a map")
        if "type" not in said:
            raise self.wrong("has no type")
        kind = _kind(said["type"], self.name, self.place)
        flags = said.get("map_flags", 0)
        made = Map(
            self.name, kind, self.size("key", said), self.size("value", said), said.get("max_entries", 0), flags=flags,
            readonly=bool(flags & RDONLY_PROG), pinned=bool(said.get("pinning", 0)), extra=said.get("map_extra", 0),
            key_type=said.get("key", 0), value_type=said.get("value", 0),
            lock=self.special(said.get("value", 0), "bpf_spin_lock"),
            timer=self.special(said.get("value", 0), "bpf_timer"),
        )  # fmt: skip
        return made if elements is None else self.with_values(made, elements)

    def number(self, member: Member) -> int:
        """What `__uint(name, value)` says, or `__ulong`, an enum with one enumerator."""
        one = self.types[self.types.strip(member.type)]
        if one.kind in ENUMS and len(one.values) == 1:
            return one.values[0].value & (1 << 64) - 1
        array = self.types[self.types.strip(one.type)] if one.kind is Kind.PTR else one
        if one.kind is not Kind.PTR or array.kind is not Kind.ARRAY:
            raise self.wrong(f"{member.name} is not written with __uint")
        return array.count

    def pointed(self, member: Member) -> int:
        one = self.types[self.types.strip(member.type)]
        if one.kind is not Kind.PTR or not one.type or not self.types.size(one.type):
            raise self.wrong(f"{member.name} is not written with __type, or has no size")
        return one.type

    def special(self, number: int, name: str) -> int | None:
        """Where in a value a struct of the kernel's is."""
        for member in self.types[self.types.strip(number)].members:
            inner = self.types[self.types.strip(member.type)]
            if inner.kind is Kind.STRUCT and inner.name == name:
                return member.offset // 8
        return None

    def size(self, what: str, said: dict[str, int]) -> int:
        """key_size or value_size, said by number or by type."""
        by_type = self.types.size(said[what]) if what in said else None
        by_number = said.get(f"{what}_size", by_type)
        if by_type is not None and by_number != by_type:
            raise self.wrong(f"{what}_size is {by_number}, but its type has {by_type} bytes")
        if by_number is not None and not by_number < 1 << 32:
            raise self.wrong(f"{what} of {by_number} bytes")
        return by_number or 0

    def with_values(self, made: Map, member: Member) -> Map:
        """The map with what `__array(values, ...)` says of its elements."""
        array = self.types[self.types.strip(member.type)]
        pointer = self.types[self.types.strip(array.type)]
        number = self.types.strip(pointer.type)
        element = self.types[number].kind
        if array.kind is not Kind.ARRAY or array.count or pointer.kind is not Kind.PTR:
            raise self.wrong("values is not written with __array")
        if (element is Kind.STRUCT) != (made.kind in _OF_MAPS) or (
            element is Kind.FUNC_PROTO) != (made.kind == "prog_array"):  # fmt: skip
            raise self.wrong(f"values of this type do not go into a map of type {made.kind}")
        self.values = member.offset // 8
        made = replace(made, key_size=made.key_size or 4, value_size=made.value_size or 4)
        if element is Kind.STRUCT:
            reader = _Declaration(self.types, f"{made.name}.inner", self.place)
            made = replace(made, inner=reader.map(number, inner=True))
        return made

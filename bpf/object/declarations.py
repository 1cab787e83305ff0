"""Map declarations: section .maps, written with types, and the old section maps, written with numbers.

In .maps a map is a variable of a struct type whose members' types carry the values: `int (*max_entries)[10]` says 10,
`struct key *key` the key's type. The bytes hold nothing but initial values: maps of a map-in-map, programs of a
prog array.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bpf.errors import BadObject
from bpf.object.btf import ENUMS, Btf, Kind, Member
from bpf.object.dwarf import Place
from bpf.object.parts import Parts
from bpf.object.reader import Section, Symbol
from bpf.program import Map
from bpf.spec import layout
from bpf.spec.maps import BY_NUMBER, NUMA_NODE

BTF_SECTION, OLD_SECTION = ".maps", "maps"

RDONLY_PROG = 1 << 7
MAX_SLOTS = 1 << 16  # initial values of one map
_PAGE = 4096
_MOST = 0xFFFFFFFF

# What a declaration of section maps holds behind type, key_size, value_size, max_entries and flags, by its bytes: of
# libbpf's struct bpf_map_def, of the kernel's samples or an early iproute2 (the same size), of tc's bpf_elf_map.
_OLD_SIZE, _MIDDLE_SIZE, _TC_SIZE = 20, 28, 36
_NUMBERS = ("type", "max_entries", "map_flags", "numa_node", "key_size", "value_size", "map_extra", "pinning")
_OF_MAPS = ("array_of_maps", "hash_of_maps")


@dataclass(frozen=True, slots=True)
class Declared:
    """A map where it is declared.

    size     bytes of the declaration
    values   where in it initial values start, -1: none
    members  index -> the map that other numbers of the declarations put there
    """

    map: Map
    size: int
    values: int = -1
    members: Mapping[int, Place] = field(default_factory=dict)


def declared(parts: Parts) -> dict[Place, Declared]:
    """Every map that an object declares, by its place. Raises BadObject for a declaration that says no map."""
    found: dict[Place, Declared] = {}
    for section in parts.elf.sections:
        if section.code or section.name not in (BTF_SECTION, OLD_SECTION) or not section.data:
            continue
        read = _typed if section.name == BTF_SECTION else _old
        found.update(read(parts, section))
    return {place: replace(one, map=_sized(one.map)) for place, one in sorted(found.items())}


def _sized(map_: Map) -> Map:
    """The map with the number of elements that libbpf makes of the declared one."""
    most = map_.max_entries
    if map_.kind == "perf_event_array" and not most:
        most = layout.CPUS
    elif map_.kind in ("ringbuf", "user_ringbuf") and 0 < most <= _MOST:
        pages = 1 << (-(-most // _PAGE) - 1).bit_length()
        most = pages * _PAGE if pages * _PAGE <= _MOST else most  # what cannot be rounded is the kernel's to refuse
    return replace(map_, max_entries=most, inner=map_.inner and _sized(map_.inner))


def _symbols(parts: Parts, section: Section) -> list[Symbol]:
    """The variables of a section in order, one for each place."""
    found: dict[int, Symbol] = {}
    for symbol in parts.elf.symbols:
        if symbol.section == section.index and symbol.kind in ("OBJECT", "NOTYPE") and symbol.name:
            found.setdefault(symbol.value, symbol)
    return [found[value] for value in sorted(found)]


def _kind(number: int, name: str, place: str) -> str:
    found = BY_NUMBER.get(number)
    if found is None:
        raise BadObject(f"map {name} is of type {number}, which is not known", place=place)
    return found.name


# Section maps ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A declaration of section maps.

    id       what other declarations call the map by, 0: nothing
    inner    the id of a map-in-map's inner map, 0: none
    index    of the inner map in the outer one
    sibling  which declaration of the section is the inner map, -1: none is said so
    """

    map: Map
    size: int
    id: int = 0
    inner: int = 0
    index: int = 0
    sibling: int = -1


def _old(parts: Parts, section: Section) -> Iterator[tuple[Place, Declared]]:
    symbols = _symbols(parts, section)
    if not symbols:
        raise BadObject("no map has a name", place=f"section {section.name}")
    ends = [*(symbol.value for symbol in symbols[1:]), len(section.data)]
    read = [_numbers(parts, section, symbol, end - symbol.value) for symbol, end in zip(symbols, ends, strict=True)]
    places = [(section.index, symbol.value) for symbol in symbols]
    for place, one in zip(places, read, strict=True):
        said = parts.at(*place)
        if one.map.kind not in _OF_MAPS:
            yield place, Declared(one.map, one.size)
            continue
        like, members = None, {}
        for number, other in enumerate(read):
            if one.inner and one.inner == other.id:
                like = other.map
                members[other.index] = places[number]
            elif one.sibling == number:
                like = other.map
        if like is None:
            raise BadObject(f"map {one.map.name} does not say what its maps are like", place=said,
                            remedy="declare it in section .maps")  # fmt: skip
        if max(members, default=0) >= max(min(one.map.max_entries, MAX_SLOTS), 1):
            raise BadObject(f"map {one.map.name} has a value at index {max(members)}, beyond its end", place=said)
        inner = replace(like, name=f"{one.map.name}.inner", pinned=False)
        yield place, Declared(replace(one.map, inner=inner), one.size, members=members)


def _numbers(parts: Parts, section: Section, symbol: Symbol, size: int) -> _Numbers:
    place = parts.at(section.index, symbol.value)
    raw = section.data[symbol.value : symbol.value + size]
    size = len(raw)  # the next symbol may lie behind the section
    if size < _OLD_SIZE:
        raise BadObject(
            f"map {symbol.name} is declared in {size} bytes: a struct of {_OLD_SIZE} or more is needed",
            place=place, remedy="declare maps in section .maps",
        )  # fmt: skip
    words = struct.unpack_from(("<" if parts.elf.order == "little" else ">") + f"{len(raw) // 4}I", raw)
    kind, key, value, entries, flags = words[:5]
    map_ = Map(
        symbol.name, _kind(kind, symbol.name, place), key, value, entries, flags=flags,
        readonly=bool(flags & RDONLY_PROG),
    )  # fmt: skip
    known = _TC_SIZE if size >= _TC_SIZE else _MIDDLE_SIZE if size >= _MIDDLE_SIZE else _OLD_SIZE
    if any(raw[known:]):
        raise BadObject(f"map {symbol.name} has options that are not known", place=place)
    if known == _TC_SIZE:
        return _Numbers(replace(map_, pinned=bool(words[6])), size, words[5], words[7], words[8])
    if known == _MIDDLE_SIZE and map_.kind in _OF_MAPS:
        return _Numbers(map_, size, sibling=words[5])
    if known == _MIDDLE_SIZE and not flags & NUMA_NODE:
        return _Numbers(replace(map_, pinned=bool(words[6])), size, words[5])
    return _Numbers(map_, size)


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


def value_type(map_: Map, types: Btf) -> int:
    """The type of a map's values, 0 for none: what its declaration says; of global data the section, as with libbpf."""
    return map_.value_type or (types.find(map_.name, Kind.DATASEC) if map_.is_data else 0) or 0

"""BTF: the types of a program or a kernel. btf_wire.py has their bytes, btf_check.py what must hold of them.

Documentation/bpf/btf.rst of Linux says what each kind means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from bpf.errors import BadObject
from bpf.order import Order

POINTER = 8  # bytes
SIGNED, CHAR, BOOL = 1, 2, 4  # encodings of an INT
LINKAGE = ("static", "global", "extern")

SECTION = "section .BTF"


class Kind(IntEnum):
    """BTF_KIND_*."""

    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


MODIFIERS = frozenset({Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
COMPOSITE = frozenset({Kind.STRUCT, Kind.UNION})
ENUMS = frozenset({Kind.ENUM, Kind.ENUM64})
REFERS = MODIFIERS | {Kind.PTR, Kind.TYPEDEF, Kind.FUNC, Kind.FUNC_PROTO, Kind.VAR, Kind.DECL_TAG}  # size is a type


class Member(NamedTuple):
    """A member of a struct or union. offset: in bits; bits: the width of a bit-field, else 0."""

    name: str
    type: int
    offset: int
    bits: int = 0


class Value(NamedTuple):
    """An enumerator; negative only in a signed enum."""

    name: str
    value: int


class Param(NamedTuple):
    """A parameter; a last one of type 0 without a name stands for `...`."""

    name: str
    type: int


class Variable(NamedTuple):
    """A variable (or extern function) in a section: bytes from offset on."""

    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Type:
    """One type.

    size       bytes: INT, FLOAT, STRUCT, UNION, ENUM, ENUM64, DATASEC
    type       what it refers to, 0 being void: an ARRAY's elements, what a FUNC_PROTO returns
    flag       kind_flag: bit-fields have widths, an enum is signed, a FWD is a union
    encoding   of an INT, with `offset` and `bits`
    index      the type that counts the `count` elements of an ARRAY
    linkage    of a FUNC or VAR: index into LINKAGE
    component  of a DECL_TAG: member or parameter, -1 for the whole
    items      members, enumerators, parameters or variables
    """

    kind: Kind
    name: str = ""
    size: int = 0
    type: int = 0
    flag: bool = False
    encoding: int = 0
    offset: int = 0
    bits: int = 0
    index: int = 0
    count: int = 0
    linkage: int = 0
    component: int = -1
    members: tuple[Member, ...] = ()
    values: tuple[Value, ...] = ()
    params: tuple[Param, ...] = ()
    variables: tuple[Variable, ...] = ()


VOID = Type(Kind.TYPEDEF, "void")


@dataclass(frozen=True)
class Btf:
    """Types by number; number 0 is void. strings: the table as it was read, into which .BTF.ext points."""

    types: Sequence[Type]
    order: Order = "little"
    strings: bytes = field(default=b"\0", repr=False, compare=False)

    def __hash__(self) -> int:
        return hash((len(self.types), self.order))  # not of thousands of types, each time that one is a key

    def __len__(self) -> int:
        return len(self.types)

    def __getitem__(self, number: int) -> Type:
        return self.types[number]

    def strip(self, number: int, *, typedefs: bool = True) -> int:
        """The type behind modifiers and typedefs."""
        while number and (
            self.types[number].kind in MODIFIERS or (typedefs and self.types[number].kind is Kind.TYPEDEF)
        ):
            number = self.types[number].type
        return number

    def size(self, number: int) -> int:
        """Size in bytes; 0 for what has none (void, functions, forward declarations)."""
        found = self.types[number]
        if found.kind is Kind.ARRAY:
            return found.count * self.size(found.type)
        if found.kind in MODIFIERS or found.kind in (Kind.TYPEDEF, Kind.VAR):
            return self.size(found.type) if number else 0
        return POINTER if found.kind is Kind.PTR else found.size

    def find(self, name: str, *kinds: Kind) -> int | None:
        """The number of the first type of that name and one of those kinds."""
        return next((n for n in self.named(name) if not kinds or self.types[n].kind in kinds), None)

    def named(self, name: str) -> Sequence[int]:
        """The numbers of all types of that name."""
        return self._by_name.get(name, ())

    def flavours(self, name: str) -> Sequence[int]:
        """The numbers of all types whose name is `name` but for a suffix ___x."""
        return self._by_essential.get(name, ())

    def string(self, offset: int, place: str = "") -> str:
        """A string of the table as it was read. Raises BadObject."""
        return string_at(self.strings, offset, place or SECTION)

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, type_ in enumerate(self.types):
            if number and type_.name:
                found.setdefault(type_.name, []).append(number)
        return found

    @cached_property
    def _by_essential(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for name, numbers in self._by_name.items():
            found.setdefault(essential(name), []).extend(numbers)
        return found


def essential(name: str) -> str:
    """A name without its flavour: what stands before the last ___ that has something on both sides."""
    at = name.rfind("___")
    while at > 0 and (name[at - 1] == "_" or name[at + 3 : at + 4] in ("", "_")):
        at = name.rfind("___", 0, at + 2)
    return name[:at] if at > 0 else name


def string_at(strings: bytes, offset: int, place: str) -> str:
    """The string at an offset of a table. Raises BadObject."""
    stop = strings.find(b"\0", offset) if offset < len(strings) else -1
    if stop < 0:
        raise BadObject(f"string {offset} is outside of .BTF", place=place, remedy="compile again, or without -g")
    return strings[offset:stop].decode("utf-8", "replace")

"""What must hold of types before they are believed: numbers exist, sizes fit, nothing contains itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bpf.errors import BadObject
from bpf.object.btf import COMPOSITE, ENUMS, LINKAGE, MODIFIERS, POINTER, REFERS, SECTION, VOID, Btf, Kind, Type
from bpf.order import Order

MAX_DEPTH = 64  # how deep types may nest; the kernel allows 32
MAX_SIZE = 1 << 32

_DECLARATIONS = frozenset({Kind.FUNC, Kind.VAR, Kind.DATASEC, Kind.DECL_TAG})  # no types of anything


def btf(types: Sequence[Type], order: Order = "little") -> Btf:
    """Types as a Btf; types[0] has number 1. Raises BadObject as `check` does."""
    made = Btf((VOID, *types), order)
    check(made)
    return made


def check(types: Btf) -> None:
    """Raise BadObject for a type that cannot be: see the module."""
    for number, one in enumerate(types.types[1:], 1):
        _check_references(types, number, one)
    _Depths(types, by_value=False).all()
    _Depths(types, by_value=True).all()
    sizes = [0] * len(types)
    done = [False] * len(types)
    for number in range(1, len(types)):
        _check_sizes(types, number, sizes, done)


def _wrong(number: int, one: Type, what: str) -> BadObject:
    name = f" {one.name}" if one.name else ""
    return BadObject(f"{one.kind.name}{name}: {what}", place=f"{SECTION}: type {number}", remedy="compile again")


def _refers_to(one: Type) -> list[int]:
    found = [item.type for items in (one.members, one.params, one.variables) for item in items]
    if one.kind in REFERS or one.kind is Kind.ARRAY:
        found.append(one.type)
    return found


def _check_references(types: Btf, number: int, one: Type) -> None:
    for other in _refers_to(one):
        if not 0 <= other < len(types):
            raise _wrong(number, one, f"type {other} is not there")
        kind = types[other].kind
        if one.kind is Kind.DATASEC:
            if kind not in (Kind.VAR, Kind.FUNC):
                raise _wrong(number, one, f"type {other} is no variable")
        elif one.kind is not Kind.DECL_TAG and kind in _DECLARATIONS:
            raise _wrong(number, one, f"type {other} is a {kind.name}")
    if one.kind is Kind.ARRAY and not 0 < one.index < len(types):
        raise _wrong(number, one, f"index type {one.index} is not there")
    if one.kind is Kind.FUNC and types[one.type].kind is not Kind.FUNC_PROTO:
        raise _wrong(number, one, f"type {one.type} is no FUNC_PROTO")
    if one.kind in (Kind.FUNC, Kind.VAR) and one.linkage >= len(LINKAGE):
        raise _wrong(number, one, f"linkage {one.linkage}")
    if one.kind is Kind.INT and (
        one.size not in (1, 2, 4, 8, 16) or not one.offset + one.bits <= 8 * one.size or not one.bits
    ):
        raise _wrong(number, one, f"{one.bits} bits at {one.offset} in {one.size} bytes")
    if one.kind in ENUMS and one.size not in (1, 2, 4, 8) and (one.size or one.values):  # `enum e;` has neither
        raise _wrong(number, one, f"{one.size} bytes")
    if one.kind is Kind.FLOAT and one.size not in (2, 4, 8, 12, 16):
        raise _wrong(number, one, f"{one.size} bytes")


@dataclass(slots=True)
class _Depths:
    """How deep each type nests: finds loops. by_value: through members; else through pointers and all but members."""

    types: Btf
    by_value: bool
    depth: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def all(self) -> None:
        for number in range(1, len(self.types)):
            self.of(number)

    def of(self, number: int) -> int:
        if not number:
            return 0
        known = self.depth.get(number)
        if known is not None:
            return known
        one = self.types[number]
        if number in self.open:
            raise _wrong(number, one, "contains itself")
        self.open.add(number)
        stop = (Kind.PTR, Kind.FUNC_PROTO) if self.by_value else COMPOSITE
        depth = 1 + (0 if one.kind in stop else max(map(self.of, _refers_to(one)), default=0))
        if depth > MAX_DEPTH or len(self.open) > 2 * MAX_DEPTH:
            raise _wrong(number, one, f"nests more than {MAX_DEPTH} deep")
        self.open.remove(number)
        self.depth[number] = depth
        return depth


def _check_sizes(types: Btf, number: int, sizes: list[int], done: list[bool]) -> int:
    """Size of a type, having checked that everything in it has one and lies within it."""
    if not number or done[number]:
        return sizes[number]
    one = types[number]
    size = one.size
    if one.kind is Kind.ARRAY:
        if not _sized(types, one.type):
            raise _wrong(number, one, f"type {one.type} of its elements has no size")
        size = one.count * _check_sizes(types, one.type, sizes, done)
        if size > MAX_SIZE:
            raise _wrong(number, one, f"{size} bytes")
    elif one.kind in MODIFIERS or one.kind in (Kind.TYPEDEF, Kind.VAR):
        size = _check_sizes(types, one.type, sizes, done)
    elif one.kind is Kind.PTR:
        size = POINTER
    for member in one.members:
        if not _sized(types, member.type):
            raise _wrong(number, one, f"type {member.type} of member {member.name} has no size")
        width = member.bits or 8 * _check_sizes(types, member.type, sizes, done)
        if member.bits:
            inner = types[types.strip(member.type)]
            if inner.kind not in ENUMS and inner.kind is not Kind.INT:
                raise _wrong(number, one, f"bit-field {member.name} is no integer")
            if member.bits > 8 * inner.size:
                raise _wrong(number, one, f"bit-field {member.name} of {member.bits} bits")
        elif member.offset % 8:
            raise _wrong(number, one, f"member {member.name} at bit {member.offset}")
        if member.offset + width > 8 * one.size:
            raise _wrong(number, one, f"member {member.name} ends after its {one.size} bytes")
    for variable in one.variables:
        if one.size and variable.offset + variable.size > one.size:
            raise _wrong(number, one, f"variable {types[variable.type].name} ends after its {one.size} bytes")
    sizes[number], done[number] = size, True
    return size


def _sized(types: Btf, number: int) -> bool:
    inner = types.strip(number)
    forward = types[inner].kind in ENUMS and not types[inner].size
    return bool(inner) and not forward and types[inner].kind not in (Kind.FWD, Kind.FUNC_PROTO)

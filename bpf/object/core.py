"""CO-RE: what a relocation asks, answered by the types of the machine where the program shall run.

`Resolver` takes a path through a type of the program ("0:1:2") by name through the types of the target. The rules are
those that Documentation/bpf/llvm_reloc.rst and libbpf's behaviour give: a suffix ___x of a type's name does not count,
members are found through anonymous structs, array bounds hold but for a flexible last member, several candidates must
give one answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bpf.errors import BadObject, Refused
from bpf.object.btf import COMPOSITE, ENUMS, SIGNED, Btf, Kind, Member, essential
from bpf.object.btf_ext import Ask, Relo
from bpf.object.core_types import compatible, fields_compatible, matches

_FIELDS = (Ask.BYTE_OFFSET, Ask.BYTE_SIZE, Ask.FIELD_EXISTS, Ask.SIGNED, Ask.LSHIFT, Ask.RSHIFT)
_VALUES = (Ask.VALUE_EXISTS, Ask.VALUE)
_EXISTS = (Ask.FIELD_EXISTS, Ask.TYPE_EXISTS, Ask.VALUE_EXISTS, Ask.TYPE_MATCHES)
_WORDS = {
    Ask.BYTE_OFFSET: "byte_off", Ask.BYTE_SIZE: "byte_sz", Ask.FIELD_EXISTS: "field_exists", Ask.SIGNED: "signed",
    Ask.LSHIFT: "lshift_u64", Ask.RSHIFT: "rshift_u64", Ask.LOCAL_ID: "local_type_id", Ask.TARGET_ID: "target_type_id",
    Ask.TYPE_EXISTS: "type_exists", Ask.TYPE_SIZE: "type_size", Ask.VALUE_EXISTS: "enumval_exists",
    Ask.VALUE: "enumval_value", Ask.TYPE_MATCHES: "type_matches",
}  # fmt: skip


class Step(NamedTuple):
    """One step of a path: into a member by name, or into an array by index (name "")."""

    name: str
    at: int
    type: int  # of what the step arrives at
    flexible: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """A way through a type. first: how many of `root` to pass before; type, offset (bits), bits: what it arrives at."""

    root: int
    first: int
    steps: tuple[Step, ...]
    type: int
    offset: int
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What to put into the instruction.

    value     None: nothing, the program must not get there, and `reason` says why
    expected  what the instruction holds now; None if that is not said
    sizes     bytes of the field here and there, where a load's width may have to change; None where it may not
    """

    value: int | None
    reason: str
    expected: int | None = None
    sizes: tuple[int, int] | None = (0, 0)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Answers relocations of a program with types `local` for a machine with types `target` (None: the same types)."""

    local: Btf
    target: Btf | None = None

    @property
    def there(self) -> Btf:
        """The target's types."""
        return self.target or self.local

    def answer(self, relo: Relo, place: str) -> Answer:
        """Raises BadObject for a relocation that means nothing, Refused for an ambiguous one."""
        said = self.words(relo)
        root = self.local.strip(relo.type, typedefs=False)
        if relo.ask is Ask.LOCAL_ID:
            return Answer(relo.type, said)
        if relo.ask in _VALUES:
            results = self._values(relo, root, place)
        elif relo.ask in _FIELDS:
            results = self._fields(relo, place)
        else:
            results = self._types(relo, root, place)
        found = list(dict.fromkeys(results))
        if len(found) > 1:
            raise Refused(
                f"CO-RE relocation {said} is ambiguous: types of that name differ on the target", place=place,
                remedy="name the one that is meant with another flavour, or give other types with --btf",
            )  # fmt: skip
        expected = self._expected(relo, place)
        if not found:
            value = 0 if relo.ask in _EXISTS else None
            return Answer(value, f"CO-RE relocation {said} finds nothing on the target", expected)
        value, sizes = found[0]
        return Answer(value, f"CO-RE relocation {said} has no value on the target", expected, sizes)

    def words(self, relo: Relo) -> str:
        """The relocation as libbpf writes it: `<byte_off> struct s.a.b (0:1:2)`."""
        one = self.local[relo.type]
        text = f"{one.kind.name.lower()} {one.name or '(anon)'}"
        if relo.ask in _FIELDS:
            try:
                steps = self.path(relo, "").steps
            except BadObject:
                steps = ()
            text += "".join(f".{step.name}" if step.name else f"[{step.at}]" for step in steps)
        elif relo.ask in _VALUES and relo.access.isdecimal() and int(relo.access) < len(one.values):
            text += f"::{one.values[int(relo.access)].name}"
        return f"<{_WORDS[relo.ask]}> {text} ({relo.access})"

    # -- candidates -----------------------------------------------------------------------------------------------

    def _candidates(self, root: int) -> Iterator[int]:
        if self.target is None:
            yield root
            return
        mine = self.local[root]
        for number in self.target.flavours(essential(mine.name)):
            kind = self.target[number].kind
            if kind is mine.kind or (kind in ENUMS and mine.kind in ENUMS):
                yield number

    # -- types and enumerators ------------------------------------------------------------------------------------

    def _types(self, relo: Relo, root: int, place: str) -> Iterator[tuple[int | None, tuple[int, int] | None]]:
        if relo.access != "0":
            raise self._wrong(relo, place)
        for number in self._candidates(root):
            if relo.ask is Ask.TYPE_MATCHES:
                good = matches(self.local, root, self.there, number)
            else:
                good = compatible(self.local, root, self.there, number)
            if good:
                size = self.there.size(number)
                yield (number if relo.ask is Ask.TARGET_ID else size if relo.ask is Ask.TYPE_SIZE else 1), (0, 0)

    def _values(self, relo: Relo, root: int, place: str) -> Iterator[tuple[int | None, tuple[int, int] | None]]:
        root = self.local.strip(root)
        values = self.local[root].values
        if not relo.access.isdecimal() or len(relo.access) > 9 or int(relo.access) >= len(values):
            raise self._wrong(relo, place)
        name = essential(values[int(relo.access)].name)
        for number in self._candidates(root):
            for value in self.there[number].values:
                if essential(value.name) == name:
                    yield (1 if relo.ask is Ask.VALUE_EXISTS else value.value), (0, 0)
                    break

    # -- fields ---------------------------------------------------------------------------------------------------

    def path(self, relo: Relo, place: str) -> Path:
        """The path as the program's own types have it. Raises BadObject."""
        parts = relo.access.split(":")
        if not all(part.isdecimal() and len(part) <= 9 for part in parts):
            raise self._wrong(relo, place)
        first, *indices = map(int, parts)
        root = current = self.local.strip(relo.type)
        offset, bits, steps = 8 * first * self.local.size(root), 0, []
        flexible = False
        for index in indices:
            current = self.local.strip(current)
            one = self.local[current]
            if one.kind in COMPOSITE and index < len(one.members):
                member = one.members[index]
                offset, bits, current = offset + member.offset, member.bits, member.type
                flexible = index == len(one.members) - 1 and self._open_ended(self.local, current)
                if member.name:
                    steps.append(Step(member.name, index, current, flexible))
            elif one.kind is Kind.ARRAY and (index < one.count or flexible):
                offset, bits, current, flexible = offset + 8 * index * self.local.size(one.type), 0, one.type, False
                steps.append(Step("", index, current))
            else:
                raise self._wrong(relo, place)
        return Path(root, first, tuple(steps), current, offset, bits)

    def _fields(self, relo: Relo, place: str) -> Iterator[tuple[int | None, tuple[int, int] | None]]:
        mine = self.path(relo, place)
        found = []
        for number in self._candidates(mine.root):
            there = mine if self.target is None else self._follow(mine, number)
            if there is not None:
                found.append(there)
                yield self._field(relo.ask, mine, there, place)
        if len({path.offset for path in found}) > 1:  # one answer by chance is still no answer
            yield -1, (0, 0)

    @staticmethod
    def _open_ended(types: Btf, number: int) -> bool:
        one = types[types.strip(number)]
        return one.kind is Kind.ARRAY and one.count <= 1

    def _follow(self, mine: Path, root: int) -> Path | None:
        """The same path through a type of the target."""
        types = self.there
        current, offset, bits, flexible = root, 8 * mine.first * types.size(root), 0, False
        for step in mine.steps:
            current = types.strip(current)
            one = types[current]
            if step.name:
                hit = _find(types, current, step.name) if one.kind in COMPOSITE else None
                if hit is None or not fields_compatible(self.local, step.type, types, hit[0].type):
                    return None
                member, at, flexible = hit
                offset, bits, current = offset + at, member.bits, member.type
                flexible = flexible and self._open_ended(types, current)
            elif one.kind is Kind.ARRAY and (step.at < one.count or flexible):
                offset, bits, current, flexible = offset + 8 * step.at * types.size(one.type), 0, one.type, False
            else:
                return None
        return Path(root, mine.first, mine.steps, current, offset, bits)

    def _field(self, ask: Ask, mine: Path, there: Path, place: str) -> tuple[int | None, tuple[int, int] | None]:
        if ask is Ask.FIELD_EXISTS:
            return 1, (0, 0)
        types = self.there
        number = types.strip(there.type)
        one = types[number]
        start, size = _unit(types, there)
        if there.bits and types.order != self.local.order:
            raise Refused(
                f"a bit-field in {types.order}-endian types is elsewhere in a {self.local.order}-endian program",
                place=place, remedy="give the types of a machine of the program's byte order",
            )  # fmt: skip
        if not size:  # a bit-field that no load reaches whole
            return None, (0, 0)
        bits = there.bits or 8 * size
        if ask is Ask.BYTE_OFFSET:
            return start, self._sizes(mine, there)
        if ask is Ask.BYTE_SIZE:
            return size, (0, 0)
        if ask is Ask.SIGNED:
            return int(one.kind in ENUMS and one.flag) or one.encoding & SIGNED, (0, 0)
        if size > 8:
            return None, (0, 0)
        if ask is Ask.RSHIFT:
            return 64 - bits, (0, 0)
        within = there.offset - 8 * start
        return (8 * (8 - size) + within if types.order == "big" else 64 - (within + bits)), (0, 0)

    def _sizes(self, mine: Path, there: Path) -> tuple[int, int] | None:
        """Sizes of a field here and there. Only pointers and unsigned integers may differ: no load sign-extends."""
        if mine.bits or there.bits:
            return 0, 0
        here, other = self.local.strip(mine.type), self.there.strip(there.type)
        sizes = self.local.size(here), self.there.size(other)
        if sizes[0] == sizes[1] or not sizes[0] or not sizes[1]:
            return 0, 0
        kinds = {self.local[here].kind, self.there[other].kind}
        if kinds == {Kind.PTR}:
            return sizes
        unsigned = kinds == {Kind.INT} and not (self.local[here].encoding | self.there[other].encoding) & SIGNED
        return sizes if unsigned else None

    def _expected(self, relo: Relo, place: str) -> int | None:
        """What the compiler has put into the instruction, where that is certain."""
        if relo.ask is not Ask.BYTE_OFFSET:
            return None
        mine = self.path(relo, place)
        return None if mine.bits else mine.offset // 8

    def _wrong(self, relo: Relo, place: str) -> BadObject:
        return BadObject(
            f"CO-RE relocation of kind {_WORDS[relo.ask]} with path {relo.access!r} through type {relo.type}",
            place=place, remedy="compile again",
        )  # fmt: skip


def _unit(types: Btf, path: Path) -> tuple[int, int]:
    """(byte where the load of a field starts, bytes that it loads); of a bit-field: a whole unit around it, or 0, 0."""
    size = types.size(path.type)
    if not path.bits:
        return path.offset // 8, size
    while True:
        start = path.offset // 8 // size * size if size else 0
        if path.offset + path.bits - 8 * start <= 8 * size:
            return start, size
        if size >= 8 or not size:
            return 0, 0
        size *= 2


def _find(types: Btf, composite: int, name: str) -> tuple[Member, int, bool] | None:
    """(member, bit offset, whether it is the last one) of a name, through anonymous members."""
    members: Sequence[Member] = types[composite].members
    for member in members:
        last = member is members[-1]
        if member.name == name:
            return member, member.offset, last
        inner = types.strip(member.type)
        if not member.name and types[inner].kind in COMPOSITE:
            hit = _find(types, inner, name)
            if hit is not None:
                return hit[0], member.offset + hit[1], last and hit[2]
    return None

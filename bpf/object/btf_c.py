"""Types as C: what `bpftool btf dump format c` prints, a header that compiles to the same types.

Every named struct, union, enum and typedef comes out once, after what its definition needs; behind a pointer a forward
declaration does. Names that several types have get ___2, ___3, ... which CO-RE takes for the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bpf.errors import BadObject
from bpf.object.btf import COMPOSITE, ENUMS, MODIFIERS, Btf, Kind, Member, Type

_BUILTIN = "__builtin_va_list"
_DEEP = 256  # how deep definitions and declarators may nest
_UNITS = ((8, "char"), (16, "short"), (32, "int"), (64, "long"))
_MODES = {1: "byte", 2: "HI", 4: "SI", 8: "word"}
_WORDS = {Kind.CONST: "const", Kind.VOLATILE: "volatile", Kind.RESTRICT: "restrict"}
_HEAD = """#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

"""
_TAIL = """#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
"""


def c_header(types: Btf) -> str:
    """The whole header. Raises BadObject for what no C says: overlapping members, anonymous types in a circle."""
    writer = Writer(types)
    for number in range(1, len(types)):
        writer.top(number)
    return _HEAD + "".join(f"{text}\n\n" for text in writer.out) + _TAIL


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a struct or union gets its layout. pads: before each member and at the end, (first bit, bits)."""

    packed: bool
    aligned: int  # 0: not said
    align: int  # bytes
    pads: tuple[tuple[int, int], ...]
    filler: bool = False  # a union that is larger than its members


@dataclass(slots=True)
class Writer:
    """Writes declarations in an order that C accepts. `out`: the top-level ones so far."""

    types: Btf
    out: list[str] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)
    _taken: dict[tuple[str, str], int] = field(default_factory=dict)
    _declared: set[str] = field(default_factory=set)
    _defined: set[int] = field(default_factory=set)
    _open: set[int] = field(default_factory=set)
    _layouts: dict[int, _Layout] = field(default_factory=dict)
    _used: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        used = set()
        for one in self.types.types:
            if one.kind is not Kind.DECL_TAG:
                used |= {one.type, *(m.type for m in one.members), *(p.type for p in one.params)}
        self._used = frozenset(used)

    def top(self, number: int) -> None:
        """Write a type, if it is one that stands at the top level."""
        one = self.types[number]
        if one.kind in ENUMS and not one.name and number not in self._used and one.values:
            self.out.append(self._definition(number, 0) + ";")
        elif one.name and (one.kind in COMPOSITE or one.kind in ENUMS or one.kind in (Kind.FWD, Kind.TYPEDEF)):
            self._need(number, strong=one.kind is not Kind.TYPEDEF, inside=0, depth=0)

    # -- order ----------------------------------------------------------------------------------------------------

    def _need(self, number: int, *, strong: bool, inside: int, depth: int) -> None:
        """Write what must stand before type `number` can be named; strong: before an object of it can be declared.

        inside: the named struct in whose definition it is named.
        """
        one = self.types[number]
        if depth > _DEEP:
            raise self._unsayable(number, f"nests more than {_DEEP} deep")
        if one.kind in MODIFIERS:
            self._need(one.type, strong=strong, inside=inside, depth=depth + 1)
        elif one.kind is Kind.PTR:
            self._need(one.type, strong=False, inside=inside, depth=depth + 1)
        elif one.kind is Kind.ARRAY:
            self._need(one.type, strong=True, inside=inside, depth=depth + 1)
        elif one.kind is Kind.FUNC_PROTO:
            for part in (one.type, *(param.type for param in one.params)):
                self._need(part, strong=False, inside=inside, depth=depth + 1)
        elif one.kind is Kind.TYPEDEF and number and one.name != _BUILTIN:
            self._define(number, depth)
            if strong:
                self._need(one.type, strong=True, inside=inside, depth=depth + 1)
        elif one.kind in ENUMS and one.name:
            self._define(number, depth)
        elif one.kind in COMPOSITE and (strong or not one.name):
            self._define(number, depth, inside)
        elif one.kind in COMPOSITE or one.kind is Kind.FWD:
            tag = self._tag(number)
            if tag not in self._declared and number != inside:
                self._declared.add(tag)
                self.out.append(f"{tag};")

    def _define(self, number: int, depth: int, inside: int = 0) -> None:
        """Write a definition; of an anonymous type only what it needs."""
        one = self.types[number]
        if number in self._defined:
            return
        if number in self._open:
            raise self._unsayable(number, "is needed in its own definition")
        self._open.add(number)
        if one.kind is Kind.TYPEDEF:
            self._need(one.type, strong=False, inside=0, depth=depth + 1)
            self.out.append(f"typedef {self._declare(one.type, self._name(number))};")
        elif one.kind in ENUMS:
            self.out.append(self._definition(number, 0) + ";")
        else:
            for member in one.members:
                self._need(member.type, strong=True, inside=number if one.name else inside, depth=depth + 1)
            if one.name:
                self.out.append(self._definition(number, 0) + ";")
                self._declared.add(self._tag(number))
        self._open.remove(number)
        if one.name:
            self._defined.add(number)

    # -- names ----------------------------------------------------------------------------------------------------

    def _name(self, number: int) -> str:
        if number not in self._names:
            one = self.types[number]
            space = "ordinary" if one.kind is Kind.TYPEDEF else "tag"
            real = [] if one.kind is not Kind.FWD else self.types.named(one.name)
            kind = Kind.UNION if one.flag else Kind.STRUCT
            same = [other for other in real if self.types[other].kind is kind]
            earlier = [other for other in real if other in self._names and self.types[other] == one]
            self._names[number] = self._name((same or earlier)[0]) if same or earlier else self._unique(space, one.name)
        return self._names[number]

    def _unique(self, space: str, name: str) -> str:
        count = self._taken[space, name] = self._taken.get((space, name), 0) + 1
        return name if count == 1 else f"{name}___{count}"

    def _tag(self, number: int) -> str:
        one = self.types[number]
        union = one.kind is Kind.UNION or (one.kind is Kind.FWD and one.flag)
        word = "enum" if one.kind in ENUMS else "union" if union else "struct"
        return f"{word} {self._name(number)}" if one.name else word

    # -- text -----------------------------------------------------------------------------------------------------

    def _declare(self, number: int, inner: str, indent: int = 0) -> str:
        """A declaration of `inner` (a name, or a declarator around one) with type `number`."""
        words: list[str] = []
        while True:
            one = self.types[number]
            if one.kind in MODIFIERS and number:
                words.append(_qualifier(one))
                number = one.type
            elif one.kind is Kind.PTR:
                inner = "*" + "".join(f" {word}" for word in reversed(words)) + (" " if words and inner else "") + inner
                words = []
                number = one.type
                pointed = self.types[self._unqualified(number)].kind
                if pointed in (Kind.ARRAY, Kind.FUNC_PROTO):
                    inner = f"({inner})"
            elif one.kind is Kind.ARRAY:
                inner += f"[{one.count}]"
                number = one.type  # qualifiers of an array are those of its elements
            elif one.kind is Kind.FUNC_PROTO:
                inner += self._parameters(one, indent)
                number = one.type
                words = []
            else:
                base = "void" if not number else self._base(number, indent)
                words = list(dict.fromkeys(reversed(words)))
                front = [word for word in words if not word.startswith("__")]
                back = [word for word in words if word.startswith("__")]
                return " ".join([*front, base, *back, *([inner] if inner else [])])

    def _unqualified(self, number: int) -> int:
        return self.types.strip(number, typedefs=False)

    def _parameters(self, proto: Type, indent: int) -> str:
        if not proto.params:
            return "(void)"
        if [param.type for param in proto.params] == [0]:
            return "()"  # a function without a prototype
        named = (self._declare(p.type, p.name, indent) if p.type else "..." for p in proto.params)
        return f"({', '.join(named)})"

    def _base(self, number: int, indent: int) -> str:
        one = self.types[number]
        if one.kind in COMPOSITE or one.kind in ENUMS or one.kind is Kind.FWD:
            return self._tag(number) if one.name else self._definition(number, indent)
        return self._name(number) if one.kind is Kind.TYPEDEF and one.name != _BUILTIN else one.name

    def _definition(self, number: int, indent: int) -> str:
        one = self.types[number]
        if one.kind in ENUMS:
            return self._enum(number, indent)
        if indent > _DEEP:
            raise self._unsayable(number, f"nests more than {_DEEP} deep")
        layout = self._layout(number)
        lines = []
        for member, pad in zip(one.members, layout.pads, strict=False):
            lines += _padding(*pad)
            text = self._declare(member.type, member.name, indent + 1)
            lines.append(f"{text}: {member.bits};" if member.bits else f"{text};")
        if len(layout.pads) > len(one.members):
            lines += _padding(*layout.pads[-1])
        if layout.filler:
            lines.append(f"char __filler[{one.size}];")
        body = "".join("\t" * (indent + 1) + line + "\n" for line in lines)
        attributes = " __attribute__((packed))" if layout.packed else ""
        attributes += f" __attribute__((aligned({layout.aligned})))" if layout.aligned else ""
        inside = f"\n{body}" + "\t" * indent if body else ""
        return f"{self._tag(number)} {{{inside}}}{attributes}"

    def _enum(self, number: int, indent: int) -> str:
        one = self.types[number]
        if not one.values:
            return self._tag(number) if one.name else "int"
        suffix = "" if one.kind is Kind.ENUM else "LL" if one.flag else "ULL"
        deep, close = "\t" * (indent + 1), "\t" * indent
        body = "".join(f"{deep}{self._unique('ordinary', v.name)} = {_number(v.value, suffix)},\n" for v in one.values)
        natural = 4 if all(-(1 << 31) <= v.value < 1 << (31 if one.flag else 32) for v in one.values) else 8
        mode = f" __attribute__((mode({_MODES[one.size]})))" if one.size != natural else ""
        return f"{self._tag(number)} {{\n{body}{close}}}{mode}"

    # -- layout ---------------------------------------------------------------------------------------------------

    def _align(self, number: int) -> int:
        """The alignment, in bytes, of a type as it is written."""
        one = self.types[self.types.strip(number)]
        if one.kind is Kind.ARRAY:
            return self._align(one.type)
        if one.kind in COMPOSITE:
            return self._layout(self.types.strip(number)).align
        return min(self.types.size(self.types.strip(number)) or 1, 16 if one.kind is Kind.FLOAT else 8)

    def _layout(self, number: int) -> _Layout:
        known = self._layouts.get(number)
        if known is None:
            one = self.types[number]
            place = self._union if one.kind is Kind.UNION else self._struct
            known = place(one, packed=False) or place(one, packed=True)
            if known is None:
                raise self._unsayable(number, "has members that overlap")
            self._layouts[number] = known
        return known

    def _natural(self, member: Member, position: int, *, packed: bool) -> tuple[int, int]:
        """(bit where C puts a member that follows bit `position`, bit where it ends)."""
        size = 8 * self.types.size(member.type)
        if member.bits:
            if not packed and position // size != (position + member.bits - 1) // size:
                position += -position % size
            return position, position + member.bits
        position += -position % (8 if packed else 8 * self._align(member.type))
        return position, position + size

    def _struct(self, one: Type, *, packed: bool) -> _Layout | None:
        position, align, pads = 0, 1, []
        for member in one.members:
            align = align if packed else max(align, self._align(member.type))
            natural, _ = self._natural(member, position, packed=packed)
            if member.offset != natural:
                if member.offset < position:
                    return None
                first = _whole(position, natural, member.offset, packed=packed)
                pads.append((first, member.offset - first))
            else:
                pads.append((position, 0))
            natural, position = self._natural(member, member.offset, packed=packed)
            if natural != member.offset:
                return None
        end = 8 * one.size
        if end % (8 * align):
            return None
        rounded = position + -position % (8 * align)
        if rounded == end:
            return _Layout(packed, 0, align, tuple(pads))
        if self._flexible(one):  # nothing may follow it
            aligned = self._rounding(rounded // 8, one.size)
            return _Layout(packed, aligned, aligned, tuple(pads)) if aligned else None
        return _Layout(packed, 0, align, (*pads, (position, end - position)))

    def _union(self, one: Type, *, packed: bool) -> _Layout | None:
        if any(member.offset for member in one.members):
            return None
        align = 1 if packed else max((self._align(member.type) for member in one.members), default=1)
        bits = max((self._natural(member, 0, packed=packed)[1] for member in one.members), default=0)
        natural = ((bits + 7) // 8 + align - 1) & -align
        none = ((0, 0),) * len(one.members)
        if natural == one.size:
            return _Layout(packed, 0, align, none)
        if one.size % align or natural > one.size:
            return None
        aligned = self._rounding(natural, one.size)
        return _Layout(packed, aligned, aligned or align, none, filler=not aligned)

    def _flexible(self, one: Type) -> bool:
        last = self.types[self.types.strip(one.members[-1].type)] if one.members else one
        return last.kind is Kind.ARRAY and not last.count

    @staticmethod
    def _rounding(natural: int, size: int) -> int:
        """The alignment that makes `size` of `natural` bytes; 0 for none."""
        return next((n for n in (1 << k for k in range(1, 13)) if (natural + n - 1) & -n == size), 0)

    def _unsayable(self, number: int, what: str) -> BadObject:
        one = self.types[number]
        return BadObject(
            f"{one.kind.name} {one.name or '(anon)'} {what}, which C cannot say", place=f"section .BTF: type {number}",
            remedy="dump it with format raw",
        )  # fmt: skip


def _number(value: int, suffix: str) -> str:
    """A constant; C has none for the least number of 64 bits."""
    return f"{value + 1}{suffix} - 1" if value == -(1 << 63) else f"{value}{suffix}"


def _qualifier(one: Type) -> str:
    if one.kind is Kind.TYPE_TAG:
        return f"__attribute__(({one.name}))" if one.flag else f'__attribute__((btf_type_tag("{one.name}")))'
    return _WORDS[one.kind]


def _whole(position: int, natural: int, end: int, *, packed: bool) -> int:
    """Where padding starts: after the bits that alignment skips anyway, if whole words follow."""
    return natural if not packed and not natural % 64 and end - natural >= 64 else position


def _padding(position: int, bits: int) -> list[str]:
    """Unnamed bit-fields from a bit on, each of a type whose units it does not cross."""
    lines = []
    while bits:
        room = min(bits, 64 - position % 64)
        unit = next(name for width, name in _UNITS if position // width == (position + room - 1) // width)
        lines.append(f"{unit}: {room};")
        position, bits = position + room, bits - room
    return lines

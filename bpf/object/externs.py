"""What a program takes from the kernel: configuration (.kconfig) and kernel symbols (.ksyms).

Configuration becomes a read-only map, as libbpf makes one; its values come from the caller. No kernel symbol is
here: a weak one has address 0, any other is Refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpf.errors import BadObject, Refused
from bpf.object.btf import BOOL, CHAR, ENUMS, SIGNED, Btf, Kind
from bpf.object.parts import Parts
from bpf.object.reader import Symbol
from bpf.program import Map

KCONFIG, KSYMS = ".kconfig", ".ksyms"
_TRISTATE = {"n": 0, "y": 1, "m": 2}
_REMEDY = "give it a value, with --kconfig NAME=VALUE"


@dataclass(slots=True)
class Externs:
    """Undefined symbols by what they are. values: names of .kconfig -> a number, "y", "n", "m" or text."""

    parts: Parts
    values: Mapping[str, int | str]
    kconfig: dict[str, int] = field(default_factory=dict)  # name -> VAR
    ksyms: dict[str, int] = field(default_factory=dict)  # name -> VAR or FUNC
    offsets: dict[str, int] = field(default_factory=dict)  # name -> where in the map

    def __post_init__(self) -> None:
        types = self.parts.types
        if types is None:
            return
        for section, found in ((KCONFIG, self.kconfig), (KSYMS, self.ksyms)):
            for one in (types[number] for number in types.named(section)):
                for variable in one.variables:
                    found[types[variable.type].name] = variable.type
        wanted = [s.name for s in self.parts.elf.symbols if s.section == "UNDEF" and s.name in self.kconfig]
        at = 0
        for name in sorted(set(wanted), key=lambda name: (-types.size(self.kconfig[name]), name)):
            size = types.size(self.kconfig[name])
            at += -at % min(max(size & -size, 1), 8)
            self.offsets[name] = at
            at += size

    def configured(self, names: Mapping[str, Symbol], place: str) -> Map:
        """The map of configuration values, of which `names` are used. Raises Refused for a name without a value."""
        types = self.parts.types
        assert types is not None
        size = max((self.offsets[name] + types.size(self.kconfig[name]) for name in self.offsets), default=0)
        data = bytearray(size)
        for name, symbol in names.items():
            number = self.kconfig[name]
            value = self.values.get(name)
            if value is None:
                if symbol.binding != "WEAK":
                    raise Refused(f"{name} has no value: it is kernel configuration", place=place, remedy=_REMEDY)
                continue
            raw = _encoded(types, number, name, value, place, self.parts.elf.order)
            data[self.offsets[name] : self.offsets[name] + len(raw)] = raw
        return Map(KCONFIG, value_size=size, initial=bytes(data), readonly=True)


def _encoded(types: Btf, number: int, name: str, value: int | str, place: str, order: str) -> bytes:
    """A configuration value as its type holds it."""
    inner = types[types.strip(types[number].type)]
    size = types.size(number)
    if inner.kind is Kind.ARRAY:
        if not isinstance(value, str):
            raise Refused(f"{name} is a text, and {value} is none", place=place, remedy=_REMEDY)
        return value.strip('"').encode()[: max(size - 1, 0)].ljust(size, b"\0")
    if inner.kind is not Kind.INT and inner.kind not in ENUMS:
        raise BadObject(f"{name} is of kind {inner.kind.name}, which no configuration value has", place=place)
    character = inner.kind is Kind.INT and (size == 1 and inner.encoding & (CHAR | SIGNED) and inner.name == "char")
    if value in _TRISTATE:
        numeric = ord(str(value)) if character else _TRISTATE[str(value)]
    else:
        try:
            numeric = int(str(value), 0)
        except ValueError:
            raise Refused(f"{name} is a number, and {value!r} is none", place=place, remedy=_REMEDY) from None
    signed = inner.flag if inner.kind in ENUMS else bool(inner.encoding & SIGNED)
    most = 1 if inner.encoding & BOOL else (1 << 8 * size - signed) - 1
    if not (-(1 << 8 * size - 1) if signed else 0) <= numeric <= most:
        raise Refused(f"{name} = {value} does not fit its {size} bytes", place=place, remedy=_REMEDY)
    return (numeric & (1 << 8 * size) - 1).to_bytes(size, "big" if order == "big" else "little")

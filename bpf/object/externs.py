"""What a program takes from the kernel: configuration (.kconfig) and kernel symbols (.ksyms).

Configuration becomes a read-only map, as libbpf makes one; its values come from the caller, as the addresses of
symbols do, but for the names that no configuration has and libbpf answers itself. Kernel functions are those of
bpf/spec/kfuncs.py. What is not there is 0 where it is weak, else Refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpf.errors import BadObject, Refused
from bpf.object.btf import BOOL, ENUMS, SIGNED, Btf, Kind
from bpf.object.parts import Parts
from bpf.object.reader import Symbol
from bpf.order import Order
from bpf.program import Map
from bpf.spec.maps import MMAPABLE, RDONLY_PROG

KCONFIG, KSYMS = ".kconfig", ".ksyms"
_TRISTATE = {"n": 0, "y": 1, "m": 2}
_VIRTUAL = {"LINUX_KERNEL_VERSION": 6 << 16 | 18 << 8, "LINUX_HAS_BPF_COOKIE": 1, "LINUX_HAS_SYSCALL_WRAPPER": 1}
"""What is said of the kernel rather than of its configuration: that of the Linux whose rules are kept here."""
_REMEDY = "give it a value, with --kconfig NAME=VALUE"


@dataclass(slots=True)
class Externs:
    """Undefined symbols by what they are.

    values   names of .kconfig -> a number, "y", "n", "m" or text
    symbols  the kernel's symbols -> their addresses
    target   the machine's types, None for the object's own
    """

    parts: Parts
    values: Mapping[str, int | str]
    symbols: Mapping[str, int] = field(default_factory=dict)
    target: Btf | None = None
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

    def kernel_type(self, name: str) -> int:
        """The type of a kernel variable in the machine's types, 0 for one without (`extern const void x __ksym`)."""
        own = self.parts.types
        assert own is not None
        declared = own[self.ksyms[name]].type
        if not own.strip(declared):
            return 0
        if self.target is None:
            return declared
        known = self.target.find(name, Kind.VAR)
        if known is not None:
            return self.target[known].type
        return self.target.find(own[own.strip(declared)].name, Kind.STRUCT) or 0

    def configured(self, names: Mapping[str, Symbol], place: str) -> Map:
        """The map of configuration values, of which `names` are used. Raises Refused for a name without a value."""
        types = self.parts.types
        assert types is not None
        size = max((self.offsets[name] + types.size(self.kconfig[name]) for name in self.offsets), default=0)
        data = bytearray(size)
        for name, symbol in names.items():
            number = self.kconfig[name]
            value = self.values.get(name, _VIRTUAL.get(name))
            if value is None:
                if symbol.binding != "WEAK":
                    raise Refused(f"{name} has no value: it is kernel configuration", place=place, remedy=_REMEDY)
                continue
            raw = _encoded(types, number, name, value, place, self.parts.elf.order)
            data[self.offsets[name] : self.offsets[name] + len(raw)] = raw
        flags = data_flags(types, KCONFIG, readonly=True)
        return Map(KCONFIG, value_size=size, initial=bytes(data), readonly=True, flags=flags)


def data_flags(types: Btf | None, section: str, *, readonly: bool) -> int:
    """BPF_F_* of the map of a data section, by libbpf's rule: it can be mapped where a variable of it is not static."""
    found = types.find(section, Kind.DATASEC) if types is not None else None
    variables = types[found].variables if types is not None and found is not None else ()
    shared = types is not None and any(types[one.type].linkage for one in variables)
    return (RDONLY_PROG if readonly else 0) | (MMAPABLE if shared else 0)


def _encoded(types: Btf, number: int, name: str, value: int | str, place: str, order: Order) -> bytes:
    """A configuration value as its type holds it."""
    inner = types[types.strip(types[number].type)]
    size = types.size(number)
    if inner.kind is Kind.ARRAY:
        if not isinstance(value, str):
            raise Refused(f"{name} is a text, and {value} is none", place=place, remedy=_REMEDY)
        return value.strip('"').encode()[: max(size - 1, 0)].ljust(size, b"\0")
    if not size or (inner.kind is not Kind.INT and inner.kind not in ENUMS):
        raise BadObject(f"{name} is of kind {inner.kind.name}, which no configuration value has", place=place)
    character = inner.kind is Kind.INT and size == 1 and not inner.encoding & BOOL
    if value in _TRISTATE:
        tristate = inner.kind in ENUMS and inner.name == "libbpf_tristate"
        if not (character or tristate or inner.encoding & BOOL):
            raise Refused(
                f"{name} = {value} is for a bool, a char or an enum libbpf_tristate, and it is of type {inner.name}",
                place=place, remedy="declare it as one, or give it a number",
            )  # fmt: skip
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

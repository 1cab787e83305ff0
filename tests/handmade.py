"""ELF objects put together by hand, for what no compiler here writes, or not without taking its time."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bpf.isa import ROW, Insn, encode, make
from bpf.object.btf import Btf, Type
from bpf.object.btf_check import btf
from bpf.object.btf_wire import encode as encode_types
from bpf.object.relocation import R_BPF_64_64
from bpf.order import Order

CODE, DATA, READ_ONLY, OTHER = 6, 3, 2, 0  # flags of sections
FUNC, OBJECT, NOTYPE, SECTION = 2, 1, 0, 3  # kinds of symbols
LOCAL, GLOBAL, WEAK, HIDDEN = 0, 1, 2, 0x100  # bindings, or'd with a visibility
UNDEF = ""
_BPF, _RELOCATABLE = 247, 1


@dataclass
class Part:
    """A section. relocations: offset -> name of a symbol, or (kind, name)."""

    data: bytes
    flags: int = CODE
    relocations: Mapping[int, str | tuple[int, str]] = field(default_factory=dict)


@dataclass
class Name:
    """A symbol. section: name of the section it is in."""

    section: str
    value: int = 0
    kind: int = FUNC
    binding: int = GLOBAL
    size: int = 0


def insns(*said: Insn, order: Order = "little") -> bytes:
    """The bytes of instructions; a wide one is followed by its second slot."""
    slots: list[Insn | None] = []
    for insn in said:
        slots += [insn, None] if insn.row.name.startswith("lddw") else [insn]
    return encode(slots, order)


def answer(value: int, order: Order = "little") -> bytes:
    """A program that returns a number."""
    return insns(make(ROW["mov64_imm"], 0, imm=value), make(ROW["exit"]), order=order)


def pointing(order: Order = "little", offset: int = 0) -> bytes:
    """A program that begins with an lddw, to be relocated, and returns 2."""
    wide = make(ROW["lddw_imm"], 1, imm=offset)
    return insns(wide, make(ROW["mov64_imm"], 0, imm=2), make(ROW["exit"]), order=order)


def types_part(types: Sequence[Type], order: Order = "little") -> Part:
    """Section .BTF of types, of which the first has number 1."""
    made: Btf = btf(types, order)
    return Part(encode_types(made), OTHER)


def words(*numbers: int, order: Order = "little") -> bytes:
    """32-bit numbers as bytes."""
    return b"".join((number & 0xFFFFFFFF).to_bytes(4, order) for number in numbers)


def elf(parts: Mapping[str, Part], symbols: Mapping[str, Name], order: Order = "little", machine: int = _BPF) -> bytes:
    """An object file. Sections have the order of `parts`, symbols theirs, local ones first."""
    mark = "<" if order == "little" else ">"
    index = {name: number for number, name in enumerate(parts, 1)}
    names = sorted(symbols, key=lambda name: symbols[name].binding & 0xFF != LOCAL)
    number = {name: at for at, name in enumerate(names, 1)}
    strings, table = b"\0", bytes(24)
    for name in names:
        one = symbols[name]
        table += struct.pack(
            mark + "IBBHQQ", len(strings), (one.binding & 0xF) << 4 | one.kind, 2 if one.binding & HIDDEN else 0,
            index.get(one.section, 0), one.value, one.size,
        )  # fmt: skip
        strings += name.encode() + b"\0"
    sections = [(name, 1, part.flags, part.data, 0, 0, 0) for name, part in parts.items()]
    symtab = len(parts) + 1
    locals_ = 1 + sum(symbols[name].binding & 0xFF == LOCAL for name in names)
    sections += [(".symtab", 2, 0, table, symtab + 1, locals_, 24), (".strtab", 3, 0, strings, 0, 0, 0)]
    for name, part in parts.items():
        if part.relocations:
            said = [
                (at, *((R_BPF_64_64, what) if isinstance(what, str) else what)) for at, what in part.relocations.items()
            ]
            raw = b"".join(struct.pack(mark + "QQ", at, number[what] << 32 | kind) for at, kind, what in said)
            sections.append((f".rel{name}", 9, 0, raw, symtab, index[name], 16))
    titles = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in (*sections, (".shstrtab",)))
    sections.append((".shstrtab", 3, 0, titles, 0, 0, 0))
    body, headers, start = bytearray(64), [bytes(64)], 1
    for name, kind, flags, data, link, info, entry in sections:
        body += bytes(-len(body) % 8)
        headers.append(
            struct.pack(mark + "IIQQQQIIQQ", start, kind, flags, 0, len(body), len(data), link, info, 8, entry)
        )
        start += len(name) + 1
        body += data
    body += bytes(-len(body) % 8)
    ident = b"\x7fELF" + bytes((2, 1 if order == "little" else 2, 1)) + bytes(9)
    counts = (64, 0, 0, 64, len(headers), len(headers) - 1)
    body[:64] = ident + struct.pack(mark + "HHIQQQIHHHHHH", _RELOCATABLE, machine, 1, 0, 0, len(body), 0, *counts)
    return bytes(body) + b"".join(headers)

"""Accesses to the context, from the user layout to the internal one: what Linux calls convert_ctx_accesses.

The sizes of new objects are put in too: a call that names a type gets its size, as do_misc_fixups has it.

A load of a number becomes a load of all that is kept of the field; a part of it is cut out by a shift and a mask. As in
Linux, a load no smaller than what is kept gives all of it, whichever part of the field it names. A load of a pointer
field takes 64 bits. A store writes what is kept. Offsets and sizes that are not allowed are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as changed

from bpf.errors import Refused
from bpf.facts import Base, Facts
from bpf.isa import ROW, Insn, Kind, make
from bpf.object.btf import Kind as BtfKind
from bpf.order import Order
from bpf.program import Program
from bpf.rewrite.replace import replace
from bpf.spec.contexts import OBJECT, SOCKET_FIELD, Field, View


def convert_context(prog: Program, facts: Facts, view: View | None) -> Program:
    """The program for the internal layout, which knows its probe loads. Raises Refused naming the instruction."""
    by: dict[int, tuple[Insn, ...]] = {}
    reach = 0
    given = prog.source or prog
    for pc, insn in enumerate(prog.insns):
        at = prog.origin_of(pc)
        if insn is None or insn != given.insns[at]:
            continue
        if at in facts.constants:
            by[pc] = (make(ROW["mov64_imm"], 1, imm=_size(prog, facts.constants[at], pc)), insn)
        pointer = facts.pointers.get(at)
        if pointer is not None and view is not None and pointer.base is Base.CONTEXT:
            by[pc] = tuple(_convert(insn, pc, pointer.offset, view, prog.order))
            reach = max(reach, pointer.offset + insn.off + insn.row.width // 8)
    made = replace(prog, by)
    probes = frozenset(at for at, pc in enumerate(made.origin) if pc in facts.probes and made.insns[at] is not None)
    return changed(made, probes=probes, reach=reach if view is not None and view.layout.open else 0)


def _size(prog: Program, number: int, pc: int) -> int:
    """The size of a structure of the program's own. Raises Refused."""
    types = prog.btf
    if types is None or number >= len(types) or types[number].kind is not BtfKind.STRUCT:
        raise Refused(f"type {number} is no structure of the program's", place=f"insn {pc}", remedy="compile with -g")
    return types.size(number)


def _convert(insn: Insn, pc: int, fixed: int, view: View, order: Order) -> Iterator[Insn]:
    row = insn.row
    size, offset, write = row.width // 8, fixed + insn.off, row.kind is not Kind.LOAD
    if row.aligned:
        what = "stores into" if write else "loads from"
        register = insn.dst if write else insn.src
        raise Refused(f"BPF_ATOMIC {what} R{register} ctx is not allowed", place=f"insn {pc}")
    one = view.access(offset, size, write=write, signed=row.signed)
    if one is None:
        raise Refused(
            f"invalid bpf_context access off={offset} size={size}", place=f"insn {pc}", remedy=_remedy(view, offset)
        )
    if one.pointer == OBJECT and one.name != SOCKET_FIELD:
        raise Refused(f"{view.layout.name}.{one.name} leads to what is not described here", place=f"insn {pc}")
    at = one.at - fixed + (offset - one.offset if one.raw else 0)
    yield from (_store(insn, one, at) if write else _load(insn, one, at, offset - one.offset, size, order))


def _remedy(view: View, offset: int) -> str:
    one = view.layout.at(offset)
    return f"{view.layout.name}.{one.name}" if one else f"{view.layout.name} has {view.layout.size} bytes"


def _load(insn: Insn, one: Field, at: int, part: int, size: int, order: Order) -> Iterator[Insn]:
    if one.raw:
        yield insn._replace(off=at)
        return
    yield make(ROW[f"ldx{8 * one.kept}"], insn.dst, insn.src, off=at)
    whole = one.reach or one.size
    if size < min(whole, one.kept) and not one.pointer:
        shift = 8 * (part if order == "little" else whole - part - size)
        bits = 64 if one.size == 8 else 32
        if shift:
            yield make(ROW[f"rsh{bits}_imm"], insn.dst, imm=shift)
        if size == 4:  # the mask of 32 bits is no imm of a 64-bit instruction
            yield make(ROW["mov32_reg"], insn.dst, insn.dst)
        else:
            yield make(ROW[f"and{bits}_imm"], insn.dst, imm=(1 << 8 * size) - 1)
    if insn.row.signed:
        yield make(ROW[f"movsx{8 * size}_64"], insn.dst, insn.dst)


def _store(insn: Insn, one: Field, at: int) -> Iterator[Insn]:
    size = insn.row.width // 8 if one.raw else one.kept
    form = "stx" if "src" in insn.row.fields else "st"
    store = make(ROW[f"{form}{8 * size}"], insn.dst, insn.src, off=at, imm=insn.imm)
    if one.ceiling and form == "st" and insn.imm >= one.ceiling:
        yield make(ROW["ja"])
        return
    if one.ceiling and form == "stx":
        yield make(ROW["jge64_imm"], insn.src, off=1, imm=one.ceiling)
    yield store

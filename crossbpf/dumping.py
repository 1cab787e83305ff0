"""Loaded programs as text and records, as bpftool dumps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from bpf.isa import ROW, SLOT, Insn, Kind, encode, make
from bpf.program import Line
from bpf.rewrite.internal import FUNCTIONS
from bpf.spec.kfuncs import NAMES
from bpf.spec.prototypes import PROTOTYPES
from bpf.text import format_insn
from crossbpf.bpftool import hexed, listed
from jit.image import Image
from jit.listing import Native, listing
from runtime import ProgramObject
from runtime.running import Translated
from verifier.graph import drawing
from verifier.raw import slots

_BY_ID = {"map_fd": "map_fd", "map_idx": "map_fd", "map_fd_value": "map_fd_value", "map_idx_value": "map_fd_value"}


def xlated(one: Translated) -> tuple[Insn | None, ...]:
    """The instructions as the kernel gives them out: ids of maps, numbers of functions where they are called."""
    return tuple(insn and _given_out(one, pc, insn) for pc, insn in enumerate(one.program.insns))


def _given_out(one: Translated, pc: int, insn: Insn) -> Insn:
    op = insn.row.op
    if insn.row.kind is Kind.WIDE and op in _BY_ID:
        return make(ROW[f"lddw_{_BY_ID[op]}"], insn.dst, imm=insn.imm >> 32 << 32 | one.maps[insn.imm & 0xFFFFFFFF])
    if op == "call_local":  # the distance is in off
        return insn._replace(off=insn.imm, imm=one.program.function_at(pc + 1 + insn.imm))
    if op == "func":
        return insn._replace(imm=one.program.function_at(pc + 1 + insn.distance) << 32 | insn.imm & 0xFFFFFFFF)
    return insn


def xlated_bytes(one: Translated) -> bytes:
    """The wire form of `xlated`."""
    return encode(xlated(one), one.program.order)


def insn_text(insn: Insn, one: Translated) -> str:
    """An instruction of `xlated`, helpers and functions by their names."""
    form = insn.row.op
    if insn.row.kind is Kind.WIDE and form in _BY_ID:
        offset = f"[0]+{insn.imm >> 32}" if form == "map_fd_value" else ""
        return f"r{insn.dst} = map[id:{insn.imm & 0xFFFFFFFF}]{offset}"
    if form == "call_helper" and insn.imm in PROTOTYPES:
        return f"call bpf_{PROTOTYPES[insn.imm].name}#{insn.imm}"
    if form == "call_helper" and insn.imm in FUNCTIONS:
        return f"call {FUNCTIONS[insn.imm]}#{insn.imm}"
    if form == "call_local":
        return f"call pc{insn.off:+d}#bpf_prog_{one.tag}_{one.program.functions[insn.imm].name}"
    if form == "func":
        return f"r{insn.dst} = subprog[{insn.distance:+d}]"
    if form == "call_kfunc" and insn.imm in NAMES:
        return f"call {NAMES[insn.imm]}#{insn.imm}"
    return format_insn(insn)


def _walk(one: Translated) -> Iterator[tuple[int, Insn, Line | None]]:
    """(slot, instruction of `xlated`, source line that starts there)."""
    last, program = None, one.program
    for pc, insn in enumerate(xlated(one)):
        if insn is None:
            continue
        line = program.line_at(pc)
        yield pc, insn, line if line is not None and line != last else None
        last = line


def _source(line: Line, *, linum: bool) -> str:
    text = f"; {line.text.strip()}" if line.text else f"; {line.file}:{line.line}"
    return text + (f" [file:{line.file} line_num:{line.line} line_col:{line.column}]" if linum else "")


def _source_record(line: Line, *, linum: bool) -> dict[str, Any]:
    record: dict[str, Any] = {"src": line.text.strip()}
    return record | ({"file": line.file, "line_num": line.line, "line_col": line.column} if linum else {})


def head(one: ProgramObject) -> str:
    """What a program is, in the first line that is shown of it."""
    return f"{one.id}: {one.type}  name {one.name}  tag {one.tag}" + ("  gpl" if one.gpl else "")


def head_record(one: ProgramObject) -> dict[str, Any]:
    """The same as a record."""
    return {"id": one.id, "type": one.type, "name": one.name, "tag": one.tag, "gpl_compatible": one.gpl}


# xlated ------------------------------------------------------------------------------------------


def xlated_lines(one: Translated, *, opcodes: bool = False, linum: bool = False) -> Iterator[str]:
    """A line for each instruction, below its source line."""
    program = one.program
    names = {function.start: function.name for function in program.functions}
    for pc, insn, line in _walk(one):
        if len(names) > 1 and pc in names:
            yield f"{names[pc]}:"
        if line is not None:
            yield _source(line, linum=linum)
        yield f"{pc:4}: ({insn.row.opcode:02x}) {insn_text(insn, one)}"
        if opcodes:
            yield "       " + hexed(encode([insn], program.order))


def xlated_records(one: Translated, *, opcodes: bool = False, linum: bool = False) -> list[dict[str, Any]]:
    """A record for each instruction."""
    records = []
    for _, insn, line in _walk(one):
        record: dict[str, Any] = {} if line is None else _source_record(line, linum=linum)
        record["disasm"] = f"({insn.row.opcode:02x}) {insn_text(insn, one)}"
        if opcodes:
            raw = encode([insn], one.program.order)
            record["opcodes"] = {
                "code": f"0x{insn.row.opcode:02x}", "src_reg": f"0x{insn.src:x}", "dst_reg": f"0x{insn.dst:x}",
                "off": listed(raw[2:4]),
                "imm": listed(raw[4:SLOT] + raw[SLOT + 4 :]),
            }  # fmt: skip
        records.append(record)
    return records


def xlated_graph(one: Translated) -> str:
    """The control-flow graph, in the DOT language."""
    insns = xlated(one)

    def label(block: Sequence[int]) -> tuple[list[str], str]:
        shown = ((pc, insns[pc]) for pc in block)
        return [f"{pc}: ({insn.row.opcode:02x}) {insn_text(insn, one)}" for pc, insn in shown if insn], ""

    starts = [function.start for function in one.program.functions]
    return drawing(one.program.name, slots(xlated_bytes(one), one.program.order), starts, label)


# jited -------------------------------------------------------------------------------------------


def _functions(image: Image, one: ProgramObject) -> Iterator[tuple[str, int, list[Native]]]:
    """(name, address, machine instructions) of each function."""
    functions = image.program.functions
    starts = {image.base + at: function.name for at, function in zip(image.functions, functions, strict=True)}
    name, start, found = "", image.base, list[Native]()
    for native in listing(image):
        if native.address in starts:
            if found:
                yield f"bpf_prog_{one.tag}_{name or one.name}", start, found
            name, start, found = starts[native.address], native.address, []
        found.append(native)
    if found:
        yield f"bpf_prog_{one.tag}_{name or one.name}", start, found


def _pieces(image: Image, natives: list[Native]) -> Iterator[tuple[Line | None, Native]]:
    """(source line that starts there, machine instruction)."""
    last = None
    for pc, group in groupby(natives, key=lambda native: native.pc):
        line = image.program.line_at(pc) if pc >= 0 else None
        for number, native in enumerate(group):
            yield (line if not number and line is not None and line != last else None), native
        last = line or last


def jited_lines(image: Image, one: ProgramObject, *, opcodes: bool = False, linum: bool = False) -> Iterator[str]:
    """A line for each machine instruction, its address from the start of its function."""
    for name, start, natives in _functions(image, one):
        yield f"{name}:"
        for line, native in _pieces(image, natives):
            if line is not None:
                yield _source(line, linum=linum)
            yield f"{native.address - start:4x}:\t{native.text}"
            if opcodes:
                yield "\t" + native.code.hex(" ")


def jited_records(
    image: Image, one: ProgramObject, *, opcodes: bool = False, linum: bool = False
) -> list[dict[str, Any]]:
    """A record for each function."""
    records = []
    for name, start, natives in _functions(image, one):
        insns = []
        for line, native in _pieces(image, natives):
            operation, _, rest = native.text.partition(" ")
            record: dict[str, Any] = {} if line is None else _source_record(line, linum=linum)
            record |= {"pc": f"0x{native.address - start:x}", "operation": operation}
            record["operands"] = [part.strip() for part in rest.split(",")] if rest else [None]
            insns.append(record | ({"opcodes": listed(native.code)} if opcodes else {}))
        records.append({"name": name, "insns": insns})
    return records

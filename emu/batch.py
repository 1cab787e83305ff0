"""Many inputs in one guest run: a loop written in BPF and compiled by the same backend.

The driver loads R1-R9 from a table, calls the program and copies its exit record to another table. It is appended to
the program as its last function, so that nothing of the program changes, and runs on a frame above the program's, so
that R10 is what it always is. Only programs that change no memory and call no helper can run like this: nothing has
to be restored between two inputs.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Sequence

from bpf.isa import ROW, Insn, Kind, make
from bpf.plan import FRAME, MAX_FUNCTIONS, RECORD_WORDS, TABLES, TAIL_CALLS, Unit
from bpf.program import Program, program
from emu.machine import TABLE_SIZE, Machine
from jit.image import Image
from jit.pipeline import compile_program
from jit.target import Target

ROW_BYTES = 8 * RECORD_WORDS
CAPACITY = TABLE_SIZE // (2 * ROW_BYTES)
"""Inputs that one batch holds."""

_STATE = 0x100  # in the harness region: next input row, next output row, rows left
_SPAN = CAPACITY * ROW_BYTES


_STUBS = ("call_helper", "call_kfunc", "callx")


def suits(prog: Program, inline: Container[int] = ()) -> bool:
    """Whether a program neither changes memory nor calls a stub, and leaves an entry slot for the driver.

    inline: slots of calls that call no stub.
    """
    return len(prog.functions) < MAX_FUNCTIONS and not any(
        insn is not None
        and (insn.row.kind in (Kind.STORE, Kind.ATOMIC, Kind.PACKET) or insn.row.op in _STUBS or pc in prog.probes)
        and pc not in inline
        for pc, insn in enumerate(prog.insns)
    )


def _driver(harness: int, call_at_0: int, tail_calls: bool) -> list[Insn | None]:
    """The loop's instructions; call_at_0: the slot of the driver's first instruction."""

    def insn(name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Insn:
        return make(ROW[name], dst, src, off, imm)

    out: list[Insn | None] = [insn("lddw_imm", 1, imm=harness + _STATE), None]
    out.append(insn("ldx64", 9, 1))
    if tail_calls:
        out.append(insn("st64", 1, off=TAIL_CALLS - _STATE))  # none taken yet
    out += [insn("ldx64", register, 9, 8 * register) for register in range(1, 10)]
    out.append(insn("call_local", imm=-(call_at_0 + len(out)) - 1))
    out += [insn("lddw_imm", 1, imm=harness + _STATE), None]
    out.append(insn("ldx64", 2, 1, 8))
    for word in range(RECORD_WORDS):
        out += [insn("ldx64", 3, 1, 8 * word - _STATE), insn("stx64", 2, 3, 8 * word)]
    for at, step in ((8, ROW_BYTES), (0, ROW_BYTES), (16, -1)):
        out += [insn("ldx64", 2, 1, at), insn("add64_imm", 2, imm=step), insn("stx64", 1, 2, at)]
    out.append(insn("jne64_imm", 2, imm=0, off=-len(out) - 1))
    out.append(insn("exit"))
    return out


def compile_batch(unit: Unit, prog: Program, target: Target, features: frozenset[str] | None) -> Image:
    """The program with the driver behind it. The driver is the image's last function."""
    insns = (*prog.insns, *_driver(unit.plan.harness, len(prog), bool(unit.tail_calls)))
    names = {function.start: function.name for function in prog.functions} | {len(prog): "batch"}
    joined = program(insns, name=prog.name, order=prog.order, names=names, maps=prog.maps)
    return compile_program(unit, joined, target, observe=True, features=features)


def run_batch(
    machine: Machine, image: Image, rows: Sequence[Sequence[int]], seconds: float, may_goto: int = 0,
    tail_calls: int = 0,
) -> list[tuple[int, ...]]:  # fmt: skip
    """R0-R9 at exit for each row of R0-R9 at entry, up to the first row that does not end normally.

    The machine's memory must be set up. At most CAPACITY rows. may_goto, tail_calls: see Limits.
    """
    plan, order, tables = machine.plan, machine.target.order, machine.harness
    endian = ">" if order == "big" else "<"
    data = struct.pack(f"{endian}{RECORD_WORDS * len(rows)}Q", *(value for row in rows for value in row))
    tables[TABLES : TABLES + len(data)] = data
    state = (plan.harness + TABLES, plan.harness + TABLES + _SPAN, len(rows))
    tables[_STATE : _STATE + 24] = struct.pack(endian + "3Q", *state)
    machine.load(image)
    machine.prepare_entry([0] * RECORD_WORDS, plan.stack + FRAME, may_goto, tail_calls)
    stop = machine.start(plan.entry(len(image.functions) - 1), seconds)
    next_row, next_record, left = struct.unpack_from(endian + "3Q", tables, _STATE)
    done = len(rows) - left
    if (next_row, next_record) != (state[0] + done * ROW_BYTES, state[1] + done * ROW_BYTES):
        return []  # the program has written where only the driver writes
    if stop.error or stop.pc != plan.exit or machine.broken_convention():
        done = min(done, len(rows) - 1)
    out = tables[TABLES + _SPAN : TABLES + _SPAN + done * ROW_BYTES]
    return list(struct.iter_unpack(f"{endian}{RECORD_WORDS}Q", out))

"""What becomes of a result: stored and loaded again at every width, used behind a branch, a call and a copy.

A compiler may leave out a zero extension that it believes nobody looks at. Here somebody does.
"""

from __future__ import annotations

from collections.abc import Iterator

from bpf.isa import ROW, Kind, Row, make
from bpf.order import Order
from fuzz.suite.exercise import IN, OUT, Case, Exercise, sweep
from fuzz.suite.operands import packed

_IMMEDIATES = {
    **dict.fromkeys(("lsh", "rsh", "arsh"), (1, 0, 31, 7, 16)),
    **dict.fromkeys(("div", "mod", "sdiv", "smod"), (1, -1, 7, 0x7FFF_FFFF, -0x8000_0000)),
}
_OTHERS = (1, -1, 0, 0x7FFF_FFFF, -0x8000_0000)


def uses(row: Row, order: Order, every: int) -> Iterator[Case]:
    """The programs for a row that writes a register."""
    if row.kind is Kind.ALU or (row.kind is Kind.ATOMIC and row.fetch):
        yield _stored(row, order, every)
        yield _kept(row, order, every)


def _operate(exercise: Exercise, row: Row, dst: int, number: int) -> int:
    """The instruction with its result in dst, operands from the turn's; the register that has the result."""
    exercise.add("ldx64", dst, IN, 0)
    if row.kind is Kind.ATOMIC:
        exercise.add("stx64", 10, dst, -16)
        exercise.add("ldx64", dst, IN, 8)
        exercise.add("ldx64", 0, IN, 0)
        exercise.append(make(row, 10, dst, -16))
        return 0 if row.op == "cmpxchg" else dst
    operand = {}
    if "src" in row.fields:
        operand = {"src": 4}
        exercise.add("ldx64", 4, IN, 8)
    elif "imm" in row.fields:
        operand = {"imm": _IMMEDIATES.get(row.op, _OTHERS)[number]}
    exercise.append(make(row, dst, **operand))
    return dst


def _stored(row: Row, order: Order, every: int) -> Case:
    """Stored at 8 to 64 bits into a word full of ones, and loaded again, with and without the sign."""
    data, turns = packed(order, "edges", every)

    def body(exercise: Exercise) -> None:
        at = 0
        for number, width in enumerate((8, 16, 32, 64)):
            exercise.add("st64", 10, off=-8, imm=-1)
            result = _operate(exercise, row, 3, number)
            exercise.add(f"stx{width}", 10, result, -8)
            loads = ["ldx64", f"ldx{width}"] + ([f"ldsx{width}"] if width < 64 else [])
            for load in loads:
                exercise.add(load, 2, 10, -8)
                exercise.add("stx64", OUT, 2, at)
                at += 8

    return sweep(f"{row.name} stored", data, turns, 8 * 11, body).finish(order)


def _kept(row: Row, order: Order, every: int) -> Case:
    """Used as 64 bits right after a copy, on both ways of a branch, and after a call that has to keep it."""
    data, turns = packed(order, "edges", every)
    calls: list[int] = []

    def body(exercise: Exercise) -> None:
        result = _operate(exercise, row, 3, 0)
        exercise.add("mov64_reg", 5, result)
        exercise.add("stx64", OUT, 5, 0)
        result = _operate(exercise, row, 3, 1)
        exercise.add("jeq64_imm", OUT, off=1, imm=0)
        exercise.add("stx64", OUT, result, 8)
        exercise.add("ldx64", 1, IN, 8)
        result = _operate(exercise, row, 3, 2)
        exercise.add("jne64_imm", OUT, off=1, imm=0)
        exercise.add("mov64_imm", result, imm=0)
        exercise.add("stx64", OUT, result, 16)
        result = _operate(exercise, row, 9, 3)
        calls.append(exercise.add("call_local", imm=0))
        exercise.add("stx64", OUT, 0 if result == 0 else 9, 24)
        result = _operate(exercise, row, 3, 4)
        exercise.add("add64_reg", 0, result)
        exercise.add("jgt64_reg", 0, result, 1)
        exercise.add("rsh64_imm", result, imm=32)
        exercise.add("stx64", OUT, result, 32)

    exercise = sweep(f"{row.name} kept", data, turns, 40, body)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    for slot in calls:
        exercise.land(slot)
    exercise.append(make(ROW["mov64_imm"], 0, imm=9))
    return exercise.finish_function(order)

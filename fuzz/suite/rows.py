"""Programs that exercise one row of the table: every operand form, edge values crossed, every register pair.

An exercise is straight-line code. Each case sets the registers it needs, runs the instruction once and stores what it
did to a results map, so that one run shows every case and a difference names the instruction (a slot of the program).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from bpf.isa import Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.order import Order
from fuzz.suite import special
from fuzz.suite.exercise import DATA, DATA_SIZE, RESULTS, Case, Exercise
from fuzz.suite.flow import flow
from fuzz.suite.operands import operands
from fuzz.suite.tails import tails
from fuzz.suite.uses import uses
from fuzz.suite.values import CORNERS, EDGES, IMMEDIATES, M64, OFFSETS


def exercises(row: Row, order: Order, every: int = 1) -> Iterator[Case]:
    """The programs that exercise a row, in a byte order. A row that has nothing to run (lddw of BTF) has none.

    every: take only every so manieth case, where there are many.
    """
    if special.applies(row):
        yield from special.exercises(row, order)
        return
    if row.kind in (Kind.ALU, Kind.BRANCH):
        yield from _registers(row, order, every)
        yield from operands(row, order, every)
    elif row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC):
        yield _accesses(row, order, every)
        yield from _access_registers(row, order, every)
        if row.kind is not Kind.LOAD:
            yield from operands(row, order, every)
    elif row.kind is Kind.WIDE and not row.external:
        yield _wide(row, order)
    if not row.external:
        yield from uses(row, order, every)
        yield from flow(row, order)
    if row.op == "call_helper":
        yield from tails(order)


def _free(*taken: int) -> int:
    """A register that is none of those."""
    return next(register for register in (9, 8, 7, 6) if register not in taken)


def _operands(row: Row, imm: int, src: int) -> dict[str, int]:
    return {"src": src} if "src" in row.fields else {"imm": imm} if "imm" in row.fields else {}


def _emit(exercise: Exercise, row: Row, dst: int, operands: dict[str, int], seen: Sequence[int]) -> None:
    """The instruction itself, and its result: registers, and for a branch whether it was taken."""
    base = _free(dst, operands.get("src", -1), *seen)
    if row.kind is Kind.BRANCH:
        flag = next(r for r in (0, 1, 2) if r not in (dst, operands.get("src")))
        exercise.add("mov64_imm", flag, imm=1)
        exercise.append(make(row, dst, off=1, **operands))
        exercise.add("mov64_imm", flag, imm=0)
        exercise.store((flag, *seen), base)
    else:
        exercise.append(make(row, dst, **operands))
        exercise.store(tuple(dict.fromkeys((dst, *seen))), base)


def _registers(row: Row, order: Order, every: int) -> Iterator[Case]:
    """Every destination with every source, equal ones too, all registers stored; R10 in a case of its own."""
    sources = range(11) if "src" in row.fields else (0,)
    pairs = [
        (dst, src)
        for dst, src in list(product(range(11), sources))[::every]
        if dst != FRAME_POINTER or not row.writes_dst
    ]
    for with_frame, name in ((False, "registers"), (True, "registers with R10")):
        exercise = Exercise(f"{row.name} {name}")
        for dst, src in pairs:
            if (FRAME_POINTER in (dst, src)) is not with_frame:
                continue
            for register in range(10):
                edge = EDGES[(3 * register + dst + 5 * src) % len(EDGES)]
                exercise.set(register, edge ^ 0x1111_0000_0000_1000 * register)
            operands = {"src": src} if "src" in row.fields else {"imm": 3 + dst} if "imm" in row.fields else {}
            base = _free(dst, operands.get("src", -1))
            _emit(exercise, row, dst, operands, [r for r in range(10) if r != base])
        if exercise.slots:
            yield exercise.finish(order)


def _aim(exercise: Exercise, base: int, at: int, off: int) -> None:
    """Make base + off the address of byte `at` of the data."""
    exercise.point(base, DATA, at)
    if off:
        exercise.add("add64_imm", base, imm=-off)


def _relative(exercise: Exercise, base: int, scratch: int, at: int) -> None:
    """Make an address in the data map one that says nothing of where the map lies."""
    exercise.point(scratch, DATA, at)
    exercise.add("sub64_reg", base, scratch)


def _access(exercise: Exercise, row: Row, base: int, operands: dict[str, int], off: int) -> None:
    dst, src = (operands["dst"], base) if row.kind is Kind.LOAD else (base, operands.get("src", 0))
    exercise.append(make(row, dst, src, off, operands.get("imm", 0)))


def _show_data(exercise: Exercise, at: int, width: int, registers: Sequence[int]) -> None:
    """Store the bytes around an access (word by word, as they lie) and registers; R8 and R9 are lost."""
    exercise.point(8, DATA, max(at - 8, 0) & -8)
    for word in range(3):
        exercise.add("ldx64", 9, 8, 8 * word)
        exercise.point(7, RESULTS, exercise.stored)
        exercise.add("stx64", 7, 9, 0)
        exercise.stored += 8
    exercise.store(registers, 7)


def _accesses(row: Row, order: Order, every: int) -> Case:
    """Offsets at every boundary, values of every edge."""
    exercise = Exercise(f"{row.name} accesses")
    aligned = row.width // 8 if row.aligned else 1
    cases: list[tuple[int, int, int]] = [(off, 64, EDGES[n % len(EDGES)]) for n, off in enumerate(OFFSETS)]
    cases += [(8, (64 + 8 * n + (0 if aligned > 1 else n % 3)), value) for n, value in enumerate(EDGES)]
    for n, (off, at, value) in list(enumerate(cases))[::every]:
        _aim(exercise, 2, at, off)
        exercise.set(3, value)
        exercise.set(0, value ^ (n & 1))
        imm = IMMEDIATES[n % len(IMMEDIATES)]
        if row.op == "cmpxchg":  # half of the time memory holds what R0 says
            exercise.point(1, DATA, at)
            exercise.add("stx64" if row.width == 64 else "stx32", 1, 3)
            exercise.set(3, M64 ^ value)
        _access(exercise, row, 2, {"dst": 3, **_operands(row, imm, 3)}, off)
        _relative(exercise, 2, 1, at)
        _show_data(exercise, at, row.width, (0, 2, 3))
    return exercise.finish(order)


def _access_registers(row: Row, order: Order, every: int) -> Iterator[Case]:
    """Every base with every other register, on the stack for R10. Addresses as data in a case of their own."""
    others = range(11) if "src" in row.fields and "dst" in row.fields else (0,)
    for with_addresses, name in ((False, "registers"), (True, "addresses")):
        exercise = Exercise(f"{row.name} {name}")
        for base, other in list(product(range(11), others))[::every]:
            if other == FRAME_POINTER and (row.kind is Kind.LOAD or row.writes_src):
                continue
            address = len(others) > 1 and (other in (base, FRAME_POINTER) or (row.op == "cmpxchg" and base == 0))
            if (address and row.kind is not Kind.LOAD) is with_addresses:
                _access_register(exercise, row, base, other)
        if exercise.slots:
            yield exercise.finish(order)


def _access_register(exercise: Exercise, row: Row, base: int, other: int) -> None:
    at = 128 + 8 * other
    for register in range(10):
        edge = EDGES[(3 * register + base + 5 * other) % len(EDGES)]
        exercise.set(register, edge ^ 0x0101_0000_0010_0000 * register)
    off = -64
    if base == FRAME_POINTER:
        scratch = next(r for r in (6, 5) if r != other)
        exercise.set(scratch, 0x8182_8384_8586_8788)
        exercise.add("stx64", 10, scratch, off)
    else:
        _aim(exercise, base, at, off)
    _access(exercise, row, base, {"dst": other, **_operands(row, 0x1234 - base, other)}, off)
    spare = next(r for r in (9, 8, 7) if r not in (base, other))
    if base != FRAME_POINTER and (base != other or row.kind is not Kind.LOAD):
        _relative(exercise, base, spare, at)
    exercise.store([r for r in range(10) if r != spare], spare)
    if base == FRAME_POINTER:
        exercise.add("ldx64", 8, 10, off)
        exercise.store((8,), 7)
    else:
        exercise.point(8, DATA, at)
        exercise.add("ldx64", 9, 8, 0)
        exercise.store((9,), 7)


def _wide(row: Row, order: Order) -> Case:
    """Constants of every shape, or the address that a form stands for, in every register."""
    exercise = Exercise(f"{row.name} values")
    if row.op == "imm":
        shifted = [(value << shift) & M64 for value in (0xFF, 0x8001, 0xFFFF_8000) for shift in range(0, 64, 4)]
        immediates = [*CORNERS, *(value & M64 for value in IMMEDIATES), *shifted, *(M64 ^ value for value in shifted)]
    elif row.op == "func":
        immediates = [0]
    else:
        immediates = [DATA | offset << 32 for offset in ((0, 8, DATA_SIZE - 1) if "value" in row.op else (0,))]
    for number, imm in enumerate(immediates):
        registers = range(10) if len(immediates) < 8 else (number % 10,)
        for register in registers:
            if row.op == "func":
                imm = -(len(exercise.slots) + 1) & 0xFFFFFFFF
            exercise.append(make(row, register, imm=imm))
            exercise.store((register,), _free(register))
    return exercise.finish(order)

"""Programs that exercise one row of the table: every operand form, edge values crossed, every register pair.

An exercise is straight-line code. Each case sets the registers it needs, runs the instruction once and stores what it
did to a results map, so that one run shows every case and a difference names the instruction (a slot of the program).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from bpf.isa import ROW, Insn, Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.program import Map, Program, program
from fuzz.suite import special

RESULTS, DATA = 0, 1
"""Map indices: where results go, and the memory that loads, stores and atomics work on."""

DATA_SIZE = 4096
_M64 = (1 << 64) - 1
_PATTERN = bytes((17 * n + 129) & 0xFF for n in range(DATA_SIZE))

EDGES = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0x8000_0000_0000_0001, _M64, _M64 - 1, 0x5555_5555_AAAA_AAAA,
    0xDEAD_BEEF_8765_4321, 0xFFFF_FFFF_8000_0000, 0x0123_4567_89AB_CDEF,
)  # fmt: skip
"""Register contents: the sign boundaries of 8, 16, 32 and 64 bits and dirty upper halves."""

IMMEDIATES = (
    0, 1, -1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 127, 128, -128, -129, 255, 256, 2047, 2048, -2048, -2049, 4095, 4096,
    -4096, 0x7FFF, 0x8000, -0x8000, -0x8001, 0xFFFF, 0x10000, 0x7_FFFF, 0x8_0000, -0x8_0000, 0xFF0000, 0x7FFF_F7FF,
    0x7FFF_F800, 0x7FFF_8000, 0x7FFF_FFFF, -0x8000_0000, -0x7FFF_FFFF, 0x5555_5555, 0x0FF0_0FF0,
    -0x7FFF_8000, -0x0FF0_0FF1, 0xFE, 0xFFFE, 0x7FFF_FFFE,
)  # fmt: skip
"""Immediates at the encoding boundaries of all five machines."""

OFFSETS = (
    0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 257, 2046, 2047, 2048, 4092, 4095, 4096, 32760, 32767, -1, -2, -4, -8,
    -127, -128, -129, -256, -257, -2048, -2049, -4096, -4097, -32767, -32768,
)  # fmt: skip
"""Memory offsets at the encoding boundaries of all five machines."""


class Exercise:
    """Builds one program: cases one after the other, results into the map."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.slots: list[Insn | None] = []
        self.stored = 0

    def add(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        """Append an instruction by its row's name."""
        self.append(make(ROW[name], dst, src, off, imm))

    def append(self, insn: Insn) -> None:
        """Append an instruction."""
        self.slots.append(insn)
        if insn.slots == 2:
            self.slots.append(None)

    def set(self, register: int, value: int) -> None:
        """Put a 64-bit value into a register."""
        self.add("lddw_imm", register, imm=value & _M64)

    def point(self, register: int, index: int, offset: int) -> None:
        """Put the address of a byte of a map into a register."""
        self.add("lddw_map_idx_value", register, imm=offset << 32 | index)

    def store(self, registers: Sequence[int], base: int) -> None:
        """Store registers to the results map through `base`, which is lost."""
        self.point(base, RESULTS, self.stored)
        for number, register in enumerate(registers):
            self.add("stx64", base, register, 8 * number)
        self.stored += 8 * len(registers)

    def finish(self, order: str) -> Program:
        """The program: the cases, then exit with R0 = 0."""
        self.add("mov64_imm", 0, imm=0)
        return self.finish_function(order)

    def finish_function(self, order: str) -> Program:
        """The program: the cases, then exit."""
        self.add("exit")
        results = Map("results", value_size=max(self.stored, 8), initial=bytes(max(self.stored, 8)))
        data = Map("data", value_size=DATA_SIZE, initial=_PATTERN)
        return program(self.slots, name=self.name, order=order, maps=(results, data))


def exercises(row: Row, order: str, every: int = 1) -> Iterator[Program]:
    """The programs that exercise a row, in a byte order. A row that has nothing to run (lddw of BTF) has none.

    every: take only every so manieth case, where there are many.
    """
    if special.applies(row):
        yield from special.exercises(row, order, Exercise)
    elif row.kind in (Kind.ALU, Kind.BRANCH):
        yield from (_values(row, order, every), _registers(row, order, every))
    elif row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC):
        yield from (_accesses(row, order, every), _access_registers(row, order, every))
    elif row.kind in (Kind.GOTO, Kind.EXIT) or row.op == "call_local":
        yield _control(row, order)
    elif row.op == "call_helper":
        yield _helper(order)
    elif row.op != "btf_id":
        yield _wide(row, order)


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


def _values(row: Row, order: str, every: int) -> Program:
    """Edge values crossed with edge values or immediates, in two registers."""
    exercise = Exercise(f"{row.name} values")
    if "src" in row.fields:
        pairs = [(a, {"src": 4}, b) for a, b in product(EDGES, EDGES)]
    elif "imm" in row.fields:
        pairs = [(a, {"imm": imm}, 0) for n, imm in enumerate(IMMEDIATES) for a in _beside(imm, n)]
    else:
        pairs = [(a, {}, 0) for a in EDGES]
    for a, operands, b in pairs[::every]:
        exercise.set(3, a)
        if "src" in operands:
            exercise.set(4, b)
        _emit(exercise, row, 3, operands, (4,) if "src" in operands else ())
    return exercise.finish(order)


def _beside(imm: int, number: int) -> tuple[int, ...]:
    """Register contents for an immediate: itself, its neighbours, its negative, under other upper bits; some edges."""
    near = (imm, imm + 1, imm - 1, -imm, imm ^ 1 << 40, imm ^ 1 << 31)
    return (*(value & _M64 for value in near), 0xDEAD_BEEF_8765_4321, *(EDGES + EDGES)[3 * number % len(EDGES) :][:3])


def _registers(row: Row, order: str, every: int) -> Program:
    """Every destination with every source, equal ones and R10 too, all registers stored afterwards."""
    exercise = Exercise(f"{row.name} registers")
    sources = range(11) if "src" in row.fields else (0,)
    for dst, src in list(product(range(11), sources))[::every]:
        if dst == FRAME_POINTER and row.writes_dst:
            continue
        for register in range(10):
            edge = EDGES[(3 * register + dst + 5 * src) % len(EDGES)]
            exercise.set(register, edge ^ 0x1111_0000_0000_1000 * register)
        operands = {"src": src} if "src" in row.fields else {"imm": -7 + dst} if "imm" in row.fields else {}
        base = _free(dst, operands.get("src", -1))
        _emit(exercise, row, dst, operands, [r for r in range(10) if r != base])
    return exercise.finish(order)


def _aim(exercise: Exercise, base: int, at: int, off: int) -> None:
    """Make base + off the address of byte `at` of the data."""
    exercise.point(base, DATA, at)
    if off:
        exercise.add("add64_imm", base, imm=-off)


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


def _accesses(row: Row, order: str, every: int) -> Program:
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
            exercise.set(3, _M64 ^ value)
        _access(exercise, row, 2, {"dst": 3, **_operands(row, imm, 3)}, off)
        _show_data(exercise, at, row.width, (0, 2, 3))
    return exercise.finish(order)


def _access_registers(row: Row, order: str, every: int) -> Program:
    """Every base with every other register, equal ones too; R10 as the base works on the stack."""
    exercise = Exercise(f"{row.name} registers")
    others = range(11) if "src" in row.fields and "dst" in row.fields else (0,)
    for base, other in list(product(range(11), others))[::every]:
        if other == FRAME_POINTER and (row.kind is Kind.LOAD or row.writes_src):
            continue
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
        results = [r for r in range(10) if r != (spare := next(r for r in (9, 8, 7) if r not in (base, other)))]
        exercise.store(results, spare)
        if base == FRAME_POINTER:
            exercise.add("ldx64", 8, 10, off)
            exercise.store((8,), 7)
        else:
            exercise.point(8, DATA, at)
            exercise.add("ldx64", 9, 8, 0)
            exercise.store((9,), 7)
    return exercise.finish(order)


def _control(row: Row, order: str) -> Program:
    """Jumps over one instruction, forward and back; a call with every register full; exits of two functions."""
    exercise = Exercise(f"{row.name} control")
    for register in range(10):
        exercise.set(register, EDGES[-1 - register])
    if row.kind is Kind.GOTO:
        operand = "imm" if row.op == "gotol" else "off"
        exercise.append(make(row, **{operand: 3}))  # over the next three
        exercise.add("mov64_imm", 6, imm=1)  # back here from below
        exercise.append(make(row, **{operand: 2}))
        exercise.add("mov64_imm", 6, imm=2)
        exercise.append(make(row, **{operand: -4}))
        exercise.store((0, 6, 7), 9)
        return exercise.finish(order)
    call = len(exercise.slots)
    exercise.add("call_local", imm=0)
    exercise.store((0, 6, 7, 8, 10), 9)
    exercise.add("mov64_imm", 0, imm=7)
    exercise.add("jne64_imm", 0, imm=8, off=1)
    exercise.add("exit")
    exercise.add("exit")
    callee = len(exercise.slots)
    exercise.slots[call] = make(ROW["call_local"], imm=callee - call - 1)
    for register in range(6, 10):
        exercise.add("mov64_imm", register, imm=register)
    exercise.add("stx64", 10, 1, -8)
    exercise.add("mov64_reg", 0, 10)
    exercise.add("add64_reg", 0, 5)
    return exercise.finish_function(order)


def _helper(order: str) -> Program:
    """Helper calls with every register full, twice in a row, R6-R9 alive across them."""
    exercise = Exercise("call_helper control")
    for register in range(10):
        exercise.set(register, EDGES[-1 - register])
    for _ in range(2):
        exercise.add("call_helper", imm=7)
        exercise.store((0, 1, 2, 3, 4, 5, 6, 7, 8), 9)
    return exercise.finish(order)


def _wide(row: Row, order: str) -> Program:
    """Constants of every shape, or the address that a form stands for, in every register."""
    exercise = Exercise(f"{row.name} values")
    if row.op == "imm":
        shifted = [(value << shift) & _M64 for value in (0xFF, 0x8001, 0xFFFF_8000) for shift in range(0, 64, 4)]
        immediates = [*EDGES, *(value & _M64 for value in IMMEDIATES), *shifted, *(_M64 ^ value for value in shifted)]
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

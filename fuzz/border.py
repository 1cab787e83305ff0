"""Programs near the border of what a verifier accepts: a profile of the genome (see fuzz/genome.py).

Each number is one gesture of 1 to 8 instructions: scalars that are narrowed, pointers that are moved by them, looked
up, compared, spilled, checked against null and the packet's end, and accesses a byte inside or outside of what was
checked. Decoding is total, 0 is the simplest gesture. The programs are of type sched_cls. Nothing keeps them safe: that
is what the verifier has to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bpf.isa import ROW, ROWS, Insn, Kind, make
from bpf.order import Order
from bpf.program import Map, Program, program
from fuzz.digits import Digits

MAX_GESTURES = 60
VALUE, KEY, DATA_SIZE = 48, 4, 64
DATA = Map("data", value_size=DATA_SIZE, initial=bytes((31 * n + 7) & 0xFF for n in range(DATA_SIZE)))
TABLE = Map("table", "hash", KEY, VALUE, 16)
LIST = Map("list", "array", KEY, VALUE, 4)
MAPS = (DATA, TABLE, LIST)

CONTEXT, PACKET, END, POINTER, FP = 6, 7, 8, 9, 10
_DATA, _DATA_END = 76, 80  # fields of struct __sk_buff
_LOOKUP, _LOAD_BYTES, _CSUM_DIFF, _RANDOM = 1, 26, 28, 7
_ALU = tuple(row for row in ROWS if row.kind is Kind.ALU)
_BRANCHES = tuple(row for row in ROWS if row.kind is Kind.BRANCH)
_LOADS = tuple(row for row in ROWS if row.kind is Kind.LOAD and not row.ordered)
_STORES = tuple(row for row in ROWS if row.kind is Kind.STORE and not row.ordered)
_ATOMICS = tuple(row for row in ROWS if row.kind is Kind.ATOMIC)
_SMALL = (0, 1, 7, 8, 3, 15, 16, 4, 2, 31, 40, 47, 48, 49, 63, 64, 255, -1, -8, -16, 511, 512, 0xFFFF, 0x7FFF_FFFF)
_MASKS = (7, 15, 31, 40, 47, 63, 1, 255, 0xFFFF, 8, 0x7FFF_FFFF, -8)
_POINTERS = (POINTER, POINTER, PACKET, 0, 1, 2, 3, 4, 5)


class Body:
    """A program under construction.

    open   jumps that land after some more gestures; loops: (gestures left, start, register, turns)
    """

    def __init__(self) -> None:
        self.slots: list[Insn | None] = []
        self.open: list[tuple[int, int]] = []
        self.loops: list[tuple[int, int, int, int]] = []

    def add(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        """Append an instruction by its row's name."""
        insn = make(ROW[name], dst, src, off, imm)
        self.slots.append(insn)
        if insn.slots == 2:
            self.slots.append(None)

    def jump(self, insn: Insn, reach: int) -> None:
        """A jump over the next gestures."""
        self.open.append((reach, len(self.slots)))
        self.slots.append(insn)

    def tick(self) -> None:
        """A gesture is complete."""
        self.loops = [(left - 1, start, register, turns) for left, start, register, turns in self.loops]
        while self.loops and self.loops[-1][0] <= 0:
            _, start, register, turns = self.loops.pop()
            self.land(lambda left, slot, start=start: slot >= start)  # type: ignore[misc]
            self.add("add64_imm", register, imm=1)
            self.add("jlt64_imm", register, imm=turns, off=start - len(self.slots) - 1)
        self.open = [(left - 1, slot) for left, slot in self.open]
        self.land(lambda left, slot: left <= 0)

    def land(self, when: Callable[[int, int], bool]) -> None:
        """Some of the open jumps land here."""
        for left, slot in self.open:
            if when(left, slot):
                insn = self.slots[slot]
                assert insn is not None
                self.slots[slot] = insn.with_distance(len(self.slots) - slot - 1)
        self.open = [(left, slot) for left, slot in self.open if not when(left, slot)]


def _number(body: Body, digits: Digits) -> None:
    """A number that is not known, from a map's value or a helper, into a register."""
    dst, at = digits.below(6), digits.below(4) * 8
    row = digits.row(_LOADS)
    if digits.below(4) == 0:
        body.add("mov64_imm", dst, imm=digits.immediate())
        return
    body.add("lddw_map_idx_value", dst, imm=at << 32)
    body.slots.append(make(row, dst, dst))


def _mask(body: Body, digits: Digits) -> None:
    name = ("and64_imm", "and32_imm", "rsh64_imm", "rsh32_imm", "arsh64_imm", "mod64_imm")[digits.below(6)]
    imm = _MASKS[digits.below(len(_MASKS))]
    body.add(name, digits.below(6), imm=imm if "and" in name else (imm & 31) or 1)


def _alu(body: Body, digits: Digits) -> None:
    row, dst = digits.row(_ALU), digits.below(6)
    imm = 0
    if "imm" in row.fields:
        imm = _SMALL[digits.below(len(_SMALL))]
        imm = imm & row.width - 1 if row.op in ("lsh", "rsh", "arsh") else imm or 1
    body.slots.append(make(row, dst, digits.below(6) if "src" in row.fields else 0, imm=imm))


def _copy(body: Body, digits: Digits) -> None:
    body.add("mov64_reg", digits.below(6), digits.below(11))


def _compare(body: Body, digits: Digits) -> None:
    row, reach = digits.row(_BRANCHES), 1 + digits.below(4)
    dst = (*range(6), POINTER, PACKET)[digits.below(8)]
    by_register = "src" in row.fields
    imm = 0 if by_register else _SMALL[digits.below(len(_SMALL))]
    body.jump(make(row, dst, digits.below(6) if by_register else 0, imm=imm), reach)


def _move_pointer(body: Body, digits: Digits) -> None:
    pointer = _POINTERS[digits.below(len(_POINTERS))]
    if digits.below(3):
        body.add("add64_reg", pointer, digits.below(6))
    else:
        body.add("add64_imm", pointer, imm=_SMALL[digits.below(len(_SMALL))])


def _access(body: Body, digits: Digits) -> None:
    rows = (_LOADS, _STORES, _LOADS, _ATOMICS)[digits.below(4)]
    row, pointer = digits.row(rows), _POINTERS[digits.below(len(_POINTERS))]
    off, other = _SMALL[digits.below(16)], digits.below(6)
    if row.kind is Kind.LOAD:
        body.slots.append(make(row, other, pointer, off))
    else:
        src, imm = other if "src" in row.fields else 0, digits.below(4) if "imm" in row.fields else 0
        body.slots.append(make(row, pointer, src, off, imm))


def _stack(body: Body, digits: Digits) -> None:
    store = digits.below(2) == 0
    row = digits.row(_STORES if store else _LOADS)
    size = row.width // 8
    off, other = -size * (1 + digits.below(64 // size)), digits.below(10)
    if store:
        src, imm = other if "src" in row.fields else 0, digits.below(3) if "imm" in row.fields else 0
        body.slots.append(make(row, FP, src, off, imm))
    else:
        body.slots.append(make(row, other % 6, FP, off))


def _spill(body: Body, digits: Digits) -> None:
    off = -8 * (1 + digits.below(8))
    register = digits.below(10)
    if digits.below(2):
        body.add("ldx64", register if register != CONTEXT else 0, FP, off)
    else:
        body.add("stx64", FP, register, off)


def _stack_pointer(body: Body, digits: Digits) -> None:
    dst = digits.below(6)
    body.add("mov64_reg", dst, FP)
    body.add("add64_imm", dst, imm=-8 * (1 + digits.below(8)))


def after_call(body: Body) -> None:
    for register in range(1, 6):
        body.add("mov64_imm", register, imm=register)


def _look_up(body: Body, digits: Digits) -> None:
    """A lookup; the null check may be left out."""
    index = 1 + digits.below(2)
    key = digits.below(6)
    body.add("st32", FP, off=-68, imm=key)
    body.add("mov64_reg", 2, FP)
    body.add("add64_imm", 2, imm=-68)
    body.add("lddw_map_idx", 1, imm=index)
    body.add("call_helper", imm=_LOOKUP)
    body.add("mov64_reg", POINTER, 0)
    after_call(body)
    checked = digits.below(4)
    if checked:
        body.jump(make(ROW["jeq64_imm"], 0 if checked == 1 else POINTER), 1 + digits.below(4))


def _packet(body: Body, digits: Digits) -> None:
    """The packet's bounds: data + n against data_end, either way round."""
    dst, far = digits.below(6), _SMALL[digits.below(16)]
    if digits.below(3) == 0:
        body.add("ldx32", PACKET, CONTEXT, _DATA)
        body.add("ldx32", END, CONTEXT, _DATA_END)
    body.add("mov64_reg", dst, PACKET)
    body.add("add64_imm", dst, imm=far)
    name = ("jgt64_reg", "jge64_reg", "jlt64_reg", "jle64_reg")[digits.below(4)]
    a, b = (dst, END) if digits.below(2) == 0 else (END, dst)
    body.jump(make(ROW[name], a, b), 1 + digits.below(3))


def _memory_call(body: Body, digits: Digits) -> None:
    """A helper that reads or writes as many bytes at a pointer as a register says."""
    pointer, size = _POINTERS[digits.below(len(_POINTERS))], digits.below(6)
    bound = digits.below(3)
    if bound:
        body.add("and64_imm", size, imm=_MASKS[digits.below(len(_MASKS))])
    if digits.below(2):
        body.add("mov64_reg", 3, pointer)
        body.add("mov64_reg", 4, size)
        body.add("mov64_reg", 1, CONTEXT)
        body.add("mov64_imm", 2, imm=0)
        body.add("call_helper", imm=_LOAD_BYTES)
    else:
        body.add("mov64_reg", 1, pointer)
        body.add("mov64_reg", 2, size)
        body.add("mov64_imm", 3)
        body.add("mov64_imm", 4)
        body.add("mov64_imm", 5)
        body.add("call_helper", imm=_CSUM_DIFF)
    after_call(body)


def _loop(body: Body, digits: Digits) -> None:
    """The head of a loop over the next gestures, counted by a register that they may touch."""
    if len(body.loops) >= 2:
        return
    register = digits.below(6)
    body.land(lambda left, slot: True)
    body.add("mov64_imm", register)
    body.loops.append((2 + digits.below(3), len(body.slots), register, 1 + digits.below(8)))


def _leave(body: Body, digits: Digits) -> None:
    row = digits.row(_BRANCHES)
    by_register = "src" in row.fields
    imm = 0 if by_register else _SMALL[digits.below(len(_SMALL))]
    body.slots.append(make(row, digits.below(6), digits.below(6) if by_register else 0, 2, imm))
    body.add("mov64_imm", 0)
    body.add("exit")


Gesture = Callable[[Body, Digits], None]
GESTURES: tuple[Gesture, ...] = (
    _number, _mask, _alu, _alu, _number, _mask, _copy, _compare, _compare, _move_pointer, _access, _access, _access,
    _stack, _stack, _spill, _spill, _stack_pointer, _look_up, _look_up, _packet, _packet, _memory_call, _loop, _leave,
    _mask, _compare, _access,
)  # fmt: skip


def _copy_number(body: Body, digits: Digits) -> None:
    body.add("mov64_reg", digits.below(6), digits.below(6))


def _compare_number(body: Body, digits: Digits) -> None:
    row, reach = digits.row(_BRANCHES), 1 + digits.below(4)
    by_register = "src" in row.fields
    imm = 0 if by_register else _SMALL[digits.below(len(_SMALL))]
    body.jump(make(row, digits.below(6), digits.below(6) if by_register else 0, imm=imm), reach)


def _store_number(body: Body, digits: Digits) -> None:
    """A number to the stack or from there, all of it or a part."""
    off, number = -8 * (1 + digits.below(4)), digits.below(6)
    if digits.below(2):
        body.slots.append(make(digits.row(_LOADS), number, FP, off))
    else:
        row = digits.row(_STORES)
        by_register = "src" in row.fields
        body.slots.append(make(row, FP, number if by_register else 0, off, 0 if by_register else digits.below(3)))


NUMBERS: tuple[Gesture, ...] = (
    _number, _mask, _alu, _compare_number, _alu, _compare_number, _copy_number, _alu, _store_number, _number,
)  # fmt: skip
"""Gestures that access nothing but the stack and known places: a verifier accepts them; what it thinks of is tested."""


def radices(genome: Sequence[int], gestures: Sequence[Gesture] = GESTURES) -> list[list[int]]:
    """The radices of the digits that decoding reads of each gesture."""
    read: list[Digits] = []
    decode(genome, read=read, gestures=gestures)
    return [digits.radices for digits in read] + [[]] * len(genome[MAX_GESTURES:])


def begin(body: Body) -> None:
    """What every program starts with: something in each register."""
    body.add("mov64_reg", CONTEXT, 1)
    body.add("ldx32", PACKET, CONTEXT, _DATA)
    body.add("ldx32", END, CONTEXT, _DATA_END)
    body.add("lddw_map_idx_value", POINTER)
    body.add("ldx64", 0, POINTER)
    body.add("ldx32", 1, POINTER, 8)
    body.add("ldx8", 2, POINTER, 16)
    body.add("mov64_imm", 3, imm=8)
    body.add("mov64_reg", 4, FP)
    body.add("add64_imm", 4, imm=-32)
    body.add("mov64_imm", 5, imm=1)


def end(body: Body) -> None:
    """Close what is open, and leave."""
    while body.loops:
        body.loops = [(0, *rest) for _, *rest in body.loops]  # type: ignore[misc]
        body.tick()
    body.land(lambda left, slot: True)
    body.add("mov64_imm", 0)
    body.add("exit")


def decode(
    genome: Sequence[int], order: Order = "little", read: list[Digits] | None = None,
    gestures: Sequence[Gesture] = GESTURES,
) -> Program:  # fmt: skip
    """The program of a genome. Total: never raises. read: gets the digits of each gesture. gestures: a profile's."""
    body = Body()
    begin(body)
    if gestures is NUMBERS:
        body.add("ldx64", 4, POINTER, 24)
    for number in genome[:MAX_GESTURES]:
        digits = Digits(number)
        if read is not None:
            read.append(digits)
        gestures[digits.below(len(gestures))](body, digits)
        body.tick()
    end(body)
    return program(body.slots, name="border", order=order, maps=MAPS)

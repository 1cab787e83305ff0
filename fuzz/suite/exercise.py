"""Building a program of the suite: instructions one after the other, and maps that it reads from and writes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bpf.isa import ROW, Insn, make
from bpf.order import Order
from bpf.program import Map, Program, program
from bpf.spec.conventions import PACKET, PLAIN, Convention
from fuzz.suite.values import M64
from vm.world import Input

RESULTS, DATA = 0, 1
"""Map indices: where results go, and the memory that loads, stores and atomics work on."""

DATA_SIZE = 4096
_PATTERN = bytes((17 * n + 129) & 0xFF for n in range(DATA_SIZE))


@dataclass(frozen=True, slots=True)
class Case:
    """One program of the suite. Its name starts with that of the row which it is about.

    turns   how often it does what it does, each time with other operands
    target  the machine whose encodings it is aimed at; "" for all engines alike
    entry   what it is given
    """

    program: Program
    turns: int = 1
    target: str = ""
    entry: Input = field(default_factory=Input)

    @property
    def convention(self) -> Convention:
        """How it is entered."""
        return PACKET if self.entry.packet else PLAIN

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    @property
    def row(self) -> str:
        """The name of the row, or of what else it is about."""
        return self.name.split()[0]

    @property
    def evaluations(self) -> int:
        """How often the row's instruction is run, at least once."""
        row = ROW.get(self.row)
        return self.turns * max(sum(insn is not None and insn.row is row for insn in self.program.insns), 1)


class Exercise:
    """A program under construction. What it stores goes to the results map, so that a run shows every case."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.slots: list[Insn | None] = []
        self.stored = 0
        self.data = _PATTERN
        self.turns = 1

    def add(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> int:
        """Append an instruction by its row's name; its slot."""
        return self.append(make(ROW[name], dst, src, off, imm))

    def append(self, insn: Insn) -> int:
        """Append an instruction; its slot."""
        self.slots.append(insn)
        if insn.slots == 2:
            self.slots.append(None)
        return len(self.slots) - insn.slots

    def land(self, slot: int) -> None:
        """The jump or call in that slot goes to what is appended next."""
        insn = self.slots[slot]
        assert insn is not None
        self.slots[slot] = insn.with_distance(len(self.slots) - slot - 1)

    def set(self, register: int, value: int) -> None:
        """Put a 64-bit value into a register."""
        self.add("lddw_imm", register, imm=value & M64)

    def point(self, register: int, index: int, offset: int) -> None:
        """Put the address of a byte of a map into a register."""
        self.add("lddw_map_idx_value", register, imm=offset << 32 | index)

    def store(self, registers: Sequence[int], base: int) -> None:
        """Store registers to the results map through `base`, which is lost."""
        self.point(base, RESULTS, self.stored)
        for number, register in enumerate(registers):
            self.add("stx64", base, register, 8 * number)
        self.stored += 8 * len(registers)

    def finish(self, order: Order) -> Case:
        """The case: what stands here, then exit with R0 = 0."""
        self.add("mov64_imm", 0, imm=0)
        return self.finish_function(order)

    def finish_function(self, order: Order) -> Case:
        """The case: what stands here, then exit."""
        self.add("exit")
        results = Map("results", value_size=max(self.stored, 8), initial=bytes(max(self.stored, 8)))
        data = Map("data", value_size=len(self.data), initial=self.data)
        return Case(program(self.slots, name=self.name, order=order, maps=(results, data)), self.turns)


IN, OUT, LEFT = 6, 7, 8
"""Registers of a sweep's loop: where it reads operands, where it stores results, turns left."""


def sweep(name: str, operands: bytes, turns: int, stored: int, body: Callable[[Exercise], None]) -> Exercise:
    """A program that does `body` for one set of operands after the other: a batch, driven by BPF itself.

    operands: of all turns, in the data map. stored: bytes of results of a turn. body: appends the instructions of a
    turn, which find their operands from R6 on, store results from R7 on, and leave R6, R7, R8 and R10 alone. The
    program is not finished.
    """
    exercise = Exercise(name)
    exercise.data = operands
    exercise.turns = turns
    exercise.point(IN, DATA, 0)
    exercise.point(OUT, RESULTS, 0)
    exercise.add("mov64_imm", LEFT, imm=turns)
    start = len(exercise.slots)
    body(exercise)
    exercise.add("add64_imm", IN, imm=len(operands) // turns)
    exercise.add("add64_imm", OUT, imm=stored)
    exercise.add("sub64_imm", LEFT, imm=1)
    exercise.add("jne64_imm", LEFT, off=start - len(exercise.slots) - 1)
    exercise.stored = turns * stored
    return exercise

"""Instruction boundaries: what a trace shows, the same from every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bpf.isa import Kind
from bpf.program import Program
from vm.memory import Memory

Writes = tuple[tuple[int, bytes], ...]


class Step(NamedTuple):
    """One instruction boundary: the slot about to run, R0-R10, and the bytes that the instruction before it changed."""

    pc: int
    registers: tuple[int, ...]
    writes: Writes


class Watch:
    """Makes Steps: remembers what the running instruction is about to write and looks again after it."""

    def __init__(self, program: Program, memory: Memory) -> None:
        self.program = program
        self.memory = memory
        self._pending: tuple[int, int, bytes] | None = None
        memory.writes = []

    def step(self, pc: int, registers: Sequence[int]) -> Step:
        """The boundary before slot pc, with these R0-R10."""
        memory = self.memory
        writes = list(memory.writes or ())
        memory.writes = []
        if self._pending is not None:
            address, size, before = self._pending
            after = memory.read(address, size)
            writes = [(address, after)] if after != before else []
        self._pending = self._expect(pc, registers)
        return Step(pc, tuple(registers), tuple(writes))

    def _expect(self, pc: int, registers: Sequence[int]) -> tuple[int, int, bytes] | None:
        insn = self.program.insns[pc]
        if insn is None or insn.row.kind not in (Kind.STORE, Kind.ATOMIC):
            return None
        address, size = (registers[insn.dst] + insn.off) & (1 << 64) - 1, insn.row.width // 8
        if self.memory.first_bad(address, size, False) is not None:
            return None
        return address, size, self.memory.read(address, size)

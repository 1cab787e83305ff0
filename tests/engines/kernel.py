"""What the tests of the live kernel's engine share: a stand-in for bpf(), and programs that a verifier can take."""

from __future__ import annotations

import sys
from dataclasses import replace

from bpf.isa import ROW, Insn, Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.plan import PLANS, Unit
from bpf.program import Map, Program, program
from bpf.rewrite import insert
from bpf.spec.conventions import PACKET, PLAIN
from engines import syscall
from tests.strategies import DATA
from vm.interpreter import Interpreter
from vm.world import Input, Limits, World


class Stand:
    """The calls of engines/syscall.py that the engine makes, without a verifier: programs run in the interpreter.

    Addresses, the stack's bytes, and what helpers see are other ones than the plan's and the World's.
    """

    def __init__(self) -> None:
        self.maps: list[Map] = []
        self.values: list[bytes] = []
        self.frozen: set[int] = set()
        self.programs: dict[int, Program] = {}
        self.names: list[str] = []
        self.kinds: list[int] = []

    def create_array(self, name: str, value_size: int, *, readonly: bool = False) -> int:
        self.maps.append(Map(f"{name}{len(self.maps)}", value_size=value_size, initial=bytes(value_size)))
        self.values.append(bytes(value_size))
        return len(self.maps) - 1

    def freeze(self, descriptor: int) -> None:
        self.frozen.add(descriptor)

    def write_value(self, descriptor: int, value: bytes) -> None:
        assert descriptor not in self.frozen
        assert len(value) == self.maps[descriptor].value_size
        self.values[descriptor] = value

    def read_value(self, descriptor: int, size: int) -> bytes:
        return self.values[descriptor]

    def load(
        self, code: bytes, *, name: str = "", log_level: int = 4, kind: int = 31, functions: object = None,
        attach: int = 0,
    ) -> tuple[int, str]:  # fmt: skip
        self.names.append(name)
        self.kinds.append(kind)
        descriptor = 1_000_000 + len(self.programs)  # close() does not know it
        self.programs[descriptor] = program(code, order=sys.byteorder)
        return descriptor, ""

    def test_run(self, descriptor: int, packet: bytes) -> int:
        maps = tuple(replace(map_, initial=value) for map_, value in zip(self.maps, self.values, strict=True))
        convention = PACKET if self.kinds[descriptor - 1_000_000] == syscall.SOCKET_FILTER else PLAIN
        unit = Unit((self.programs[descriptor],), maps, convention, PLANS["kernel"])
        given = Input(stack_fill=0x3C, packet=packet)
        outcome = Interpreter(unit, unit.programs[0]).run(given, World(random=1), Limits())
        assert outcome.status == "done", outcome
        assert outcome.regions is not None
        for n, region in enumerate(unit.map_regions):
            at = region.start - region.first_page
            self.values[n] = outcome.regions[region.name][at : at + maps[n].value_size]
        return 0

    LOG_STEPS, SOCKET_FILTER, SYSCALL = syscall.LOG_STEPS, syscall.SOCKET_FILTER, syscall.SYSCALL
    LoadError = syscall.LoadError


def ready(prog: Program) -> Program:
    """A running_programs() program that starts with values in R0, R3-R9 and the stack, which no verifier knows."""
    slots: list[Insn] = []
    for n in range(8):
        slots += [*_load(0, 8 * n), make(ROW["stx64"], 10, 0, -8 * n - 8)]
    for register in (0, *range(3, 10)):
        slots += _load(register, 64 + 8 * register)
    return insert(prog, {0: slots}).program


def _load(register: int, offset: int) -> list[Insn]:
    assert offset + 8 <= DATA.value_size
    return [make(ROW["lddw_map_idx_value"], register, imm=offset << 32), make(ROW["ldx64"], register, register)]


def mutes(insn: Insn) -> bool:
    """Whether the verifier has a rule against the operands of an instruction: constants without meaning, pointers as
    numbers. (A fetching atomic loses its own base before the verifier looks at the write.)"""
    row, dst, src, _, imm = insn
    if row.kind is Kind.ALU and "imm" in row.fields:
        shifts = row.op in ("lsh", "rsh", "arsh")
        if (row.op in ("div", "mod", "sdiv", "smod") and imm == 0) or (shifts and not 0 <= imm < row.width):
            return True
    pointer = FRAME_POINTER in ((dst, src) if "src" in row.fields else (dst,))
    if row.kind in (Kind.ALU, Kind.BRANCH):
        return pointer and row.name != "mov64_reg"
    if row.kind is Kind.ATOMIC:
        return src in (dst, FRAME_POINTER) or (row.op == "cmpxchg" and dst == 0)
    return row.kind is Kind.STORE and "src" in row.fields and row.width < 64 and src in (dst, FRAME_POINTER)


def muted(prog: Program, row: Row) -> Program:
    """An exercise of a row without the cases that the verifier has a rule against."""
    nothing = make(ROW["ja"])
    slots = [nothing if insn is not None and insn.row is row and mutes(insn) else insn for insn in prog.insns]
    return program(slots, name=prog.name, order=prog.order, maps=prog.maps)


def hidden(prog: Program) -> Program:
    """The same with its 64-bit constants in a map, so that the verifier does not know them.

    It removes branches whose outcome it knows; these it has to leave to the JIT.
    """
    before, constants, slots = {}, b"", list(prog.insns)
    for pc, insn in enumerate(prog.insns):
        if insn is None or insn.row.name != "lddw_imm":
            continue
        where = len(constants) << 32 | len(prog.maps)
        before[pc] = [make(ROW["lddw_map_idx_value"], insn.dst, imm=where)]
        slots[pc : pc + 2] = make(ROW["ldx64"], insn.dst, insn.dst), make(ROW["ja"])
        constants += insn.imm.to_bytes(8, "big" if prog.order == "big" else "little")
    table = Map("constants", value_size=max(len(constants), 8), initial=constants or bytes(8))
    opened = program(slots, name=prog.name, order=prog.order, maps=(*prog.maps, table))
    return insert(opened, before).program

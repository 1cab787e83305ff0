"""Compiled code holds nothing but whole instructions that the target's encoder can make, none of them privileged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

import pytest

from bpf.errors import Refused
from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.plan import STUB_SIZE, Unit
from bpf.program import Map, Program, program
from bpf.spec.kfuncs import BY_NAME
from fuzz.suite.special import ARENA
from jit.image import Image
from jit.pipeline import compile_program
from jit.registry import TARGETS
from jit.target import Target
from tests.jit.judges import disassemble, disassembler, mnemonics, privileged

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))

EXIT = make(ROW["exit"])
DATA = Map("data", value_size=64, initial=bytes(64))
HELPER = 7  # get_prandom_u32

REGISTERS = ((0, 1), (1, 0), (3, 3), (4, 2), (2, 5), (6, 9), (9, 0), (0, 10), (8, 10), (5, 4))
IMMEDIATES: tuple[int, ...] = (
    *(0, 1, -1, 5, 31, 63, 127, 128, -128, -129, 2047, 2048, -2048, -2049, 4095, 4096, 0x7FFF, 0x8000, -0x8000),
    *(-0x8001, 0xFF00, 0x5555_5555, 0x0FFF_F000, 0x7FFF_F7FF, 0x7FFF_F800, 2**31 - 1, -(2**31)),
)
OFFSETS: tuple[int, ...] = (0, 8, 127, 128, -128, -129, 255, 256, -256, -257, 2047, 2048, -2048, -2049)
OFFSETS += (4095, 4096, 16380, 32767, -32768)
WIDE: tuple[int, ...] = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 0x1234_5678_9ABC_DEF0)
WIDE += (1 << 63, (1 << 64) - 1)
WIDE += (0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_7FFF_FFFF, 0xFFFF_0000_0000_FFFF, 0x5555_5555_5555_5555)
TOO_FAR_FOR_16 = 40_000  # slots: 160 KB of code on the machine whose moves are 4 bytes


def assert_wholly_known(image: Image) -> None:
    """Capstone decodes every byte of the image, and every instruction is one that the encoder has vectors for."""
    decoded = disassemble(image.target, image.code, image.base)
    size = sum(size for size, _, _ in decoded)
    assert size == len(image.code), f"no instruction at {size:#x}: {image.code[size : size + 8].hex()}"
    found = {name for _, name, _ in decoded}
    for at in range(0, len(image.entries), STUB_SIZE):
        found |= _entry(image.target, image.entries[at : at + STUB_SIZE], image.entry_base + at)
    strange = found - mnemonics(image.target)
    assert not strange, f"the encoder has no vector that Capstone calls {sorted(strange)}"


def _entry(target: Target, slot: bytes, address: int) -> set[str]:
    """The mnemonics of an entry slot: instructions, then zeros to its end."""
    names = set()
    at = 0
    for size, name, _ in disassemble(target, slot, address):
        names.add(name)
        at += size
        if not any(slot[at:]):
            return names
    raise AssertionError(f"entry slot {slot.hex()}: no instruction at {at}")


def operands(row: Row) -> Iterator[Insn]:
    """The row with register pairs, immediates and offsets around the boundaries of some machine."""
    pairs = [
        (dst if "dst" in row.fields else 0, src if "src" in row.fields else 0)
        for dst, src in REGISTERS
        if (dst < FRAME_POINTER or not row.writes_dst) and (src < FRAME_POINTER or not row.writes_src)
    ]
    offs = OFFSETS if "off" in row.fields and row.kind is not Kind.BRANCH else (0,)
    if row.kind is Kind.ATOMIC:
        offs = tuple(off for off in offs if off % 8 == 0)
    imms = (tuple(row.immediates) or IMMEDIATES) if "imm" in row.fields else (0,)
    if len(imms) > 1 and len(offs) > 1:  # a store of an immediate: each beside the edges of the other
        values = [*product(offs, imms[:3]), *product(offs[:3], imms)]
    else:
        values = [*product(offs, imms)]
    for (dst, src), (off, imm) in product(sorted(set(pairs)), values):
        yield make(row, dst, src, off, imm)


def insns_of(row: Row) -> Iterable[Insn]:
    """Instructions of a row that may stand anywhere in a program whose first map is DATA."""
    if row.kind is Kind.WIDE:
        if row.op == "imm":
            return [make(row, dst, imm=imm) for dst in (0, 1, 9) for imm in WIDE]
        if row.op == "func":
            return [make(row, 1).with_distance(1)]
        high = 63 << 32 if row.op in ("map_fd_value", "map_idx_value") else 0
        return [make(row, 6, imm=high)]
    if row.op == "callx":
        return [make(row, dst) for dst in range(11)]
    if row.kind is Kind.CALL:
        return [make(row, imm=HELPER if row.op == "call_helper" else 0)]
    if row.kind in (Kind.GOTO, Kind.COUNTDOWN, Kind.EXIT):
        return [make(row)]
    return operands(row)


def slots(insns: Iterable[Insn]) -> list[Insn | None]:
    """Instructions by slot."""
    return [slot for insn in insns for slot in ([insn, None] if insn.slots == 2 else [insn])]


def program_of(row: Row, order: str) -> Program:
    """A program of one row, with a second function for the rows that need one."""
    body = list(insns_of(row))
    if row.op in ("call_local", "func"):
        return program(slots([body[0].with_distance(body[0].slots), EXIT, EXIT]), order=order)
    return program(slots([*body, EXIT]), order=order, maps=[DATA, ARENA])


def everything(order: str) -> Program:
    """A program of two functions that has every row that has an address here."""
    rows = [row for row in ROWS if not row.external and row.op not in ("call_local", "func")]
    body = slots(insn for row in rows for insn in list(insns_of(row))[:3])
    body += slots([make(ROW["call_kfunc"], imm=BY_NAME["bpf_rcu_read_lock"].number)])
    body += slots([make(ROW["lddw_func"], 1).with_distance(3), make(ROW["call_local"], imm=1), EXIT])
    callee = slots([make(ROW["add64_imm"], register, imm=1) for register in (6, 7, 8, 9)] + [EXIT])
    return program(body + callee, order=order, maps=[DATA, ARENA])


@each_target
@pytest.mark.parametrize("observe", [False, True], ids=["bare", "observe"])
def test_every_row_together(target: Target, observe: bool) -> None:
    prog = everything(target.order)
    present = {insn.row for insn in prog.insns if insn is not None}
    assert present == set(ROWS) - {ROW["lddw_btf_id"]}
    assert_wholly_known(compile_program(Unit((prog,)), prog, target, observe=observe))


@each_target
def test_every_row_at_the_boundaries(target: Target) -> None:
    failures = []
    for row in ROWS:
        if row.external:
            continue
        prog = program_of(row, target.order)
        try:
            assert_wholly_known(compile_program(Unit((prog,)), prog, target))
        except Exception as problem:  # noqa: BLE001 (all rows are judged before the test fails)
            failures.append(f"{row.name}: {problem!r}"[:300])
    assert not failures, "\n".join(failures[:50])


@each_target
def test_the_kernels_variables_are_refused(target: Target) -> None:
    prog = program(slots([make(ROW["lddw_btf_id"], 1, imm=1), EXIT]), order=target.order)
    with pytest.raises(Refused):
        compile_program(Unit((prog,)), prog, target)


def far(order: str) -> Program:
    """Every branch as far as its 16 bits go, forwards and backwards; a gotol and a call that go further."""
    branches = [row for row in ROWS if row.kind is Kind.BRANCH]
    filler = make(ROW["mov64_reg"], 0, 1)
    forwards = [make(row, 1, 2, off=32_767) for row in branches]
    backwards = [make(row, 1, 2, off=-32_768) for row in branches]
    start = [make(ROW["gotol"]).with_distance(len(forwards) + TOO_FAR_FOR_16)]
    body = [*start, *forwards, *[filler] * TOO_FAR_FOR_16, *backwards]
    body.append(make(ROW["gotol"]).with_distance(-len(body) - 1))
    body.append(make(ROW["call_local"], imm=1))
    return program(slots([*body, EXIT, make(ROW["call_helper"], imm=HELPER), EXIT]), order=order)


@each_target
def test_branches_that_go_far(target: Target) -> None:
    prog = far(target.order)
    assert_wholly_known(compile_program(Unit((prog,)), prog, target))


@each_target
def test_nothing_privileged_can_appear(target: Target) -> None:
    forbidden = privileged(target)
    assert forbidden, "no list of privileged mnemonics"
    assert not forbidden & mnemonics(target)


@each_target
def test_the_privileged_are_names_of_capstone(target: Target) -> None:
    capstone = disassembler(target)
    known = {capstone.insn_name(number) for number in range(1, 10_000)} - {None}
    assert not privileged(target) - known

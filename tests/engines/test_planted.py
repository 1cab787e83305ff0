"""Planted faults: each is a mistake that a backend could make, and each must be caught, on every target.

Here are the faults of one row of the table (test_planted_calls.py has those of functions, calls and branches). They are
made of Ops, so that a mistake is the same on all machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import pytest

from bpf.isa import ROW, ROWS, Kind, Row
from bpf.isa.effects import M32, M64, signed
from bpf.plan import PLANS, Unit
from engines import ENGINES, Options
from fuzz.suite import special
from fuzz.suite.rows import exercises
from jit.backend import OP_NAMES, Backend
from jit.ops import AX, NONE, Op
from jit.registry import TARGETS, backend
from jit.target import Target
from tests.engines.planting import LIMITS, each_target, faulty, use
from tests.engines.test_rows import test_row as check_row
from vm.outcome import Difference, Outcome, difference
from vm.world import Input, World

OBSERVE = Options(observe=True)
SPARSE = 13  # a thirteenth of the cases of an exercise is enough for nearly every fault
RUNNABLE = [row for row in ROWS if not row.external and not special.applies(row)]  # those of one Op

Lowering = Callable[[Op], None]
Act = Callable[[Any, Op, Lowering], None]


def changed(op: Op, **fields: Any) -> Op:
    """The Op with other fields."""
    return Op(**{name: getattr(op, name) for name in Op.__slots__} | fields)


def instead(**fields: Callable[[Op], Any]) -> Act:
    """Lower the Op with other fields, each worked out from the right Op."""

    def act(backend: Backend, op: Op, lower: Lowering) -> None:
        lower(changed(op, **{name: of(op) for name, of in fields.items()}))

    return act


def other_name(names: dict[str, str]) -> Act:
    """Lower another operation (a branch: another condition)."""

    def act(backend: Any, op: Op, lower: Lowering) -> None:
        if op.name == "branch":
            lower(changed(op, cond=names[op.cond]))
        else:
            getattr(backend, f"lower_{names[op.name]}")(changed(op, name=names[op.name]))

    return act


def result_of(op: Op) -> int:
    """The register that an Op writes."""
    return op.dst if op.name != "atomic" else 0 if op.cond == "cmpxchg" else op.b


def next_register(register: int) -> int:
    """Another register than this one."""
    return (register + 1) % 10


def nothing(backend: Any, op: Op, lower: Lowering) -> None:
    """No code at all."""


def zero_extended_immediate(backend: Any, op: Op, lower: Lowering) -> None:
    """A negative immediate as a positive number of 32 bits."""
    backend.lower_const(Op("const", NONE, dst=AX, imm=op.imm & M32))
    lower(changed(op, b=AX))


def zero_extended_result(backend: Any, op: Op, lower: Lowering) -> None:
    """Movsx without the sign."""
    if op.bits == 8:
        backend.lower_and(Op("and", NONE, dst=op.dst, a=op.b, imm=0xFF))
    else:
        backend.zero_extend(op.dst, op.b, op.bits)


def one_bit_above(backend: Any, op: Op, lower: Lowering) -> None:
    """The result has bit 32 (of a 16-bit swap: bit 16) set."""
    lower(op)
    register = result_of(op)
    bit = min(op.bits, 32) if op.name in ("to_le", "to_be", "bswap") else 32
    backend.lower_const(Op("const", NONE, dst=AX, imm=1 << bit))
    backend.lower_or(Op("or", NONE, dst=register, a=register, b=AX))


def upper_bits_left(backend: Any, op: Op, lower: Lowering) -> None:
    """A narrow byte order operation leaves the bits above as they were."""
    backend.move(AX, op.a)
    lower(op)
    backend.lower_rsh(Op("rsh", NONE, dst=AX, a=AX, imm=op.bits))
    backend.lower_lsh(Op("lsh", NONE, dst=AX, a=AX, imm=op.bits))
    backend.lower_or(Op("or", NONE, dst=op.dst, a=op.dst, b=AX))


def old_value_dropped(backend: Any, op: Op, lower: Lowering) -> None:
    """What an atomic operation fetched does not arrive."""
    register = result_of(op)
    backend.move(AX, register)
    lower(op)
    backend.move(register, AX)


def old_value_astray(backend: Any, op: Op, lower: Lowering) -> None:
    """What an atomic operation fetched arrives in another register too."""
    lower(op)
    backend.move(next_register(result_of(op)), result_of(op))


def identity_elided(backend: Any, op: Op, lower: Lowering) -> None:
    """An immediate that leaves the low half as it is does nothing at all, the zero extension neither."""
    neutral = {"mul": 1, "div": 1, "sdiv": 1, "and": -1}.get(op.name, 0)
    if (op.imm & 31 if op.name in SHIFTS else op.imm) != neutral:
        lower(op)


def only(imm: int, act: Act) -> Act:
    """The fault for one immediate alone."""
    return lambda backend, op, lower: act(backend, op, lower) if op.imm == imm else lower(op)


def after_helper(backend: Any, op: Op, lower: Lowering) -> None:
    """A helper's result is one too much."""
    lower(op)
    backend.lower_add(Op("add", NONE, dst=0, a=0, imm=1))


ANOTHER_WIDTH = {64: 32, 32: 16, 16: 8, 8: 16}
SIGNS = {
    "div": "sdiv", "sdiv": "div", "mod": "smod", "smod": "mod", "rsh": "arsh", "arsh": "rsh",
    "jgt": "jsgt", "jge": "jsge", "jlt": "jslt", "jle": "jsle",
    "jsgt": "jgt", "jsge": "jge", "jslt": "jlt", "jsle": "jle",
}  # fmt: skip
EDGE_OF_CONDITION = {
    "jgt": "jge", "jge": "jgt", "jlt": "jle", "jle": "jlt", "jeq": "jne", "jne": "jeq", "jset": "jne",
    "jsgt": "jsge", "jsge": "jsgt", "jslt": "jsle", "jsle": "jslt",
}  # fmt: skip
SWAPPED_ROLES = {"add": "sub", "sub": "add", "or": "xor", "xor": "or", "and": "or", "lsh": "rsh", "mul": "add"}
BYTE_ORDER = ("to_le", "to_be", "bswap")
SHIFTS = ("lsh", "rsh", "arsh")


def takes_src(row: Row) -> bool:
    return "src" in row.fields and row.kind is not Kind.LOAD


def takes_imm(row: Row) -> bool:
    return "imm" in row.fields and row.kind in (Kind.ALU, Kind.STORE, Kind.BRANCH)


def reads_a(row: Row) -> bool:
    """Whether its Op has a first operand or a base."""
    return accesses(row) or row.kind is Kind.BRANCH or (row.kind is Kind.ALU and row.op not in ("mov", "movsx"))


def accesses(row: Row) -> bool:
    return row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC)


def has_widths(row: Row) -> bool:
    """Whether there is such an operation at 32 and at 64 bits."""
    return row.kind is Kind.BRANCH or (row.kind is Kind.ALU and row.op not in BYTE_ORDER and row.bits != 32)


def has_low_result(row: Row) -> bool:
    """Whether it leaves a register's upper half 0."""
    if row.kind is Kind.ALU:
        return row.bits < 64 if row.op in BYTE_ORDER else row.width == 32
    return row.width < 64 and ((row.kind is Kind.LOAD and not row.signed) or row.fetch)


FAULTS: dict[str, tuple[Callable[[Row], bool], Act]] = {
    "no code": (lambda row: True, nothing),
    "another b": (takes_src, instead(b=lambda op: next_register(op.b))),
    "another a": (reads_a, instead(a=lambda op: next_register(op.a))),
    "another dst": (lambda row: row.writes_dst, instead(dst=lambda op: next_register(op.dst))),
    "immediate off by one": (takes_imm, instead(imm=lambda op: op.imm ^ 1 or 3)),
    "number off by one": (lambda row: row.kind is Kind.WIDE, instead(imm=lambda op: op.imm ^ 1)),
    "number's low half signed": (lambda row: row.name == "lddw_imm", instead(imm=lambda op: signed(op.imm, 32) & M64)),
    "number's halves exchanged": (
        lambda row: row.name == "lddw_imm", instead(imm=lambda op: op.imm >> 32 | (op.imm & M32) << 32)
    ),
    "immediate's sign lost": (
        lambda row: takes_imm(row) and row.width == 64 and row.op not in SHIFTS, zero_extended_immediate
    ),
    "identity elided": (
        lambda row: takes_imm(row) and (row.kind, row.width) == (Kind.ALU, 32) and row.op not in ("mov", "mod", "smod"),
        identity_elided,
    ),
    "modulo 1 elided": (lambda row: takes_imm(row) and row.op in ("mod", "smod"), only(1, nothing)),
    "least number negated": (
        lambda row: row.name == "sub64_imm", only(-0x8000_0000, other_name(SWAPPED_ROLES))
    ),
    "immediate of 16 bits": (
        lambda row: takes_imm(row) and row.width > 16 and row.op not in SHIFTS,
        instead(imm=lambda op: signed(op.imm, 16) or 3),
    ),
    "offset of 12 bits": (accesses, instead(off=lambda op: signed(op.off, 12))),
    "offset of 128": (
        lambda row: row.name in ("ldx64", "stx8", "st32", "atomic64_add"),
        instead(off=lambda op: -128 if op.off == 128 else op.off),
    ),
    "offset by 1": (lambda row: row.kind in (Kind.LOAD, Kind.STORE), instead(off=lambda op: op.off ^ 1)),
    "offset by 8": (accesses, instead(off=lambda op: op.off ^ 8)),
    "sign of a load": (
        lambda row: row.kind is Kind.LOAD and row.width < 64 and not row.ordered,
        instead(signed=lambda op: not op.signed),
    ),
    "width of an access": (
        lambda row: row.kind in (Kind.LOAD, Kind.STORE), instead(width=lambda op: ANOTHER_WIDTH[op.width])
    ),
    "width of a movsx": (
        lambda row: row.op == "movsx", instead(bits=lambda op: {8: 16, 16: 8, 32: 16}[op.bits])
    ),
    "movsx without sign": (lambda row: row.op == "movsx", zero_extended_result),
    "width": (has_widths, instead(width=lambda op: 96 - op.width)),
    "upper half": (has_low_result, one_bit_above),
    "upper bits kept": (lambda row: row.op in BYTE_ORDER and row.bits < 64, upper_bits_left),
    "signedness": (lambda row: row.op in SIGNS, other_name(SIGNS)),
    "edge of a condition": (lambda row: row.op in EDGE_OF_CONDITION, other_name(EDGE_OF_CONDITION)),
    "another operation": (lambda row: row.kind is Kind.ALU and row.op in SWAPPED_ROLES, other_name(SWAPPED_ROLES)),
    "target one Op on": (lambda row: row.kind in (Kind.BRANCH, Kind.GOTO), instead(target=lambda op: op.target + 1)),
    "target one Op back": (lambda row: row.kind in (Kind.BRANCH, Kind.GOTO), instead(target=lambda op: op.target - 1)),
    "another function": (lambda row: row.op == "call_local", instead(target=lambda op: op.target - 1)),
    "another helper": (lambda row: row.op == "call_helper", instead(imm=lambda op: op.imm + 1)),
    "a helper's result": (lambda row: row.op == "call_helper", after_helper),
    "old value dropped": (lambda row: row.fetch, old_value_dropped),
    "old value astray": (lambda row: row.fetch, old_value_astray),
}  # fmt: skip

EQUIVALENT = {
    ("no code", "to_le64", "little"): "64 bits that are in the right order already stay as they are",
    ("no code", "to_be64", "big"): "the same",
}
"""(fault, row, byte order) of faults that change nothing, and why."""


def op_name(row: Row) -> str:
    """The name of the Op that a row becomes."""
    fixed = {Kind.LOAD: "load", Kind.STORE: "store", Kind.ATOMIC: "atomic", Kind.BRANCH: "branch", Kind.GOTO: "goto",
             Kind.WIDE: "const", Kind.EXIT: "exit"}  # fmt: skip
    return fixed.get(row.kind, row.op)


def plant(target: Target, row: Row, act: Act) -> type[Backend]:
    """The target's backend with a fault in the lowering of one row's instructions."""

    def lowering(right: Lowering, self: Any, op: Op) -> None:
        insn = self.front.program.insns[op.pc] if op.pc >= 0 else None
        if insn is not None and insn.row is row:
            act(self, op, right)
        else:
            right(op)

    return faulty(target, **{f"lower_{op_name(row)}": lowering})


@lru_cache(maxsize=4)
def expected(row: Row, order: str, every: int) -> list[tuple[Unit, Outcome]]:
    """Exercises of a row with what the interpreter makes of them."""
    units = [Unit((case.program,), plan=PLANS["high"]) for case in exercises(row, order, every)]
    return [(unit, ENGINES["interpreter"].prepare(unit, OBSERVE).run(Input(), World(), LIMITS)) for unit in units]


def differences(row: Row, target: Target) -> Iterator[Difference]:
    """What the exercises of a row find, sparse ones first."""
    for every in (SPARSE, 1):
        for unit, reference in expected(row, target.order, every):
            yield difference(reference, ENGINES[target.name].prepare(unit, OBSERVE).run(Input(), World(), LIMITS))


def pairs() -> Iterator[Any]:
    """Each row on two targets, the six taking turns; on the other four it is a deep test."""
    targets = list(TARGETS.values())
    for number, row in enumerate(RUNNABLE):
        for at, target in enumerate(targets):
            deep = at % 3 != number % 3
            yield pytest.param(row, target, id=f"{row.name}-{target.name}", marks=[pytest.mark.deep] if deep else [])


@pytest.mark.parametrize(("row", "target"), [*pairs()])
def test_a_fault_in_a_row(row: Row, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = []
    for name, (applies, act) in FAULTS.items():
        if not applies(row):
            continue
        use(monkeypatch, plant(target, row, act))
        caught = any(found or not found.decided for found in differences(row, target))
        if caught == ((name, row.name, target.order) in EQUIVALENT):
            missed.append(name)
    assert not missed, f"{row.name} on {target.name}: not caught, or wrongly called equivalent: {missed}"


def test_no_fault_is_found_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for target in TARGETS.values():
        use(monkeypatch, plant(target, ROW["sub32_reg"], lambda backend, op, lower: lower(op)))
        assert not any(differences(ROW["sub32_reg"], target))


def test_the_law_of_the_backends_names_row_and_target(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, plant(TARGETS["arm64"], ROW["add64_imm"], nothing))
    with pytest.raises(AssertionError, match=r"add64_imm on arm64: (R\d is|map results byte)"):
        check_row("add64_imm", "arm64")


@each_target
@pytest.mark.parametrize("name", OP_NAMES)
def test_a_lowering_that_is_not_there(name: str, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = next(cls for cls in backend(target).__mro__ if f"lower_{name}" in vars(cls))
    monkeypatch.delattr(owner, f"lower_{name}")
    # Whatever the row: a backend is asked for all of its lowerings. A tail jump is no row of its own.
    row = next((row for row in RUNNABLE if op_name(row) == name), RUNNABLE[0])
    with pytest.raises(AttributeError, match=f"lower_{name}"):
        check_row(row.name, target.name)

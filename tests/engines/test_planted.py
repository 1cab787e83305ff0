"""Planted faults: each is a mistake that a backend could make, and each must be caught, on every target.

A fault is put into a subclass of the backend that the pipeline then uses; the backends know nothing of it. Nearly all
are made of Ops, so that one mistake is the same on all machines: see FAULTS for those of one row of the table, and the
tests below for those of functions, calls and branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

import pytest

from bpf.isa import ROW, ROWS, Kind, Row, make
from bpf.isa.effects import M32, M64, signed
from bpf.plan import FRAME, PLANS, Unit
from bpf.program import program
from bpf.text import assemble
from engines import ENGINES, Options
from fuzz.suite.rows import exercises
from jit.backend import OP_NAMES, SAVED, Backend
from jit.encoding import Unencodable
from jit.ops import AX, NONE, Op, OpFunction
from jit.registry import TARGETS, backend
from jit.relax import Form
from jit.target import Target
from tests.engines.test_rows import test_row as check_row
from vm.outcome import Difference, Outcome, difference
from vm.world import Input, Limits, World

OBSERVE = Options(observe=True)
LIMITS = Limits(seconds=0.3)  # a fault may make an endless loop
SPARSE = 13  # a thirteenth of the cases of an exercise is enough for nearly every fault
RUNNABLE = [row for row in ROWS if row.op != "btf_id"]

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
Lowering = Callable[[Op], None]
Act = Callable[[Any, Op, Lowering], None]


# Faults of one row -----------------------------------------------------------------------------------


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


def after_helper(backend: Any, op: Op, lower: Lowering) -> None:
    """A helper's result is one too much."""
    lower(op)
    backend.lower_add(Op("add", NONE, dst=0, a=0, imm=1))


NARROWER = {64: 32, 32: 16, 16: 8, 8: 16}
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
    return row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC, Kind.BRANCH) or (
        row.kind is Kind.ALU and row.op not in ("mov", "movsx")
    )


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
    "offset by 1": (lambda row: row.kind in (Kind.LOAD, Kind.STORE), instead(off=lambda op: op.off ^ 1)),
    "offset by 8": (
        lambda row: row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC), instead(off=lambda op: op.off ^ 8)
    ),
    "sign of a load": (
        lambda row: row.kind is Kind.LOAD and row.width < 64, instead(signed=lambda op: not op.signed)
    ),
    "width of an access": (
        lambda row: row.kind is Kind.STORE or (row.kind is Kind.LOAD and row.name != "ldsx8"),
        instead(width=lambda op: NARROWER[op.width]),
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
    base = backend(target)
    name = f"lower_{op_name(row)}"
    right = getattr(base, name)

    def lowering(self: Any, op: Op) -> None:
        insn = self.front.program.insns[op.pc] if op.pc >= 0 else None
        if insn is not None and insn.row is row:
            act(self, op, partial(right, self))
        else:
            right(self, op)

    return type(base.__name__, (base,), {name: lowering})


def use(monkeypatch: pytest.MonkeyPatch, faulty: type[Backend]) -> None:
    """Have the pipeline compile with this class."""
    monkeypatch.setattr("jit.pipeline.backend", lambda target: faulty)


@lru_cache(maxsize=4)
def expected(row: Row, order: str, every: int) -> list[tuple[Unit, Outcome]]:
    """Exercises of a row with what the interpreter makes of them."""
    units = [Unit((prog,), plan=PLANS["high"]) for prog in exercises(row, order, every)]
    return [(unit, ENGINES["interpreter"].prepare(unit, OBSERVE).run(Input(), World(), LIMITS)) for unit in units]


def differences(row: Row, target: Target) -> Iterator[Difference]:
    """What the exercises of a row find, sparse ones first."""
    for every in (SPARSE, 1):
        for unit, reference in expected(row, target.order, every):
            yield difference(reference, ENGINES[target.name].prepare(unit, OBSERVE).run(Input(), World(), LIMITS))


@each_target
@pytest.mark.parametrize("row", RUNNABLE, ids=lambda row: row.name)
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
    with pytest.raises(AssertionError, match="add64_imm on arm64: R3 is 0x"):
        check_row("add64_imm", "arm64")


@each_target
@pytest.mark.parametrize("name", OP_NAMES)
def test_a_lowering_that_is_not_there(name: str, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = next(cls for cls in backend(target).__mro__ if f"lower_{name}" in vars(cls))
    monkeypatch.delattr(owner, f"lower_{name}")
    row = next(row for row in RUNNABLE if op_name(row) == name)
    with pytest.raises(AttributeError, match=f"lower_{name}"):
        check_row(row.name, target.name)


# Faults of functions, calls and branches -------------------------------------------------------------


def faulty(target: Target, **methods: Callable[..., Any]) -> type[Backend]:
    """The target's backend with other methods; each gets the right one as its first argument, then self."""
    base = backend(target)

    def method(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        right = getattr(base, name)
        return lambda self, *arguments: act(partial(right, self), self, *arguments)

    return type(base.__name__, (base,), {name: method(name, act) for name, act in methods.items()})


def outcomes(target: Target, text: str) -> tuple[Outcome, Outcome]:
    """What the interpreter and the target make of a program, its instructions separated by "; "."""
    unit = Unit((assemble(text.replace("; ", "\n"), order=target.order),))
    left, right = (ENGINES[name].prepare(unit).run(Input(), World(), LIMITS) for name in ("interpreter", target.name))
    return left, right


def abi_fault(target: Target, text: str) -> str:
    """How the target's code of a program breaks the calling convention."""
    outcome = outcomes(target, text)[1]
    assert outcome.fault is not None
    assert outcome.fault.kind == "abi", outcome.fault
    return outcome.fault.detail


def without(function: OpFunction, register: int) -> OpFunction:
    """The function as if it did not write the register."""
    return replace(function, written=function.written & ~(1 << register))


@each_target
@pytest.mark.parametrize("register", SAVED)
def test_a_lost_callee_saved_register(register: int, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(right: Callable[..., None], self: Backend, function: OpFunction) -> None:
        right(without(function, register))

    use(monkeypatch, faulty(target, prologue=forgets, epilogue=forgets))
    detail = abi_fault(target, f"r{register} = 1; r0 = 0; exit")
    assert detail.startswith(f"callee-saved {target.homes[register]} is 0x1 after the run")


@each_target
@pytest.mark.parametrize("register", SAVED)
def test_a_lost_register_of_the_caller(register: int, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(right: Callable[..., None], self: Backend, function: OpFunction) -> None:
        right(without(function, register) if function is self.front.functions[1] else function)

    use(monkeypatch, faulty(target, prologue=forgets, epilogue=forgets))
    text = f"r{register} = 1; call pc+2; r0 = r{register}; exit; r{register} = 2; r0 = 0; exit"
    assert difference(*outcomes(target, text)).what == "R0 is 0x2, expected 0x1"


@each_target
def test_a_second_exit_that_restores_less(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaves(right: Callable[..., None], self: Any, op: Op) -> None:
        if self._epilogue < 0:
            right(op)
        else:
            self.epilogue(without(self.function, 6))

    use(monkeypatch, faulty(target, lower_exit=leaves))
    text = "r6 = 1; r0 = 0; if r1 == 0 goto +1; exit; r0 = 1; exit"
    fault = outcomes(target, text)[1].fault
    assert fault is not None
    # What x86-64 does not pop, it returns to.
    assert fault.kind == ("fetch" if target.name == "x86_64" else "abi"), fault


@each_target
@pytest.mark.parametrize("keeper", [1, 2, 3, 4, 5, AX])
def test_a_value_kept_in_a_register_that_a_call_destroys(
    keeper: int, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keeps(right: Callable[..., None], self: Backend, op: Op) -> None:
        self.move(keeper, 6)
        right(op)
        self.move(6, keeper)

    use(monkeypatch, faulty(target, lower_call_helper=keeps))
    found = difference(*outcomes(target, "r6 = 7; call 8; r0 = r6; exit"))
    if (target.name, keeper) in PRESERVED:
        assert not found
    else:
        assert found.what.startswith("R0 is 0x")


PRESERVED = {("s390x", AX)}
"""Homes, other than those of R6-R9, that the C calling convention has a callee preserve: a value may stay there."""


@each_target
def test_the_preserved_homes_are_the_targets(target: Target) -> None:
    destroyed = (*target.caller_saved, target.result, target.link)
    homes = {(target.name, register) for register in (*range(6), AX) if target.homes[register] not in destroyed}
    assert homes == {one for one in PRESERVED if one[0] == target.name}


MOVES_SP: dict[str, Callable[[Any, int], Any]] = {  # sp += bytes
    "x86_64": lambda x, amount: x.arith_imm(1, x.ADD, x.RSP, amount),
    "arm64": lambda e, amount: e.add_imm(1, e.SP, e.SP, amount) if amount > 0 else e.sub_imm(1, e.SP, e.SP, -amount),
    "riscv64": lambda x, amount: x.wide(x.addi(x.SP, x.SP, amount)),
    "ppc64": lambda p, amount: p.addi(1, 1, amount),
    "ppc64le": lambda p, amount: p.addi(1, 1, amount),
    "s390x": lambda z, amount: z.aghi(15, amount),
}


@each_target
def test_a_misaligned_stack_at_a_helper_call(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = import_module(backend(target).__module__.replace("lower", "encode"))
    moves, half = MOVES_SP[target.name], target.alignment // 2

    def misaligns(right: Callable[..., None], self: Backend, op: Op) -> None:
        self.emit(moves(encode, -half))
        right(op)
        self.emit(moves(encode, half))

    use(monkeypatch, faulty(target, lower_call_helper=misaligns))
    detail = abi_fault(target, "call 8; exit")
    assert detail.startswith(f"{target.sp} is 0x")
    assert detail.endswith(f"at a helper call: not aligned to {target.alignment}")


@each_target
def test_a_stack_pointer_that_does_not_come_back(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = import_module(backend(target).__module__.replace("lower", "encode"))

    def moves_too(right: Callable[..., None], self: Any, op: Op) -> None:
        right(op)
        self.emit(MOVES_SP[target.name](encode, target.alignment))

    use(monkeypatch, faulty(target, lower_mov=moves_too))
    fault = outcomes(target, "r0 = 0; exit")[1].fault
    assert fault is not None
    # x86-64 and s390x (R0's home is the link register) find another return address there.
    assert fault.kind == ("fetch" if target.name in ("x86_64", "s390x") else "abi"), fault


@each_target
@pytest.mark.parametrize("kept", [-FRAME, FRAME])
def test_a_frame_that_is_moved_only_once(kept: int, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def moves(right: Callable[..., None], self: Backend, amount: int) -> None:
        if amount == kept:
            right(amount)

    use(monkeypatch, faulty(target, move_frame=moves))
    assert difference(*outcomes(target, "r6 = 5; call pc+2; *(u64 *)(r10 - 8) = r6; exit; r0 = 1; exit"))
    text = "call pc+1; exit; r0 = 1; exit"
    if target.name == "s390x":  # a function that calls restores r6-r15: no caller ever sees it
        assert not difference(*outcomes(target, text))
    else:
        assert f"callee-saved {target.homes[10]} is 0x" in abi_fault(target, text)


@each_target
def test_a_frame_of_another_size(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def moves(right: Callable[..., None], self: Backend, amount: int) -> None:
        right(amount - 8 if amount > 0 else amount + 8)

    use(monkeypatch, faulty(target, move_frame=moves))
    found = difference(*outcomes(target, "call pc+1; exit; r0 = 1; *(u64 *)(r10 - 8) = r0; exit"))
    assert found.what.startswith("stack byte ")


@each_target
def test_a_result_that_stays_where_c_has_it(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, faulty(target, after_call=lambda right, self: None))
    found = difference(*outcomes(target, "call 8; r0 += 5; exit"))
    if target.homes[0] == target.result:  # then it is where it belongs
        assert not found
    else:
        assert found.what.startswith("R0 is 0x")


BRANCHING = (
    "r0 = 0; if r1 == 0 goto +1; exit; r0 = 1; exit",
    "r0 = 0x100000000 ll; r1 = 4; if r1 & 4 goto +1; r0 = 2; r0 += 1; exit",
    "r0 = 1; call pc+2; r0 += 5; exit; r0 = 3; exit",
)


@each_target
@pytest.mark.parametrize("text", BRANCHING)
@pytest.mark.parametrize("by", [-1, 1])
def test_a_branch_that_misses_by_one_unit(by: int, text: str, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = 2 if target.name in ("riscv64", "s390x") else backend(target).unit

    def misses(right: Callable[..., bytes], self: Any, kind: str, args: Any, form: int, distance: int) -> bytes:
        return right(kind, args, form, distance + by * unit)

    def enters(right: Callable[..., bytes], self: Backend, slot: int, address: int) -> bytes:
        return base._entry(base(self.target, self.front, self.features), slot, address)  # none misses its function

    base = backend(target)
    use(monkeypatch, faulty(target, encode_fixup=misses, _entry=enters))
    found = difference(*outcomes(target, text))
    assert found or not found.decided


FAR = 17_000  # instructions of at least two bytes: farther than the first form of a test of one bit goes


@each_target
def test_a_reach_that_is_believed_too_long(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    fillers = [make(ROW["mov64_reg"], 1, 2)] * FAR
    branch = make(ROW["jset64_imm"], 1, imm=4, off=FAR)
    unit = Unit((program([branch, *fillers, make(ROW["exit"])], order=target.order),))
    ENGINES[target.name].prepare(unit)  # it can be compiled
    believed = {
        kind: (Form(forms[0].size, -(1 << 40), 1 << 40), *forms[1:]) for kind, forms in backend(target).forms.items()
    }
    use(monkeypatch, type("Believes", (backend(target),), {"forms": believed}))
    with pytest.raises(Unencodable):
        ENGINES[target.name].prepare(unit)

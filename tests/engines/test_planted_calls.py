"""Planted faults of functions, calls and branches: each must be caught on every target, and called what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from bpf.isa import ROW, ROWS, Kind, Row, make
from bpf.plan import FRAME, POISON, Unit
from bpf.program import Program, program
from bpf.text import assemble
from engines import ENGINES
from fuzz.suite.special import ARENA
from jit.backend import SAVED, Backend
from jit.encoding import Unencodable
from jit.ops import AX, Op, OpFunction
from jit.registry import backend
from jit.relax import Form
from jit.target import Target
from tests.engines.planting import LIMITS, each_target, faulty, use
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World


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


WRITING = [row for row in ROWS if row.writes_src or (row.writes_dst and (row.kind is not Kind.WIDE or row.op == "imm"))]


def only_write(row: Row, register: int, order: str) -> Program:
    """A program in which the row's instruction is the only one that writes the register."""
    word = [make(ROW["st64"], 10, off=-8, imm=4)]
    if row.kind is Kind.LOAD:
        insn = make(row, register, 10, -8)
    elif row.kind is Kind.ATOMIC:
        insn = make(row, 10, register, -8)
    elif row.kind is Kind.WIDE:
        insn = make(row, register, imm=0x1234_5678_9ABC_DEF0)
    else:
        insn = make(row, register, **({"src": 2} if "src" in row.fields else {"imm": 5} if "imm" in row.fields else {}))
        insn = insn._replace(imm=min(row.immediates, default=insn.imm))
    slots = [*word, insn, *([None] if insn.slots == 2 else []), make(ROW["mov64_imm"], 0, imm=0), make(ROW["exit"])]
    return program(slots, order=order, maps=[ARENA] if row.kind is Kind.CAST else [])


@each_target
@pytest.mark.parametrize("register", SAVED)
def test_every_way_to_write_a_register_has_it_saved(register: int, target: Target) -> None:
    """Not planted: what a front end that forgets one of them (say, a fetching atomic's) would break."""
    for row in WRITING:
        unit = Unit((only_write(row, register, target.order),))
        engines = (ENGINES["interpreter"], ENGINES[target.name])
        left, right = (engine.prepare(unit).run(Input(), World(), Limits()) for engine in engines)
        assert left.status == "done", (row.name, left)
        assert not difference(left, right), (row.name, right.summary())


@each_target
@pytest.mark.parametrize("register", range(1, 6))
@pytest.mark.parametrize("call", ["call 8; r0 = r{}; exit", "call pc+2; r0 = r{}; exit; r0 = 1; exit"])
def test_what_a_call_leaves_in_the_argument_registers(call: str, register: int, target: Target) -> None:
    """The poison, where the program reads it: also without Options.observe."""
    left, right = outcomes(target, call.format(register))
    assert left.r0 == POISON + register
    assert not difference(left, right)


@each_target
def test_what_a_function_finds_in_r0(target: Target) -> None:
    left, right = outcomes(target, "r6 = r0; call pc+2; r0 ^= r6; exit; r0 += 1; exit")
    assert left.status == "done"
    assert not difference(left, right)

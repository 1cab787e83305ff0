"""Is the verifier right? What a run does is held against what the verifier thought possible.

An accepted program never faults, gives back what it took, and tells no address to who must not know it (duties.py); and
at each instruction, the registers and stack slots of a run lie inside one of the states that were explored there
(cover.py). With pruning off that is meant strictly. With it, a state that was stored covers more: scalars that are not
marked precise, and registers and slots that are not read any more, hold anything there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bpf.isa import Kind
from bpf.isa.effects import signed
from bpf.plan import FRAME, Unit
from bpf.program import Program
from bpf.spec.conventions import TYPED
from engines import engine
from fuzz.cover import Call, Places, uncovered
from fuzz.duties import Held, astray, beyond, told, too_deep
from runtime import verifying
from verifier import Options, Subject, Verdict
from verifier.env import Env
from verifier.rules import Range, return_range
from verifier.stack_depth import may_have_own_stack
from verifier.state import EMPTY, MISC, SPILL, UNINIT, Slot, State
from verifier.types import SCALAR
from verifier.verify import walked
from vm.step import Step
from vm.world import Input, Limits, World

LIMITS = Limits(100_000, 5.0)
UNPRIVILEGED: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Breach:
    """Something that a run did and the verifier thought impossible. pc: the slot; what: in words."""

    pc: int
    what: str


@dataclass(frozen=True, slots=True)
class Explored:
    """A verdict, and the states that were seen before each instruction, as they are to be understood.

    masks   slot of masked pointer arithmetic -> how, and by how many bytes at most
    secret  whether the program must not know addresses; apart: whether each function may have a stack of its own
    results what R0 may be at the end, None for anything
    """

    verdict: Verdict
    states: dict[int, list[State]]
    masks: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    secret: bool = False
    apart: bool = False
    results: Range | None = None


Judge = Callable[[Subject, Options, Callable[[int, State], None]], tuple[Verdict, Any]]
"""verifier.verify.walked, or what stands for it: the verdict, and the Env that it left (None where there is none)."""


def explore(program: Program, kind: str, options: Options, judge: Judge = walked) -> Explored:
    """Verify a program and keep all states. judge: the verifier, another one than ours perhaps."""
    states: dict[int, list[State]] = defaultdict(list)
    made = verifying.subject(program, kind)
    verdict, env = judge(made, options, lambda pc, state: states[pc].append(state.copy()))
    if not verdict.accepted:
        return Explored(verdict, {})
    if options.prune:
        states = {pc: [_weakened(env, state) for state in found] for pc, found in states.items()}
    masks = {pc: (aux.alu_state, aux.alu_limit) for pc, aux in enumerate(env.aux) if aux.alu_state}
    results = return_range(made, void=env.void)
    return Explored(verdict, states, masks, secret=not env.leaks, apart=may_have_own_stack(made), results=results)


def _weakened(env: Env, state: State) -> State:
    """What a state stands for: of scalars those that are marked precise, of registers and slots those that are read.

    Marks are kept with stored states; a state that is no stored one has none.
    """
    stored = state.parent if state.parent is not None and state.parent.pc == state.pc == state.first else None
    new = state.copy()
    for at, frame in enumerate(new.frames):
        precise = stored.frames[at].precise if stored is not None else 0
        slots = stored.frames[at].precise_slots if stored is not None else 0
        if not env.capable:
            precise = slots = -1
        pc = state.pc if at == len(new.frames) - 1 else new.frames[at + 1].callsite
        read = env.structure.live_before[pc]
        for number, reg in enumerate(frame.regs[:10]):
            if (reg.type == SCALAR and not precise >> number & 1) or not read >> number & 1:
                frame.regs[number] = UNINIT
        for index, slot in enumerate(frame.stack):
            if not env.live.alive(state, frame.number, index):
                frame.stack[index] = EMPTY
            elif slot.kinds[7] == SPILL and slot.reg.type == SCALAR and not slots >> index & 1:
                frame.stack[index] = Slot(bytes(MISC if kind == SPILL else kind for kind in slot.kinds))
    return new


class Run:
    """A program's run on one input, which many verdicts can be held against. steps: its instruction boundaries."""

    def __init__(self, program: Program, kind: str, given: Input, world: World, limits: Limits = LIMITS) -> None:
        self.program = program
        self.kind = kind
        self.given = given
        self.world = world
        self.limits = limits
        self.unit = Unit((program,), program.maps, TYPED[kind])
        prepared = engine("interpreter").prepare(self.unit)
        self.outcome = prepared.run(given, world.copy(), limits)
        self.steps = list(prepared.trace(given, world.copy(), limits)) if self.outcome.status != "fault" else []

    @cached_property
    def told(self) -> str:
        """What it tells of addresses and of the stack's rests."""
        return told(self.unit, self.outcome, self.given, self.world, self.limits)


def check(program: Program, kind: str, explored: Explored, given: Input, world: World) -> Breach | None:
    """Run an accepted program and hold it against what was explored; None where all is as it was thought."""
    return held_against(explored, Run(program, kind, given, world))


def held_against(explored: Explored, run: Run) -> Breach | None:
    """As `check`, for a run that was made before."""
    outcome, program, unit = run.outcome, run.program, run.unit
    if outcome.status == "fault":
        assert outcome.fault is not None
        return Breach(outcome.fault.pc, f"the run faults: {outcome.fault}")
    if outcome.status == "unspecified":
        return Breach(-1, "the run does what no engine must do alike: a misaligned atomic")
    calls: list[Call] = []
    places = Places(unit, run.given, unit.plan.stack)
    held = Held(program, run.kind, places)
    before: Step | None = None
    for step in run.steps:
        places.called((places.top - step.registers[10]) // FRAME)
        for address, data in step.writes:
            places.wrote(address, data)
        if before is not None:
            _follow(program, calls, before, step)
            wrong = held.step(before, step) or ("" if explored.apart else too_deep(places))
            if wrong:
                return Breach(before.pc, wrong)
        wrong = _outside(explored, step, calls, places) or astray(program.insns[step.pc], step, unit, places)
        if not wrong and explored.masks:
            wrong = beyond(program, explored.masks, step, unit, places)
        if wrong:
            return Breach(step.pc, wrong)
        before = step
    if outcome.status != "done":
        return None
    wrong = held.left() or _result(explored, outcome.r0) or (run.told if explored.secret else "")
    return Breach(before.pc if before is not None else 0, wrong) if wrong else None


def _result(explored: Explored, r0: int) -> str:
    allowed = explored.results
    if allowed is None or allowed.low <= signed(r0, 32 if allowed.half else 64) <= allowed.high:
        return ""
    return f"R0 is {r0:#x} at the end, not in [{allowed.low}, {allowed.high}]"


def _follow(program: Program, calls: list[Call], before: Step, step: Step) -> None:
    """Keep track of calls: R10 tells how deep a run is."""
    insn = program.insns[before.pc]
    if insn is None:
        return
    if step.registers[10] < before.registers[10]:
        calls.append(Call(before.pc, before.registers[6:10]))
    elif step.registers[10] > before.registers[10] and insn.row.kind is Kind.EXIT and calls:
        calls.pop()


def _outside(explored: Explored, step: Step, calls: list[Call], places: Places) -> str:
    said = "the verifier thinks that nothing comes here"
    for state in explored.states.get(step.pc, ()):
        said = uncovered(state, step.registers, calls, places)
        if not said:
            return ""
    return said


def strict(options: Options) -> Options:
    """Options with which every state is explored."""
    return replace(options, prune=False, processed=min(options.processed, 20_000))

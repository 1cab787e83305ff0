"""Is the verifier right? What a run does is held against what the verifier thought possible.

An accepted program never faults; and at each instruction, the registers and stack slots of a run lie inside one of the
states that were explored there. With pruning off that is meant strictly. With it, a state that was stored covers more:
scalars that are not marked precise, and registers that are not read any more, hold anything there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bpf.isa import Kind
from bpf.plan import FRAME, Unit
from bpf.program import Map, Program
from bpf.spec.conventions import TYPED
from engines import engine
from runtime import verifying
from verifier import Options, Subject, Verdict, verify
from verifier.state import MISC, SPILL, UNINIT, ZEROS, Reg, Slot, State
from verifier.structure import structure
from verifier.types import (
    BASE,
    CTX,
    MAP_PTR,
    MAP_VALUE,
    MAYBE_NULL,
    NOT_INIT,
    PACKET,
    PACKET_END,
    PACKET_META,
    SCALAR,
    STACK,
    name,
)  # fmt: skip
from vm.step import Step
from vm.world import Input, Limits, World

_M64 = (1 << 64) - 1
LIMITS = Limits(100_000, 5.0)


@dataclass(frozen=True, slots=True)
class Breach:
    """Something that a run did and the verifier thought impossible. pc: the slot; what: in words."""

    pc: int
    what: str


@dataclass(frozen=True, slots=True)
class Explored:
    """A verdict, and the states that were seen before each instruction, as they are to be understood."""

    verdict: Verdict
    states: dict[int, list[State]]


Judge = Callable[[Subject, Options, Callable[[int, State], None]], Verdict]


def explore(program: Program, kind: str, options: Options, judge: Judge = verify) -> Explored:
    """Verify a program and keep all states. judge: the verifier, another one than ours perhaps."""
    states: dict[int, list[State]] = defaultdict(list)
    made = verifying.subject(program, kind)
    verdict = judge(made, options, lambda pc, state: states[pc].append(state.copy()))
    if options.prune and verdict.accepted:
        live = structure(made, options).live_before
        states = {pc: [_weakened(state, live[pc]) for state in found] for pc, found in states.items()}
    return Explored(verdict, states)


@dataclass(slots=True)
class _Call:
    """A call that a run is in: where it was made, the caller's R6-R9."""

    callsite: int
    saved: tuple[int, ...]


class _Places:
    """Where things lie in a run."""

    def __init__(self, unit: Unit, given: Input, top: int) -> None:
        self.top = top
        self.context = unit.context
        self.packet = unit.packet_start(len(given.packet)) if given.packet else 0
        self.end = self.packet + len(given.packet)
        self.regions = {map_.name: region for map_, region in zip(unit.maps, unit.map_regions, strict=True)}

    def holds(self, reg: Reg, value: int) -> bool:
        """Whether a register's abstract value covers a concrete one."""
        type_ = reg.type
        if type_ == NOT_INIT:
            return True
        if type_ == SCALAR:
            return reg.num.in_(value)
        if type_ & MAYBE_NULL and value == 0:
            return True
        base = type_ & BASE
        if base == STACK:
            return reg.num.in_(value - (self.top - FRAME * reg.aux + reg.off) & _M64)
        if base == CTX:
            return value == self.context + reg.off
        if base in (PACKET, PACKET_META):
            return reg.num.in_(value - (self.packet + reg.off) & _M64) and self._range(reg, value)
        if base == PACKET_END:
            return value == self.end
        if base == MAP_VALUE and isinstance(reg.of, Map):
            return self._in_map(reg, reg.of, value)
        return base != MAP_PTR or value != 0

    def _range(self, reg: Reg, value: int) -> bool:
        """What the comparison with the packet's end has shown: so many bytes are there."""
        return reg.aux <= 0 or value - reg.off + reg.aux <= self.end

    def _in_map(self, reg: Reg, map_: Map, value: int) -> bool:
        """Some element's start, moved as the register says."""
        region = self.regions[map_.name]
        if not reg.num.mask:
            start = value - reg.off - reg.num.value & _M64
            return region.start <= start < region.start + max(region.size, 1)
        least = value - reg.off - reg.num.smax
        most = value - reg.off - reg.num.smin
        return least < region.start + max(region.size, 1) and most >= region.start


def _covers(state: State, regs: Sequence[int], calls: Sequence[_Call], stack: dict[int, int], places: _Places) -> str:
    """"" where a state covers what a run is at, else the first thing that it does not cover."""
    frames = state.frames
    if len(frames) != len(calls) + 1:
        return "another depth of calls"
    if any(frame.callsite != call.callsite for frame, call in zip(frames[1:], calls, strict=True)):
        return "another caller"
    for number, reg in enumerate(frames[-1].regs):
        if not places.holds(reg, regs[number]):
            return f"R{number} is {regs[number]:#x}, which is no {name(reg.type)} {reg.num}"
    for frame, call in zip(frames, calls, strict=False):
        for number, value in zip(range(6, 10), call.saved, strict=True):
            if not places.holds(frame.regs[number], value):
                return f"R{number} of frame {frame.number} is {value:#x}, which is no {name(frame.regs[number].type)}"
    for frame in frames:
        for index, slot in enumerate(frame.stack):
            what = _slot(slot, places.top - FRAME * frame.number - 8 * (index + 1), stack, places)
            if what:
                return f"fp{-8 * (index + 1)} of frame {frame.number} {what}"
    return ""


def _slot(slot: Slot, address: int, stack: dict[int, int], places: _Places) -> str:
    """What is wrong with a slot; bytes that were never written since the start may be anything."""
    kinds = slot.kinds
    for place, kind in enumerate(kinds):
        if kind == ZEROS and stack.get(address + 7 - place, 0):
            return f"has {stack[address + 7 - place]:#x}, not zero, in byte {7 - place}"
    if kinds[7] != SPILL:
        return ""
    size = 8 - kinds.index(SPILL)
    found = [stack.get(address + at) for at in range(size)]
    if None in found:
        return ""
    value = int.from_bytes(bytes(byte for byte in found if byte is not None), "little")
    if size < 8 and (slot.reg.type != SCALAR or slot.reg.num.umax >> 8 * size):
        return ""
    if places.holds(slot.reg, value):
        return ""
    return f"holds {value:#x}, which is no {name(slot.reg.type)} {slot.reg.num}"


def _weakened(state: State, live: int) -> State:
    """What a state stands for: of scalars only those count that are marked precise, of registers those that are read.

    Marks are kept with stored states; a state that is no stored one has none.
    """
    stored = state.parent if state.parent is not None and state.parent.pc == state.pc == state.first else None
    new = state.copy()
    for at, frame in enumerate(new.frames):
        precise = stored.frames[at].precise if stored is not None else 0
        slots = stored.frames[at].precise_slots if stored is not None else 0
        read = live if at == len(new.frames) - 1 else -1
        for number, reg in enumerate(frame.regs[:10]):
            if (reg.type == SCALAR and not precise >> number & 1) or not read >> number & 1:
                frame.regs[number] = UNINIT
        for index, slot in enumerate(frame.stack):
            if slot.kinds[7] == SPILL and slot.reg.type == SCALAR and not slots >> index & 1:
                frame.stack[index] = Slot(bytes(MISC if kind == SPILL else kind for kind in slot.kinds))
    return new


def check(program: Program, kind: str, explored: Explored, given: Input, world: World) -> Breach | None:
    """Run an accepted program and hold it against what was explored; None where all is as it was thought."""
    unit = Unit((program,), program.maps, TYPED[kind])
    prepared = engine("interpreter").prepare(unit)
    outcome = prepared.run(given, world.copy(), LIMITS)
    if outcome.status == "fault":
        assert outcome.fault is not None
        return Breach(outcome.fault.pc, f"the run faults: {outcome.fault.kind} at {outcome.fault.address:#x}")
    calls: list[_Call] = []
    stack: dict[int, int] = {}
    places: _Places | None = None
    before: Step | None = None
    for step in prepared.trace(given, world.copy(), LIMITS):
        for address, data in step.writes:
            for at, byte in enumerate(data):
                stack[address + at] = byte
        if places is None:
            places = _Places(unit, given, step.registers[10])
        elif before is not None:
            _follow(program, calls, before, step)
        breach = _at(explored, step, calls, stack, places)
        if breach is not None:
            return breach
        before = step
    return None


def _follow(program: Program, calls: list[_Call], before: Step, step: Step) -> None:
    """Keep track of calls: R10 tells how deep a run is."""
    insn = program.insns[before.pc]
    if insn is None:
        return
    if step.registers[10] < before.registers[10]:
        calls.append(_Call(before.pc, before.registers[6:10]))
    elif step.registers[10] > before.registers[10] and insn.row.kind is Kind.EXIT and calls:
        calls.pop()


def _at(explored: Explored, step: Step, calls: list[_Call], stack: dict[int, int], places: _Places) -> Breach | None:
    said = "the verifier thinks that nothing comes here"
    for state in explored.states.get(step.pc, ()):
        said = _covers(state, step.registers, calls, stack, places)
        if not said:
            return None
    return Breach(step.pc, said)


def strict(options: Options) -> Options:
    """Options with which every state is explored."""
    return replace(options, prune=False, processed=min(options.processed, 20_000))

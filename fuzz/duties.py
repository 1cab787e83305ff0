"""What an accepted program may not do, whatever the states say: keep what it took, call under a lock, tell addresses.

Each is a property of runs: `Held` follows one run, `astray` and `too_deep` look at one
instruction of it, `told` compares runs with everything at other addresses, `beyond` asks where a masked pointer could
be moved by a processor that mispredicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bpf.isa import Insn, Kind
from bpf.isa.effects import signed
from bpf.plan import FRAME, PLANS, Unit
from bpf.program import Program
from bpf.spec.layout import up
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import SIGNATURES, signature
from engines import engine
from fuzz.cover import Places
from verifier import stack_depth
from verifier.speculation import MASK_SRC, NEGATIVE, NON_POINTER
from vm.outcome import Outcome
from vm.step import Step
from vm.world import Input, Limits, World

OTHER = PLANS["kernel"]
_STRIDE = 8  # of values in a map
_VALUES = frozenset({"array", "hash", "lru_hash"})  # kinds whose region is values one after the other


class Held:
    """What a run has taken and not given back: references, as addresses, and spin locks."""

    def __init__(self, program: Program, kind: str, places: Places) -> None:
        self._program = program
        self._kind = kind
        self.references = places.held
        self.locks: list[int] = []

    def step(self, before: Step, after: Step) -> str:
        """What the instruction did that it may not, "" for nothing."""
        insn = self._program.insns[before.pc]
        if insn is None or insn.row.op != "call_helper":
            return ""
        number, r1 = insn.imm, before.registers[1]
        name = PROTOTYPES[number].name
        if name == "spin_lock":
            self.locks.append(r1)
            return "two locks are held" if len(self.locks) > 1 else ""
        if name == "spin_unlock":
            if r1 not in self.locks:
                return "a lock is given back that is not held"
            self.locks.remove(r1)
            return ""
        if self.locks and name != "kptr_xchg":
            return f"{name} is called while a lock is held"
        if number not in SIGNATURES:
            return ""
        sign = signature(number, self._kind)
        if sign.releases and (given := before.registers[sign.releases]):
            if given not in self.references:
                return f"{name} gives back what is not held"
            self.references.remove(given)
        if sign.acquires and after.registers[0]:
            self.references.append(after.registers[0])
        return ""

    def left(self) -> str:
        """What the end of the run leaves held."""
        return "the run ends with a lock held" if self.locks else "a reference is leaked" if self.references else ""


def told(unit: Unit, first: Outcome, given: Input, world: World, limits: Limits) -> str:
    """What differs with other addresses, and other rests on the stack: an unprivileged program must not tell."""
    for what, plan, fill in (("addresses", OTHER, given.stack_fill), ("the stack", unit.plan, given.stack_fill ^ 0xFF)):
        prepared = engine("interpreter").prepare(replace(unit, plan=plan))
        other = prepared.run(replace(given, stack_fill=fill), world.copy(), limits)
        if other.r0 != first.r0:
            return f"R0 is {first.r0:#x}, with other {what} {other.r0:#x}"
        if other.maps != first.maps or other.packet != first.packet:
            return f"a map or the packet holds what depends on {what}"
        for map_ in unit.maps:
            name = f"map {map_.name}"
            if (first.regions or {}).get(name) != (other.regions or {}).get(name):
                return f"map {map_.name} holds what depends on {what}"
    return ""


def astray(insn: Insn | None, step: Step, unit: Unit, places: Places) -> str:
    """Whether a load or store goes beyond what its pointer points into, though memory be there."""
    if insn is None or insn.row.kind not in (Kind.LOAD, Kind.STORE, Kind.ATOMIC):
        return ""
    base = insn.src if insn.row.kind is Kind.LOAD else insn.dst
    first = step.registers[base] + insn.off & (1 << 64) - 1
    last = first + insn.row.width // 8
    if places.top - 8 * FRAME - FRAME < first < places.top + FRAME:
        frame = step.registers[10]
        return "" if frame - FRAME <= first and last <= places.top else f"an access of {first:#x} is beyond the stack"
    if first in places.packet_room:
        inside = places.now("packet meta") <= first and last <= places.end
        return "" if inside else f"an access of {first:#x} is beyond the packet"
    for map_ in unit.maps:
        region = places.regions[map_.name]
        if map_.kind in _VALUES and region.start <= first < region.first_page + region.mapped:
            at = (first - region.start) % up(map_.value_size, _STRIDE)
            inside = at + last - first <= map_.value_size and last <= region.start + region.size
            return "" if inside else f"an access of {first:#x} is beyond the value"
    return ""


def too_deep(places: Places) -> str:
    """Whether the functions that are active use more stack together than there may be."""
    used = sum(places.deepest)
    return f"{used} bytes of stack are in use" if used > stack_depth.LIMIT else ""


def beyond(program: Program, masks: Mapping[int, tuple[int, int]], step: Step, unit: Unit, places: Places) -> str:
    """Whether masked arithmetic lets a misprediction reach beyond what its pointer points into, or hinders this run.

    masks: slot -> how the verifier has it masked (state of verifier/speculation.py, most bytes).
    """
    state, limit = masks.get(step.pc, (0, 0))
    insn = program.insns[step.pc]
    if not state or state & NON_POINTER or insn is None or insn.row.kind is not Kind.ALU:
        return ""
    pointer, number = step.registers[insn.dst], step.registers[insn.src]
    if not state & MASK_SRC:
        pointer, number = number, pointer
    if abs(signed(number, 64)) > limit:
        return f"a move by {signed(number, 64)} is masked to {limit}"
    left = bool(state & NEGATIVE) != (insn.row.op == "sub")
    target = pointer - limit if left else pointer + limit
    start, end = _object(pointer, unit, places)
    if end and not start <= target < end:
        return f"a mispredicted move by {limit} leads from {pointer:#x} to {target:#x}, beyond {start:#x}..{end:#x}"
    return ""


def _object(pointer: int, unit: Unit, places: Places) -> tuple[int, int]:
    """The bytes that a pointer is one of; (0, 0) where it is none's."""
    for map_ in unit.maps:
        region = places.regions[map_.name]
        if map_.kind in _VALUES and region.start <= pointer < region.start + region.size:
            stride = up(map_.value_size, _STRIDE)
            start = region.start + (pointer - region.start) // stride * stride
            return start, start + map_.value_size
    if places.top - 8 * FRAME <= pointer <= places.top:
        depth = (places.top - pointer) // FRAME if pointer < places.top else 0
        top = places.top - FRAME * depth
        return top - FRAME, top + 1  # the frame pointer itself is inside
    return 0, 0

"""What an accepted program may not do, whatever the states say: keep what it took, call under a lock, tell addresses.

Each is a property of runs: `Held` follows one run, `told` compares two with everything at other addresses, `beyond` asks
where a masked pointer could be moved by a processor that mispredicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bpf.isa import Kind
from bpf.plan import FRAME, PLANS, Unit
from bpf.program import Program
from bpf.spec.layout import up
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import SIGNATURES, signature
from engines import engine
from fuzz.cover import Places
from verifier.speculation import MASK_SRC, NEGATIVE, NON_POINTER
from vm.outcome import Outcome
from vm.step import Step
from vm.world import Input, Limits, World

OTHER = PLANS["kernel"]
_STRIDE = 8  # of values in a map


class Held:
    """What a run has taken and not given back: references, as addresses, and spin locks."""

    def __init__(self, program: Program, kind: str) -> None:
        self._program = program
        self._kind = kind
        self.references: list[int] = []
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
    """What differs where all addresses are others: an unprivileged program must not be able to tell."""
    other = engine("interpreter").prepare(replace(unit, plan=OTHER)).run(given, world.copy(), limits)
    if other.r0 != first.r0:
        return f"R0 is {first.r0:#x}, with other addresses {other.r0:#x}"
    if other.maps != first.maps:
        return "a map holds what depends on addresses"
    for map_ in unit.maps:
        if (first.regions or {}).get(map_.name) != (other.regions or {}).get(map_.name):
            return f"map {map_.name} holds what depends on addresses"
    if other.packet != first.packet:
        return "the packet holds what depends on addresses"
    return "" if other.calls is None or len(other.calls) == len(first.calls or ()) else "calls depend on addresses"


def beyond(program: Program, masks: Mapping[int, tuple[int, int]], step: Step, unit: Unit, places: Places) -> str:
    """Whether masked arithmetic lets a misprediction reach beyond what its pointer points into.

    masks: slot -> how the verifier has it masked (state of verifier/speculation.py, most bytes).
    """
    state, limit = masks.get(step.pc, (0, 0))
    insn = program.insns[step.pc]
    if not state or state & NON_POINTER or insn is None or insn.row.kind is not Kind.ALU:
        return ""
    pointer = step.registers[insn.dst if state & MASK_SRC else insn.src]
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
        if region.start <= pointer < region.start + region.size:
            stride = up(map_.value_size, _STRIDE)
            start = region.start + (pointer - region.start) // stride * stride
            return start, start + map_.value_size
    if places.top - 8 * FRAME <= pointer <= places.top:
        depth = (places.top - pointer) // FRAME if pointer < places.top else 0
        top = places.top - FRAME * depth
        return top - FRAME, top + 1  # the frame pointer itself is inside
    return 0, 0

"""What a campaign and pytest both ask: do all engines do the same with a program?"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bpf.errors import Refused
from bpf.plan import DEFAULT_PLAN, Plan, Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET, PLAIN
from engines import ENGINES, Engine, Options, surroundings
from engines.compare import part
from engines.lockstep import Parting
from fuzz.genome import decode
from vm.world import Input, Limits, World

LIMITS = Limits(instructions=1_000_000, seconds=5.0, may_goto=5)  # so few that loops of generated programs run out
_OBSERVE = Options(observe=True)

COMPILER_FAULTS = (ValueError, LookupError, ArithmeticError, AssertionError, struct.error)
"""What a compiler raises that does not know what to do with a program: jit.encoding.Unencodable among them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An engine that does not do what the interpreter does.

    what     the first difference, in words
    parting  where the states part, for engines that can be traced
    """

    engine: str
    program: Program
    entry: Input
    what: str
    parting: Parting | None = None


def judge(
    program_in: Callable[[str], Program],
    entry: Input,
    engines: Sequence[Engine],
    *,
    plan: Plan = DEFAULT_PLAN,
    trace: bool = True,
) -> Finding | None:
    """The first engine that differs from the interpreter on a program, None when all agree.

    program_in: the program in a byte order. Every field that an engine shows is compared; an engine that refuses the
    program says nothing about it. An input with a packet is one of the packet convention. trace: look for the place.
    """
    for order in ("little", "big"):
        group = [engine for engine in engines if order in engine.abilities.orders]
        if not group:
            continue
        unit = Unit((program_in(order),), convention=PACKET if entry.packet else PLAIN, plan=plan)
        expected = ENGINES["interpreter"].prepare(unit, _OBSERVE).run(entry, World(), LIMITS)
        for engine in group:
            try:
                prepared = engine.prepare(unit, _OBSERVE)
            except Refused:
                continue
            except COMPILER_FAULTS as error:
                return Finding(engine.name, unit.programs[0], entry, f"does not compile it: {error}")
            try:
                outcome = prepared.run(entry, World(), LIMITS)
            except Refused:  # the live kernel's verifier, say: no verdict on what would have been
                continue
            found = surroundings.judge(engine, unit, expected, outcome, entry, World(), LIMITS)
            if found:
                parting = part(engine, unit, entry, World(), LIMITS) if trace and engine.abilities.plans else None
                return Finding(engine.name, unit.programs[0], entry, found.what, parting)
    return None


def judge_genome(
    genome: Sequence[int], entry: Input, engines: Sequence[Engine], *, bare: bool = False, trace: bool = False
) -> Finding | None:
    """As judge, for a genome."""
    packet = bool(entry.packet)
    return judge(lambda order: decode(genome, order, bare=bare, packet=packet), entry, engines, trace=trace)

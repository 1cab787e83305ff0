"""What a campaign and pytest both ask: do all engines do the same with a program?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bpf.errors import Refused
from bpf.plan import DEFAULT_PLAN, Plan, Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET, PLAIN
from engines import ENGINES, Engine, Options
from engines.compare import part
from engines.judging import PATIENCE, trial
from engines.lockstep import Parting
from fuzz.genome import decode
from vm.world import Input, Limits, World

LIMITS = Limits(instructions=1_000_000, seconds=5.0, may_goto=5)  # so few that loops of generated programs run out


@dataclass(frozen=True, slots=True)
class Finding:
    """An engine that does not do what the interpreter does.

    what     the first difference, in words
    parting  where the states part, for engines that can be traced
    hangs    whether the difference is that it did not end
    observe  whether R0-R9 at the exit were shown
    """

    engine: str
    program: Program
    entry: Input
    what: str
    parting: Parting | None = None
    hangs: bool = False
    observe: bool = True


def judge(
    program_in: Callable[[str], Program],
    entry: Input,
    engines: Sequence[Engine],
    *,
    plan: Plan = DEFAULT_PLAN,
    limits: Limits = LIMITS,
    trace: bool = True,
    observe: bool = True,
    patience: int = PATIENCE,
) -> Finding | None:
    """The first engine that differs from the interpreter on a program, None when all agree.

    program_in: the program in a byte order. Every field that an engine shows is compared; an engine that refuses the
    program says nothing about it. An input with a packet is one of the packet convention. trace: look for the place.
    observe: show R0-R9 at the exit; without it, the code is what a user runs. patience: see engines.judging.trial.
    """
    options = Options(observe=observe)
    for order in ("little", "big"):
        group = [engine for engine in engines if order in engine.abilities.orders]
        if not group:
            continue
        unit = Unit((program_in(order),), convention=PACKET if entry.packet else PLAIN, plan=plan)
        expected = ENGINES["interpreter"].prepare(unit, options).run(entry, World(), limits)
        for engine in group:
            try:
                judged = trial(engine, unit, expected, entry, World(), limits, options=options, patience=patience)
            except Refused:  # by a compiler, or the live kernel's verifier: no verdict on what would have been
                continue
            if judged.found:
                traced = trace and engine.abilities.plans and judged.outcome is not None
                parting = part(engine, unit, entry, World(), limits) if traced else None
                hangs = judged.outcome is not None and judged.outcome.status == "limit"
                return Finding(engine.name, unit.programs[0], entry, judged.found.what, parting, hangs, observe)
    return None


def judge_genome(
    genome: Sequence[int],
    entry: Input,
    engines: Sequence[Engine],
    *,
    bare: bool = False,
    limits: Limits = LIMITS,
    trace: bool = False,
    observe: bool = True,
    patience: int = PATIENCE,
) -> Finding | None:
    """As judge, for a genome."""
    program_in = partial(decode, genome, bare=bare, packet=bool(entry.packet))
    return judge(program_in, entry, engines, limits=limits, trace=trace, observe=observe, patience=patience)

"""Which mutants something that tests the JIT finds, and after how many programs.

The programs are the outer loop and the mutants that are still alive the inner one: so a program is drawn, interpreted,
turned into Ops and compiled by the real JIT once, not once a mutant.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, Protocol

from bpf.errors import CrossbpfError
from bpf.isa import ROW
from bpf.order import ORDERS, Order
from bpf.plan import DEFAULT_PLAN, Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET, PLAIN
from engines import ENGINES, Engine, Options
from engines.judging import run_judged
from fuzz.campaign import SIZE, draw_input, observed
from fuzz.genome import decode, draw
from fuzz.mutants.mutant import Mutant
from fuzz.suite.exercise import Case
from fuzz.suite.generated import NAMES, cases
from fuzz.suite.rows import exercises
from vm.outcome import Outcome
from vm.world import Input, Limits, World

SPARSE = 13  # of a sweep's operands, in the suite's first pass
QUICK = 5_000  # slots of a program that the first pass takes
_LIMITS = Limits(instructions=50_000_000, seconds=0.5, may_goto=5)
_BROKEN = (CrossbpfError, ValueError, LookupError, ArithmeticError, AssertionError, struct.error)


@dataclass(frozen=True, slots=True)
class Probe:
    """One program with its input, in each byte order that it is for.

    target   the machine that it is aimed at; "" for all
    observe  whether it is compiled with Options.observe
    """

    name: str
    programs: Mapping[Order, tuple[Program, Input]]
    target: str = ""
    observe: bool = False


@dataclass(frozen=True, slots=True)
class Catch:
    """How a mutant was caught: by the n-th program (from 1) and its name, on which engine, and what was seen."""

    programs: int
    by: str
    engine: str
    what: str


class Named(Protocol):
    """A mutant, of the JIT or of the verifier."""

    @property
    def name(self) -> str:
        """Its name."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How trials stand: programs run so far, catches by the mutant's name, mutants that nothing has found yet."""

    programs: int
    catches: Mapping[str, Catch]
    alive: Sequence[Named]


@dataclass(frozen=True, slots=True)
class Tester:
    """Something that tests: its programs in order."""

    name: str
    probes: Callable[[Sequence[Order]], Iterator[Probe]]


def suite(names: Sequence[str] = NAMES) -> Tester:
    """crossbpf's own suite. A first pass takes few operands and short programs, the second one all there is."""

    def probes(orders: Sequence[Order]) -> Iterator[Probe]:
        for every in (SPARSE, 1):
            for name in names:
                for order in orders:
                    for case in cases(name, order) if every == 1 else _quick(name, order):
                        yield Probe(case.name, {order: (case.program, case.entry)}, case.target)

    return Tester("suite", probes)


def _quick(name: str, order: Order) -> Iterator[Case]:
    if name in ROW:
        yield from (case for case in exercises(ROW[name], order, SPARSE) if len(case.program) <= QUICK)


def fuzzer(programs: int | None, seed: int = 0, seconds: float | None = None) -> Tester:
    """A campaign's programs, up to a number or a time."""

    def probes(orders: Sequence[Order]) -> Iterator[Probe]:
        start, number = time.monotonic(), 0
        while (programs is None or number < programs) and (seconds is None or time.monotonic() - start < seconds):
            random = Random(f"{seed}:{number}")
            genome = draw(random, SIZE)
            entry = draw_input(random)
            drawn = {order: (decode(genome, order, packet=bool(entry.packet)), entry) for order in orders}
            yield Probe(f"program {number + 1} of seed {seed}", drawn, observe=observed(number))
            number += 1

    return Tester("fuzz", probes)


def trials(mutants: Sequence[Mutant], tester: Tester) -> Iterator[Standing]:
    """Run the tester's programs on each mutant until one finds it. Yields after each program; ends when all are found.

    Each program runs on all targets of a mutant. Where the mutant's code is the real JIT's, byte for byte, it is
    compiled but not run: it cannot differ.
    """
    engines = {mutant.name: mutant.engines() for mutant in mutants}
    orders = [
        order for order in ORDERS if any(order in e.abilities.orders for group in engines.values() for e in group)
    ]
    catches: dict[str, Catch] = {}
    alive = list(mutants)
    for number, probe in enumerate(tester.probes(orders), 1):
        for order, (program, entry) in probe.programs.items():
            trial = _Trial(program, entry, Options(observe=probe.observe))
            for mutant in alive:
                for engine in engines[mutant.name]:
                    wanted = order in engine.abilities.orders and probe.target in ("", engine.name)
                    if wanted and mutant.name not in catches:
                        what = trial.differs(engine)
                        if what:
                            catches[mutant.name] = Catch(number, probe.name, engine.name, what)
        alive = [mutant for mutant in alive if mutant.name not in catches]
        yield Standing(number, catches, alive)
        if not alive:
            return


class _Trial:
    """A program with its input, what the interpreter makes of it, and the code that the real engines run for it."""

    def __init__(self, program: Program, entry: Input, options: Options) -> None:
        self.unit = Unit((program,), convention=PACKET if entry.packet else PLAIN, plan=DEFAULT_PLAN)
        self.entry = entry
        self.options = options
        self._code: dict[str, tuple[bytes, bytes]] = {}

    @cached_property
    def expected(self) -> Outcome:
        """What the interpreter makes of it."""
        return ENGINES["interpreter"].prepare(self.unit, self.options).run(self.entry, World(), _LIMITS)

    def code(self, name: str) -> tuple[bytes, bytes]:
        """What the real engine of that name compiles it to."""
        if name not in self._code:
            self._code[name] = _code(ENGINES[name].prepare(self.unit, self.options))
        return self._code[name]

    def differs(self, engine: Engine) -> str:
        """What is wrong with an engine, in words; "" for nothing."""
        try:
            prepared = engine.prepare(self.unit, self.options)
        except _BROKEN as error:
            return f"is not compiled: {error}"
        if _code(prepared) == self.code(engine.name):
            return ""
        return run_judged(engine, prepared, self.unit, self.expected, self.entry, World(), _LIMITS).found.what


def _code(prepared: Any) -> tuple[bytes, bytes]:
    return prepared.image.code, prepared.image.entries

"""Which mutants something that tests the JIT finds, and after how many programs.

The programs are the outer loop and the mutants that are still alive the inner one: so a program is drawn, interpreted,
turned into Ops and compiled by the real JIT once, not once a mutant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from bpf.errors import CrossbpfError
from bpf.isa import ROWS
from bpf.plan import DEFAULT_PLAN, Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET, PLAIN
from engines import ENGINES, Engine, Options
from fuzz.campaign import draw_input
from fuzz.genome import decode, draw
from fuzz.mutants.mutant import Mutant
from fuzz.oracles import COMPILER_FAULTS
from fuzz.suite.rows import exercises
from fuzz.suite.special import entry_for
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

ORDERS = ("little", "big")
_OBSERVE = Options(observe=True)
_LIMITS = Limits(instructions=1_000_000, seconds=1.0, may_goto=5)
_SIZE = 30  # gestures of a program, as a campaign draws them
_BROKEN = (CrossbpfError, *COMPILER_FAULTS)

Drawn = Mapping[str, tuple[Program, Input]]
"""One program with its input, in each byte order that is needed."""


@dataclass(frozen=True, slots=True)
class Catch:
    """How a mutant was caught: by the n-th program (from 1), on which engine, and what was seen."""

    programs: int
    engine: str
    what: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How trials stand: programs run so far, catches by the mutant's name, mutants that nothing has found yet."""

    programs: int
    catches: Mapping[str, Catch]
    alive: Sequence[Mutant]


@dataclass(frozen=True, slots=True)
class Tester:
    """Something that tests: its programs in order, and whether one that does not end is a finding of its own."""

    name: str
    programs: Callable[[Sequence[str]], Iterator[Drawn]]
    finds_hangs: bool


def suite() -> Tester:
    """The exercises of all rows, in the order of the table."""

    def programs(orders: Sequence[str]) -> Iterator[Drawn]:
        for row in ROWS:
            for group in zip(*(exercises(row, order) for order in orders), strict=True):
                yield {order: (program, entry_for(row)) for order, program in zip(orders, group, strict=True)}

    return Tester("suite", programs, finds_hangs=True)


def fuzzer(limit: int, seed: int = 0) -> Tester:
    """The first programs of a campaign."""

    def programs(orders: Sequence[str]) -> Iterator[Drawn]:
        for number in range(limit):
            random = Random(f"{seed}:{number}")
            genome = draw(random, _SIZE)
            entry = draw_input(random)
            yield {order: (decode(genome, order, packet=bool(entry.packet)), entry) for order in orders}

    return Tester("fuzz", programs, finds_hangs=False)


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
    for number, drawn in enumerate(tester.programs(orders), 1):
        for order in orders:
            case = _Case(*drawn[order])
            for mutant in alive:
                for engine in engines[mutant.name]:
                    if mutant.name not in catches and order in engine.abilities.orders:
                        what = case.differs(engine, finds_hangs=tester.finds_hangs)
                        if what:
                            catches[mutant.name] = Catch(number, engine.name, what)
        alive = [mutant for mutant in alive if mutant.name not in catches]
        yield Standing(number, catches, alive)
        if not alive:
            return


class _Case:
    """A program with its input, what the interpreter makes of it, and the code that the real engines run for it."""

    def __init__(self, program: Program, entry: Input) -> None:
        self.unit = Unit((program,), convention=PACKET if entry.packet else PLAIN, plan=DEFAULT_PLAN)
        self.entry = entry
        self._code: dict[str, tuple[bytes, bytes]] = {}

    @cached_property
    def expected(self) -> Outcome:
        """What the interpreter makes of it."""
        return ENGINES["interpreter"].prepare(self.unit, _OBSERVE).run(self.entry, World(), _LIMITS)

    def code(self, name: str) -> tuple[bytes, bytes]:
        """What the real engine of that name compiles it to."""
        if name not in self._code:
            self._code[name] = _code(ENGINES[name].prepare(self.unit, _OBSERVE))
        return self._code[name]

    def differs(self, engine: Engine, *, finds_hangs: bool) -> str:
        """What is wrong with an engine, in words; "" for nothing."""
        try:
            prepared = engine.prepare(self.unit, _OBSERVE)
        except _BROKEN as error:
            return f"is not compiled: {error}"
        if _code(prepared) == self.code(engine.name):
            return ""
        found = difference(self.expected, prepared.run(self.entry, World(), _LIMITS))
        return "does not end" if finds_hangs and not found.decided else found.what


def _code(prepared: Any) -> tuple[bytes, bytes]:
    return prepared.image.code, prepared.image.entries

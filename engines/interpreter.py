"""The reference interpreter as an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bpf.plan import Unit
from bpf.spec.conventions import NAMES
from engines.base import Abilities, Engine, Options, Prepared
from engines.binding import bind, shown
from vm.cpus import Schedule
from vm.interpreter import Interpreter
from vm.outcome import Outcome
from vm.step import Step
from vm.world import Input, Limits, World


class InterpreterPrepared(Prepared):
    """A decoded program."""

    def __init__(self, unit: Unit) -> None:
        self.interpreter = Interpreter(unit, unit.whole)

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """See Prepared."""
        return self.interpreter.run(entry, world, limits)

    def run_cpus(self, entries: Sequence[Input], world: World, limits: Limits, schedule: Schedule) -> list[Outcome]:
        """See Prepared."""
        return self.interpreter.run_cpus(entries, world, limits, schedule)

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """See Prepared."""
        return self.interpreter.trace(entry, world, limits)


class InterpreterEngine(Engine):
    """What all other engines are measured by."""

    name = "interpreter"
    abilities = Abilities(
        orders=frozenset({"little", "big"}),
        plans=True,
        conventions=NAMES,
        shows=frozenset({"registers", "regions", "calls", "printed", "sent", "maps", "context", "packet"}),
    )

    def prepare(self, unit: Unit, options: Options | None = None) -> Prepared:
        """See Engine."""
        unit = bind(unit)
        return shown(InterpreterPrepared(unit), unit)

"""The contract between whoever wants a program run and whatever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bpf.errors import Refused
from bpf.order import Order
from bpf.plan import Unit
from jit.image import Image
from vm.cpus import Schedule
from vm.outcome import Outcome
from vm.step import Step
from vm.world import Input, Limits, World


@dataclass(frozen=True, slots=True)
class Options:
    """How to prepare a unit.

    observe   show R0-R9 at the entered function's exit
    features  instruction set extensions that native code may use; None leaves the target's defaults
    """

    observe: bool = False
    features: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an engine can do.

    orders       byte orders of programs that it runs
    plans        whether it runs programs at the plan's addresses
    conventions  names of calling conventions
    shows        fields of Outcome that it fills, besides status, r0 and fault
    native       whether it makes machine code that can be shown
    maps         whether it runs programs that have maps
    """

    orders: frozenset[Order]
    plans: bool
    conventions: frozenset[str]
    shows: frozenset[str]
    native: bool = False
    maps: bool = True


class Prepared(ABC):
    """A unit, bound and compiled by one engine: runs on many inputs. image: the machine code, where it can be shown."""

    image: Image | None = None

    @abstractmethod
    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """One run; the world is changed as the program changes it."""

    def run_many(self, entries: Sequence[Input], world: World, limits: Limits) -> list[Outcome]:
        """A run for each input, the world being restored before each."""
        snapshot = world.snapshot()
        outcomes = []
        for entry in entries:
            world.restore(snapshot)
            outcomes.append(self.run(entry, world, limits))
        return outcomes

    def run_cpus(
        self, entries: Sequence[Input], world: World, limits: Limits, schedule: Schedule
    ) -> list[Outcome]:  # fmt: skip
        """A run on each CPU of a schedule, with its input: they share the world and its maps. Raises Refused.

        Each has a stack, a context and a packet of its own, at the same addresses. The outcomes show the maps as they
        are when all have ended; the timers of a program run on the CPU that ends it.
        Limits.seconds is for all of them together.
        """
        raise Refused("it runs on one CPU", remedy="the interpreter, the targets and the host's CPU have several")

    @abstractmethod
    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """The state at each instruction boundary of a run."""

    def count(self, entry: Input, world: World, limits: Limits) -> int | None:
        """Executed native instructions of a run; None where nobody counts them."""
        return None

    def boundaries(self) -> frozenset[int] | None:
        """The slots at which a trace stops; None for all of them."""
        return None


class Engine(ABC):
    """Something that can run a program.

    machine   name of the target whose code it runs, as our JIT compiles it; "" for none in particular
    """

    name: str
    machine: str = ""
    abilities: Abilities

    @abstractmethod
    def prepare(self, unit: Unit, options: Options | None = None) -> Prepared:
        """Bind and compile. Raises Refused(reason) for what this engine cannot run."""

    def in_python(self) -> tuple[str, str]:
        """How Python code gets this engine: an import and an expression."""
        return "from engines import engine", f'engine("{self.name}")'

"""Programs near the border with what they are run on, and whether a verifier's word on them holds: a campaign's oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from bpf.program import Program
from fuzz import border
from fuzz.genome import draw
from fuzz.soundness import Breach, Judge, Run, explore, held_against, strict
from verifier import Options
from verifier.verify import walked
from vm.world import Input, World

KIND = "sched_cls"
ORDERS = ("little", "big")
SIZES = range(2, 26)  # of programs: the longer, the fewer are accepted
INPUTS = 3
_EDGES = (0, 1, 7, 8, 15, 31, 47, 48, 63, 64, 0x7F, 0x80, 0xFF)
_PACKETS = (14, 15, 16, 20, 48, 63, 64, 64, 80)
Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mode:
    """How a program is looked at. order: of its bytes; prune: whether states that are covered are left out."""

    order: str
    prune: bool

    @property
    def options(self) -> Options:
        """How it is verified."""
        options = Options(log_level=0)
        return options if self.prune else strict(options)


@dataclass(frozen=True, slots=True)
class Unsound:
    """A program that a verifier accepts and should not, or thinks wrongly of."""

    genome: Genome
    program: Program
    mode: Mode
    given: Input
    world: World
    breach: Breach


def mode(number: int) -> Mode:
    """How program `number` of a campaign is looked at: each way in turn."""
    return Mode(ORDERS[number // 2 % 2], number % 2 == 0)


def genome(seed: int, number: int) -> Genome:
    """Program `number` (from 0) of a seed."""
    random = Random(f"{seed}:{number}")
    return draw(random, random.choice(SIZES))


def inputs(seed: int, number: int) -> Iterator[tuple[Input, World]]:
    """What program `number` is run on: packets of several lengths, numbers at their edges and random ones."""
    random = Random(f"{seed}:{number}:input")
    for turn in range(INPUTS):
        packet = random.randbytes(random.choice(_PACKETS))
        values = {}
        if turn == 1:
            values["data"] = random.randbytes(border.DATA_SIZE)
        elif turn == 2:
            values["data"] = bytes(random.choice(_EDGES) for _ in range(border.DATA_SIZE))
        elements = {"table": [(key, random.randbytes(border.VALUE)) for key in range(3)]}
        yield Input(packet=packet), World(values=values, elements=elements)


class Trial:
    """A program of a campaign. Its runs are made when the first verifier accepts it."""

    def __init__(self, genes: Sequence[int], how: Mode, given: Sequence[tuple[Input, World]]) -> None:
        self.genome = tuple(genes)
        self.mode = how
        self.program = border.decode(genes, how.order)
        self._given = given
        self._runs: list[Run] = []

    def runs(self) -> Iterator[Run]:
        """Its runs, one after the other."""
        for at, (given, world) in enumerate(self._given):
            if at == len(self._runs):
                self._runs.append(Run(self.program, KIND, given, world))
            yield self._runs[at]

    def accepted(self, judge: Judge = walked) -> bool:
        """Whether a verifier accepts it."""
        return explore(self.program, KIND, self.mode.options, judge).verdict.accepted

    def breach(self, judge: Judge = walked) -> Breach | None:
        """The first breach alone."""
        found = self.unsound(judge)
        return found.breach if found is not None else None

    def unsound(self, judge: Judge = walked) -> Unsound | None:
        """What is wrong with what a verifier says of it."""
        explored = explore(self.program, KIND, self.mode.options, judge)
        if not explored.verdict.accepted:
            return None
        for run in self.runs():
            breach = held_against(explored, run)
            if breach is not None:
                return Unsound(self.genome, self.program, self.mode, run.given, run.world, breach)
        return None


def trial(seed: int, number: int) -> Trial:
    """Program `number` (from 0) of a seed, with its inputs."""
    return Trial(genome(seed, number), mode(number), list(inputs(seed, number)))


def simplest(found: Unsound, shrink: Callable[[Genome, Callable[[Genome], bool]], Genome]) -> Unsound:
    """The same with as few gestures as will do, on the one input."""
    given = [(found.given, found.world)]
    best = found

    def fails(candidate: Genome) -> bool:
        nonlocal best
        other = Trial(candidate, found.mode, given).unsound()
        if other is not None:
            best = other
        return other is not None

    smallest = shrink(found.genome, fails)
    return Trial(smallest, found.mode, given).unsound() or best

"""Programs near the border, what they are run on, and whether a verifier's word on them holds: a campaign's oracle."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from bpf.errors import Refused
from bpf.order import ORDERS, Order
from bpf.program import Program
from fuzz import border
from fuzz.digits import VALUES
from fuzz.genome import draw
from fuzz.shrink import shrink
from fuzz.soundness import Breach, Judge, Run, explore, held_against, strict
from verifier import Options
from verifier.verify import walked
from vm.world import Element, Input, World

KIND = "sched_cls"
SIZES = range(2, 26)  # of programs: the longer, the fewer are accepted
LONGER = range(6, 33)  # of those that calculate
INPUTS = 4
PROCESSED = 20_000  # instructions that a verifier may process: all states are kept
SHRINKING = 120.0  # seconds after which what is found is taken as it is
_EDGES = (0, 1, 7, 8, 15, 31, 47, 48, 63, 64, 0x7F, 0x80, 0xFF)
_PACKETS = (14, 15, 16, 20, 48, 63, 64, 64, 80)
Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mode:
    """How a program is looked at.

    order    of its bytes
    prune    whether states that are covered are left out
    numbers  whether it is of those that calculate (border.NUMBERS)
    """

    order: Order
    prune: bool
    numbers: bool = False

    @property
    def gestures(self) -> Sequence[border.Gesture]:
        """What it is made of."""
        return border.NUMBERS if self.numbers else border.GESTURES

    @property
    def options(self) -> Options:
        """How it is verified."""
        options = Options(log_level=0, processed=PROCESSED)
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
    """How program `number` of a campaign is looked at: each way in turn; those that calculate mostly strictly."""
    way, order = number % 4, ORDERS[number // 4 % 2]
    return Mode(order, way == 0 or (way == 3 and number // 8 % 2 == 0), way >= 2)


def genome(seed: int, number: int) -> Genome:
    """Program `number` (from 0) of a seed."""
    random = Random(f"{seed}:{number}")
    return draw(random, random.choice(LONGER if mode(number).numbers else SIZES))


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
        elif turn == 3:
            values["data"] = b"".join(random.choice(VALUES).to_bytes(8, "little") for _ in range(border.DATA_SIZE // 8))
        elements: dict[str, Sequence[Element]] = {"table": [(key, random.randbytes(border.VALUE)) for key in range(3)]}
        yield Input(packet=packet), World(values=values, elements=elements)


class Trial:
    """A program of a campaign. Its runs are made when the first verifier accepts it."""

    def __init__(self, genes: Sequence[int], how: Mode, given: Sequence[tuple[Input, World]]) -> None:
        self.genome = tuple(genes)
        self.mode = how
        self.program = border.decode(genes, how.order, gestures=how.gestures)
        self._given = given
        self._runs: list[Run] = []

    def runs(self) -> Iterator[Run]:
        """Its runs, one after the other: none where the interpreter does not take it, for what stands in dead code."""
        for at, (given, world) in enumerate(self._given):
            if at == len(self._runs):
                try:
                    self._runs.append(Run(self.program, KIND, given, world))
                except Refused:
                    return
            yield self._runs[at]

    @property
    def ran(self) -> bool:
        """Whether some verifier has accepted it."""
        return bool(self._runs)

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


def simplest(found: Unsound, judge: Judge = walked) -> Unsound:
    """The same with as few gestures as will do, on the one input."""
    given = [(found.given, found.world)]
    end = time.monotonic() + SHRINKING

    def again(candidate: Genome) -> Unsound | None:
        return Trial(candidate, found.mode, given).unsound(judge)

    def fails(candidate: Genome) -> bool:
        return candidate == found.genome or (time.monotonic() <= end and again(candidate) is not None)

    return again(shrink(found.genome, fails, digits=partial(border.radices, gestures=found.mode.gestures))) or found


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a campaign stands. programs: number of the last, from 1; accepted: how many were; found: in the last."""

    programs: int
    accepted: int
    seconds: float
    found: Unsound | None = None


def campaign(
    *, seed: int = 0, first: int = 0, programs: int | None = None, seconds: float | None = None, judge: Judge = walked
) -> Iterator[Standing]:
    """Look at programs from number `first` on until so many are done or the time is up; yields after each of them.

    Program n of a seed is always the same. What is found is made simple before it is yielded.
    """
    start, number, accepted = time.monotonic(), first, 0
    end = None if programs is None else first + programs
    while (end is None or number < end) and (seconds is None or time.monotonic() - start < seconds):
        one = trial(seed, number)
        found = one.unsound(judge)
        accepted += one.ran
        number += 1
        if found is not None:
            found = simplest(found, judge)
        yield Standing(number, accepted, time.monotonic() - start, found)

"""The thin first form of a campaign: draw programs, run them on every engine, shrink the first that differs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from engines import Engine
from fuzz.genome import draw
from fuzz.oracles import Finding, judge_genome
from fuzz.shrink import Genome, shrink
from vm.world import Input

_M64 = (1 << 64) - 1
SIZE = 60
"""Gestures of a program, at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign stands: programs run so far, seconds since the start, and a finding if there is one now."""

    programs: int
    seconds: float
    genome: Genome = ()
    finding: Finding | None = None


def draw_input(random: Random) -> Input:
    """Registers full of random bits, halves and edges; a random stack fill."""
    pick = (0, 1, _M64, 1 << 63, 0x8000_0000, 0xFFFF_FFFF)
    values = {
        register: random.choice(pick) if random.random() < 0.3 else random.getrandbits(64) for register in range(1, 10)
    }
    return Input(registers=values, stack_fill=random.randrange(256))


def observed(number: int) -> bool:
    """Whether program `number` (from 0) of a campaign shows R0-R9 at its exit: every other one.

    To show them takes code that a user's programs do not have; without them, what only registers hold is not seen.
    """
    return number % 2 == 0


def campaign(
    engines: Sequence[Engine],
    *,
    seed: int = 0,
    programs: int | None = None,
    seconds: float | None = None,
    bare: bool = False,
    size: int = SIZE,
) -> Iterator[Progress]:
    """Run programs until the given number or time is reached; yields after each of them.

    Program n of a seed is always the same, so a campaign can be gone on with or repeated from any number. A finding is
    shrunk before it is yielded, with the place where the states part. bare: see fuzz.genome.decode.
    """
    start = time.monotonic()
    count = 0
    while (programs is None or count < programs) and (seconds is None or time.monotonic() - start < seconds):
        random = Random(f"{seed}:{count}")
        genome = draw(random, size)
        entry = Input() if bare else draw_input(random)
        observe = observed(count)
        found = judge_genome(genome, entry, engines, bare=bare, observe=observe)
        count += 1
        if found is not None:
            genome, found = _simplest(genome, entry, found, engines, bare=bare, observe=observe)
        yield Progress(count, time.monotonic() - start, genome, found)


def _simplest(
    genome: Genome, entry: Input, found: Finding, engines: Sequence[Engine], *, bare: bool, observe: bool
) -> tuple[Genome, Finding]:
    guilty = [engine for engine in engines if engine.name == found.engine]

    def judged(candidate: Genome, given: Input, *, shown: bool = False, trace: bool = False) -> Finding | None:
        return judge_genome(candidate, given, guilty, bare=bare, observe=observe or shown, trace=trace)

    observe = observe or judged(genome, entry, shown=True) is not None  # what is seen in registers shrinks better
    genome = shrink(genome, lambda candidate: judged(candidate, entry) is not None)
    plain = Input()
    if judged(genome, plain) is not None:
        entry = plain
    return genome, judged(genome, entry, trace=True) or found

"""The thin first form of a campaign: draw programs, run them on every engine, shrink the first that differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from engines import Engine
from fuzz.genome import draw
from fuzz.oracles import LIMITS, Finding, judge_genome
from fuzz.shrink import Genome, shrink
from vm.world import Input, Limits

Judge = Callable[..., Finding | None]

SHRINKING = 120.0
"""Seconds after which a finding is taken as it is: with each candidate a process may start, or a run hang."""

_BRIEF = 0.2  # seconds that a run has at least
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
    """Registers full of random bits, halves and edges; a random stack fill; sometimes a packet instead of R1 and R2."""
    pick = (0, 1, _M64, 1 << 63, 0x8000_0000, 0xFFFF_FFFF)
    values = {
        register: random.choice(pick) if random.random() < 0.3 else random.getrandbits(64) for register in range(1, 10)
    }
    fill = random.randrange(256)
    if random.randrange(6):
        return Input(registers=values, stack_fill=fill)
    del values[1], values[2]
    packet = bytearray(random.randbytes(random.choice((14, 20, 64, 64))))
    for byte in (0, 0, 0xFF):
        at = random.randrange(len(packet) - 8)
        packet[at : at + 4] = bytes((byte,)) * 4
    return Input(registers=values, stack_fill=fill, packet=bytes(packet))


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
    limits: Limits = LIMITS,
    judge: Judge = judge_genome,
) -> Iterator[Progress]:
    """Run programs until the given number or time is reached; yields after each of them.

    Program n of a seed is always the same, so a campaign can be gone on with or repeated from any number. A finding is
    shrunk before it is yielded, with the place where the states part. bare: see fuzz.genome.decode. limits: of a run.
    judge: judge_genome, or what does the same in another process.
    """
    judge = partial(judge, bare=bare)
    start = time.monotonic()
    count = 0
    while (programs is None or count < programs) and (seconds is None or time.monotonic() - start < seconds):
        random = Random(f"{seed}:{count}")
        genome = draw(random, size)
        entry = Input() if bare else draw_input(random)
        observe = observed(count)
        found = judge(genome, entry, engines, limits=limits, observe=observe)
        count += 1
        if found is not None:
            genome, found = _simplest(genome, entry, found, engines, limits, judge, observe=observe)
        yield Progress(count, time.monotonic() - start, genome, found)


def _simplest(
    genome: Genome, entry: Input, found: Finding, engines: Sequence[Engine], limits: Limits, judge: Judge, *,
    observe: bool,
) -> tuple[Genome, Finding]:  # fmt: skip
    """The genome that is left when no gesture can go, and what is found with it, on plain input if that will do."""
    guilty = [engine for engine in engines if engine.name == found.engine] or engines
    end = time.monotonic() + SHRINKING
    brief = _brief(guilty, limits, judge) if found.hangs else limits

    def same(candidate: Genome, *, observe: bool) -> bool:
        other = judge(candidate, entry, guilty, limits=brief, patience=1, observe=observe)
        return other is not None and other.hangs == found.hangs

    observe = observe or same(genome, observe=True)  # what is seen in registers is simpler to show

    def fails(candidate: Genome) -> bool:
        if candidate == genome:
            return True
        return time.monotonic() <= end and same(candidate, observe=observe)

    smallest = shrink(genome, fails)
    for given in (Input(packet=entry.packet), entry):
        again = judge(smallest, given, guilty, limits=limits, trace=True, observe=observe)
        if again is not None:
            return smallest, again
    return genome, found


def _brief(engines: Sequence[Engine], limits: Limits, judge: Judge) -> Limits:
    """Limits under which a program that hangs is soon known to: ten times what the simplest one takes."""
    start = time.monotonic()
    judge((), Input(), engines, limits=limits, patience=1)
    return replace(limits, seconds=min(limits.seconds, max(_BRIEF, 10 * (time.monotonic() - start))))

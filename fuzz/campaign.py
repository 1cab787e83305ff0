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
    return Input(registers=values, stack_fill=fill, packet=random.randbytes(random.choice((14, 20, 64, 64))))


def campaign(
    engines: Sequence[Engine],
    *,
    seed: int = 0,
    programs: int | None = None,
    seconds: float | None = None,
    bare: bool = False,
    size: int = 30,
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
        found = judge_genome(genome, entry, engines, bare=bare)
        count += 1
        if found is not None:
            genome, found = _simplest(genome, entry, found, engines, bare)
        yield Progress(count, time.monotonic() - start, genome, found)


def _simplest(
    genome: Genome, entry: Input, found: Finding, engines: Sequence[Engine], bare: bool
) -> tuple[Genome, Finding]:
    guilty = [engine for engine in engines if engine.name == found.engine]
    genome = shrink(genome, lambda candidate: judge_genome(candidate, entry, guilty, bare=bare) is not None)
    plain = Input(packet=entry.packet)
    if judge_genome(genome, plain, guilty, bare=bare) is not None:
        entry = plain
    return genome, judge_genome(genome, entry, guilty, bare=bare, trace=True) or found

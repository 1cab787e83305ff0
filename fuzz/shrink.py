"""Shrinking a failing genome, by Hypothesis's own shrinker.

A genome found outside Hypothesis is replayed as the choices that would have drawn it; from there the shrinker deletes
gestures and lowers numbers. This is the one room that touches Hypothesis's internals (its engine has no public door
for a given example); `shrink` falls back to plain deletion where a version of Hypothesis has moved them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from fuzz.genome import radices

_M64 = (1 << 64) - 1
Genome = tuple[int, ...]
Radices = Callable[[Sequence[int]], list[list[int]]]


def shrink(
    genome: Sequence[int], fails: Callable[[Genome], bool], *, examples: int = 2000, digits: Radices = radices
) -> Genome:
    """The simplest failing genome that can be reached from a failing one.

    fails: must be true for `genome` itself, and deterministic. examples: how many programs may be tried. digits: the
    radices that its decoding reads.
    """
    try:
        smallest = _by_hypothesis(tuple(genome), fails, examples)
    except (ImportError, AttributeError, TypeError):
        smallest = _by_deletion(tuple(genome), fails)
    return _by_digits(smallest, fails, digits)


def _by_hypothesis(genome: Genome, fails: Callable[[Genome], bool], examples: int) -> Genome:
    from hypothesis.internal.conjecture.data import Status
    from hypothesis.internal.conjecture.engine import ConjectureRunner

    best = genome

    def test(data: Any) -> None:
        nonlocal best
        drawn: list[int] = []
        while data.draw_boolean(0.9):
            drawn.append(data.draw_integer(0, _M64))
        candidate = tuple(drawn)
        if fails(candidate):
            if simplicity(candidate) < simplicity(best):
                best = candidate
            data.mark_interesting(("difference",))

    runner = ConjectureRunner(
        test,
        settings=settings(
            max_examples=examples, database=None, deadline=None, phases=(Phase.shrink,),
            suppress_health_check=list(HealthCheck),
        ),
        random=Random(0),
    )  # fmt: skip
    choices: list[bool | int] = [choice for number in genome for choice in (True, number)]
    data = runner.cached_test_function([*choices, False])
    if data.status is not Status.INTERESTING:
        return _by_deletion(genome, fails)
    engine: Any = runner  # the method was renamed in 6.16x
    start = getattr(engine, "shrink_interesting_test_cases", None) or engine.shrink_interesting_examples
    start()
    return best


def simplicity(genome: Genome) -> tuple[int, Genome]:
    """Order of genomes: fewer gestures first, then smaller numbers."""
    return len(genome), genome


def _by_deletion(genome: Genome, fails: Callable[[Genome], bool]) -> Genome:
    """Delete gestures, then halve numbers, as long as anything helps."""
    improved = True
    while improved:
        improved = False
        for index in range(len(genome)):
            for smaller in ((), (0,), (genome[index] // 2,), (genome[index] - 1,)):
                if smaller and not 0 <= smaller[0] < genome[index]:
                    continue
                candidate = genome[:index] + smaller + genome[index + 1 :]
                if fails(candidate):
                    genome, improved = candidate, True
                    break
            if improved:
                break
    return genome


def _by_digits(genome: Genome, fails: Callable[[Genome], bool], digits: Radices) -> Genome:
    """Lower single digits of the gestures, alone and with all other gestures gone.

    What a digit means is the genome's business (a register, an immediate); a shrinker of numbers sees numbers.
    """
    better: Genome | None = genome
    while better is not None:
        genome = better
        tried = sorted(set(_simpler(genome, digits)), key=simplicity)
        better = next((other for other in tried if simplicity(other) < simplicity(genome) and fails(other)), None)
    return genome


def _simpler(genome: Genome, digits: Radices) -> Iterator[Genome]:
    read = digits(genome)
    for index, number in enumerate(genome):
        yield genome[:index] + genome[index + 1 :]
        for other in (number, *_lowered(number, read[index])):
            yield (*genome[:index], other, *genome[index + 1 :])
            yield (*genome[max(index - 1, 0) : index], other)
            yield (other,)


def _lowered(number: int, read: Sequence[int]) -> Iterator[int]:
    """The number with one digit lowered, and with all digits from one on gone."""
    unit = 1
    for radix in read:
        digit = number // unit % radix
        for other in {0, 1, digit // 2, digit - 1} if digit else ():
            if other < digit:
                yield number - (digit - other) * unit
        yield number % unit
        unit *= radix
    yield number % unit

"""Which mutants of the verifier the soundness property finds, and after how many programs.

As in trial.py the programs are the outer loop: each is drawn and run once, however many mutants look at it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from fuzz.bordering import trial
from fuzz.mutants.trial import Catch, Standing
from fuzz.mutants.verifier_mutant import VerifierMutant
from fuzz.soundness import Breach, Judge, Run, explore, held_against

ENGINE = "verifier"
_BROKEN = (ValueError, LookupError, ArithmeticError, AssertionError, TypeError, RecursionError)
Probe = tuple[str, Callable[[Judge], Breach | None]]
"""A program's name, and what the property says of it as a verifier sees it."""


def witnesses(mutants: Sequence[VerifierMutant]) -> Iterator[Probe]:
    """The witnesses of all mutants, in order."""
    for mutant in mutants:
        yield mutant.name, _Witness(mutant)


class _Witness:
    """A witness, whose run is made once."""

    def __init__(self, mutant: VerifierMutant) -> None:
        self._mutant = mutant
        self._program = mutant.program()
        self._run: Run | None = None

    def __call__(self, judge: Judge) -> Breach | None:
        explored = explore(self._program, self._mutant.kind, self._mutant.options, judge)
        if not explored.verdict.accepted:
            return None
        self._run = self._run or self._mutant.run()
        return held_against(explored, self._run)


def generated(programs: int | None, seed: int = 0, seconds: float | None = None) -> Iterator[Probe]:
    """The programs of a campaign near the border, up to a number or a time."""
    start, number = time.monotonic(), 0
    while (programs is None or number < programs) and (seconds is None or time.monotonic() - start < seconds):
        yield f"program {number + 1} of seed {seed}", trial(seed, number).breach
        number += 1


def verifier_trials(mutants: Sequence[VerifierMutant], probes: Iterator[Probe]) -> Iterator[Standing]:
    """Show the programs to each mutant until one finds it. Yields after each program; ends when all are found."""
    judges = {mutant.name: mutant.judge() for mutant in mutants}
    catches: dict[str, Catch] = {}
    alive = list(mutants)
    for number, (name, probe) in enumerate(probes, 1):
        for mutant in alive:
            what = _seen(probe, judges[mutant.name])
            if what:
                catches[mutant.name] = Catch(number, name, ENGINE, what)
        alive = [mutant for mutant in alive if mutant.name not in catches]
        yield Standing(number, catches, alive)
        if not alive:
            return


def _seen(probe: Callable[[Judge], Breach | None], judge: Judge) -> str:
    try:
        breach = probe(judge)
    except _BROKEN as error:
        return f"breaks down: {error}"
    return "" if breach is None else f"insn {breach.pc}: {breach.what}"

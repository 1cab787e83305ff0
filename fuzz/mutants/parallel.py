"""Trials in several processes: each takes a share of the mutants, and says how they stand."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from fuzz.mutants.registry import MUTANTS, VERIFIER_MUTANTS
from fuzz.mutants.trial import Catch, Named, Standing, Tester, fuzzer, suite, trials
from fuzz.mutants.verifier_trial import generated, verifier_trials, witnesses


@dataclass(frozen=True, slots=True)
class Search:
    """What looks for mutants: the suite, or a campaign of so many programs or seconds.

    verifier  for those of the verifier: the suite is then that of all witnesses
    """

    name: str
    programs: int | None = None
    seed: int = 0
    seconds: float | None = None
    verifier: bool = False

    def tester(self) -> Tester:
        """The tester that it names."""
        return suite() if self.name == "suite" else fuzzer(self.programs, self.seed, self.seconds)

    def trials(self, names: Sequence[str]) -> Iterator[Standing]:
        """How the trials of these mutants stand after each program."""
        if not self.verifier:
            return trials([MUTANTS[name] for name in names], self.tester())
        fuzzing = self.name == "fuzz"
        probes = (
            generated(self.programs, self.seed, self.seconds) if fuzzing else witnesses(list(VERIFIER_MUTANTS.values()))
        )
        return verifier_trials([VERIFIER_MUTANTS[name] for name in names], probes)


Said = tuple[int, dict[str, Catch]]
"""What a process says after a program: how many it has run, and every catch so far."""


def _work(names: Sequence[str], search: Search, out: Connection) -> None:
    found = 0
    for standing in search.trials(names):
        if len(standing.catches) > found or standing.programs % 50 == 0:
            found = len(standing.catches)
            out.send((standing.programs, dict(standing.catches)))
    out.send((standing.programs, dict(standing.catches)))
    out.close()


def search_for(mutants: Sequence[Named], search: Search, jobs: int) -> Iterator[Standing]:
    """How the trials stand, again and again, until all are found or the search is over."""
    context = multiprocessing.get_context("spawn")
    shares = [[mutant.name for mutant in mutants[n::jobs]] for n in range(min(jobs, len(mutants)))]
    said: dict[int, Said] = {}
    readers: dict[Connection, int] = {}
    processes = []
    for number, names in enumerate(shares):
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(names, search, writer), daemon=True)
        process.start()
        writer.close()
        processes.append(process)
        readers[reader] = number
    try:
        while readers:
            for reader in [reader for reader in wait(list(readers)) if isinstance(reader, Connection)]:
                try:
                    said[readers[reader]] = reader.recv()
                except EOFError:
                    del readers[reader]
            yield _together(mutants, said)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _together(mutants: Sequence[Named], said: dict[int, Said]) -> Standing:
    catches = {name: catch for _, caught in said.values() for name, catch in caught.items()}
    programs = max((count for count, _ in said.values()), default=0)
    return Standing(programs, catches, [mutant for mutant in mutants if mutant.name not in catches])

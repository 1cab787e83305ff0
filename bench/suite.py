"""The suite: evaluations a second on each target, and mutants that it kills a minute."""

from __future__ import annotations

import sys
import time

from bench.measure import Cell, Table, clock, main
from bpf.plan import DEFAULT_PLAN
from engines import ENGINES
from fuzz.mutants import MUTANTS, Search, search_for
from fuzz.suite.generated import NAMES, run_row

_ROWS = ("add64_reg", "sdiv32_imm", "jsgt64_reg", "ldx16", "atomic32_cmpxchg", "call_local")


def evaluations(quick: bool) -> list[Table]:
    """One target at a time, each with the interpreter's answers to the same programs."""
    names, every = (_ROWS[:2], 13) if quick else (NAMES, 1)
    rows: list[list[Cell]] = []
    for engine in ENGINES.values():
        start = clock()
        results = [result for name in names for result in run_row(name, [engine], DEFAULT_PLAN, every)]
        seconds = clock() - start
        done = sum(result.evaluations for result in results)
        bad = sum(result.status != "passed" for result in results)
        rows.append([engine.name, len(results), done, done / seconds, seconds, bad])
    columns = ["engine", "programs", "evaluations", "evaluations/s", "seconds", "not passed"]
    note = f"{len(names)} instructions, one core; each engine's time holds the interpreter's, which judges it"
    return [Table("The suite", columns, rows, note)]


def kills(quick: bool) -> list[Table]:
    """Wall time: the mutants are shared out over two processes."""
    mutants = list(MUTANTS.values())[:: 64 if quick else 1]
    rows: list[list[Cell]] = []
    for search in (Search("suite"), Search("fuzz", programs=20 if quick else 2000)):
        start = time.perf_counter()
        *_, last = search_for(mutants, search, 2)
        seconds = time.perf_counter() - start
        killed = len(last.catches)
        rows.append([search.name, killed, last.programs, seconds, 60 * killed / seconds])
    note = f"{len(mutants)} mutants, two processes"
    return [Table("Mutants", ["by", "killed", "programs", "seconds", "killed/minute"], rows, note)]


if __name__ == "__main__":
    sys.exit(main([evaluations, kills], __doc__))

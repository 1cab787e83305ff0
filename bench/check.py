"""Check throughput: programs x targets a second on one core, over many small programs."""

from __future__ import annotations

import sys

from bench.measure import Cell, Table, clock, main
from bench.programs import mix
from engines import ENGINES
from engines.compare import compare
from vm.world import Input

_SIZES = (10, 50, 200)


def tables(quick: bool) -> list[Table]:
    """Everything that `check` does with a program besides reading the file and printing the table."""
    targets = sum(engine.abilities.native for engine in ENGINES.values())
    rows: list[list[Cell]] = []
    for size in _SIZES:
        programs = [mix(size, seed) for seed in range(5 if quick else 100)]
        compare(programs[0].in_order, Input())  # the machines are set up once a process
        bad = 0
        start = clock()
        for prog in programs:
            bad += any(row.verdict not in ("reference", "agrees") for row in compare(prog.in_order, Input()))
        seconds = clock() - start
        rows.append([f"{size} instructions", len(programs) * targets / seconds, seconds * 1e3 / len(programs), bad])
    columns = ["programs of", "programs x targets/s", "ms a program", "not agreeing"]
    note = f"{targets} targets, the interpreter in both byte orders, one core"
    return [Table("Check throughput", columns, rows, note)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

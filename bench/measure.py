"""What the benchmarks share: the best of several repeats, and tables."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

Cell = str | int | float

clock = time.perf_counter if sys.platform == "win32" else time.process_time
"""Seconds. The processor's time where it is counted finely: other processes then cost the least."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of results. note: what the columns mean and which figures are aimed at."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def text(self) -> str:
        """The table as aligned text."""
        cells = [list(self.columns), *([_shown(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(self.columns))]
        lines = [
            "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs)).rstrip()
            for pairs in (list(zip(row, widths, strict=True)) for row in cells)
        ]
        return "\n".join((self.title, *(f"  {line}" for line in lines), *([f"  ({self.note})"] if self.note else [])))


def _shown(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell >= 1000 else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def best(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """The least seconds that each function took, the functions taking turns.

    Turns, because a busy neighbour then slows all of them and not one. The garbage collector stays on: it is part of
    what a user waits for.
    """
    times = [float("inf")] * len(functions)
    for _ in range(repeats):
        for number, function in enumerate(functions):
            start = clock()
            function()
            times[number] = min(times[number], clock() - start)
    return times


def main(benches: Sequence[Callable[[bool], list[Table]]], description: str | None) -> int:
    """The command line of a benchmark: --json, --quick."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON record a table")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats: shows that it runs")
    arguments = parser.parse_args()
    for bench in benches:
        for table in bench(arguments.quick):
            print(json.dumps(asdict(table)) if arguments.json else table.text() + "\n", flush=True)
    return 0

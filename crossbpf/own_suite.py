"""`crossbpf conform` without a path: crossbpf's own suite, as a matrix of instructions and engines."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bpf.errors import BadInput
from crossbpf.options import wide_console
from crossbpf.report import STATUSES, Entry, matrix, verdict, write_html, write_junit
from fuzz.suite.generated import NAMES, run_suite

TITLE = "crossbpf conform"
SPARSE = 13


def names_containing(parts: Sequence[str]) -> list[str]:
    """The names of the suite that contain one of the parts; all without any. Raises BadInput for a part of none."""
    for part in parts:
        if not any(part in name for name in NAMES):
            raise BadInput(f"no instruction of the suite is named {part!r}", file="--only", remedy="as add64_imm, ldx8")
    return [name for name in NAMES if not parts or any(part in name for part in parts)]


def run(
    engines: Sequence[str], plugins: Sequence[str], *, plan: str, only: Sequence[str], quick: bool, seconds: float,
    jobs: int,    junit: str | None, html: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Run the suite, write the reports, print the matrix; the exit code."""
    names, every = names_containing(only), SPARSE if quick else 1
    entries: list[Entry] = []
    start = time.perf_counter()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(console=console, transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
        task = progress.add_task("conform", total=len(names))
        for results in run_suite(names, engines, plugins, plan=plan, every=every, seconds=seconds, jobs=jobs):
            entries += (Entry(r.row, r.case, r.engine, r.status, r.message, r.evaluations) for r in results)
            progress.advance(task)
    places = {name: at for at, name in enumerate((*names, *engines))}
    entries.sort(key=lambda entry: (places.get(entry.row, len(places)), places.get(entry.engine, len(places))))
    summary = _summary(entries, time.perf_counter() - start)
    if junit is not None:
        write_junit(junit, TITLE, entries)
    if html is not None:
        write_html(html, TITLE, summary, entries)
    if as_json:
        click.echo(json.dumps(_record(entries, time.perf_counter() - start)))
    else:
        _show(entries, summary)
    return 1 if any(entry.status == "failed" for entry in entries) else 0


def _summary(entries: Sequence[Entry], seconds: float) -> str:
    totals = Counter(entry.status for entry in entries)
    evaluations = sum(entry.evaluations for entry in entries)
    engines = len({entry.engine for entry in entries})
    counted = ", ".join(f"{totals[status]:,} {status}" for status in STATUSES if totals[status])
    return f"{len(entries):,} programs on {engines} engines, {evaluations:,} evaluations, {seconds:.1f} s: {counted}"


def _show(entries: Sequence[Entry], summary: str) -> None:
    """The matrix, then what failed, then how many of the rest were refused or undecided and why."""
    console = wide_console()
    engines = list(dict.fromkeys(entry.engine for entry in entries))
    table = Table(box=None, pad_edge=False)
    for column in ("instruction", "evaluations", *engines):
        table.add_column(column, justify="left" if column == "instruction" else "right")
    for row, cells in matrix(entries).items():
        evaluations = max(cell["evaluations"] for cell in cells.values())
        table.add_row(row, f"{evaluations:,}", *(verdict(cells.get(name)) for name in engines))
    console.print(table)
    for entry in entries:
        if entry.status == "failed":
            console.print(f"failed: {entry.name} on {entry.engine}: {entry.message}", markup=False)
    rest = Counter((e.engine, e.status, e.message) for e in entries if e.status in ("refused", "undecided"))
    for (engine, status, message), count in rest.most_common(20):
        console.print(f"{status} by {engine}, {count} programs: {message}", markup=False)
    console.print(summary, markup=False)


def _record(entries: Sequence[Entry], seconds: float) -> dict[str, Any]:
    totals: dict[str, Counter[str]] = {}
    for entry in entries:
        totals.setdefault(entry.engine, Counter())[entry.status] += 1
        totals[entry.engine]["evaluations"] += entry.evaluations
    return {
        "engines": {name: dict(counter) for name, counter in totals.items()},
        "rows": {row: {name: dict(cell) for name, cell in cells.items()} for row, cells in matrix(entries).items()},
        "failures": [
            {"program": e.name, "engine": e.engine, "status": e.status, "message": e.message}
            for e in entries
            if e.status != "passed"
        ],
        "seconds": seconds,
    }

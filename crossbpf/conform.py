"""`crossbpf conform`: conformance files, or crossbpf's own suite, on every engine."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bpf.errors import BadInput, CrossbpfError
from crossbpf import own_suite
from crossbpf.options import engines_named, plans_named, wide_console
from crossbpf.report import Entry, write_html, write_junit
from engines import ENGINES
from engines.plugin import plugins
from fuzz.suite import datafile
from fuzz.suite.runner import Status, Verdict, groups, run_test
from vm.world import Limits

_ORDER: tuple[Status, ...] = ("passed", "failed", "undecided")


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--target", metavar="NAME,...", help="Engines to test; native and linux too. Default: all seven.")
@click.option("--plugin", multiple=True, metavar="CMD", help="Test an external runtime too (see docs/plugins.md).")
@click.option("--plan", default="high", show_default=True, metavar="NAME", help="low, high, kernel or fence.")
@click.option("--seconds", default=2.0, show_default=True, help="Time limit of the run of a file.")
@click.option("--only", multiple=True, metavar="NAME", help="Own suite: instructions whose name contains this.")
@click.option("--quick", is_flag=True, help="Own suite: a thirteenth of the operands.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Own suite: processes. Default: one per CPU.")
@click.option("--html", metavar="FILE", help="Write the matrix as a page of HTML there.")
@click.option("--junit", metavar="FILE", help="Write a JUnit XML report there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record instead of the summary.")
def conform(
    paths: Sequence[str], target: str | None, plugin: Sequence[str], plan: str, seconds: float, only: Sequence[str],
    quick: bool, jobs: int | None, html: str | None, junit: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Run conformance tests on every engine.

    Without a PATH: crossbpf's own suite, generated from its table of instructions. Every instruction runs on every
    engine, with corners of the number range crossed with each other, all registers, immediates, offsets and branches at
    the boundaries of every machine's encodings; the interpreter says what is right. The answer is a matrix.

    PATH is a file in the public conformance format (.data), or a directory that is searched for such files.

    Exit code: 0 all passed, 1 a failure, 2 a file that cannot be read.
    """
    engines, chosen = engines_named(target) or list(ENGINES.values()), plans_named(plan)[0]
    if not paths:
        return own_suite.run(
            [engine.name for engine in engines], plugin, plan=chosen.name, only=only, quick=quick, seconds=seconds,
            jobs=jobs or os.cpu_count() or 1, junit=junit, html=html, as_json=as_json,
        )  # fmt: skip
    files = find_files(paths)
    engines += plugins(plugin)
    verdicts: list[Verdict] = []
    broken: list[CrossbpfError] = []
    start = time.perf_counter()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(console=console, transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
        for file in progress.track(files, description="conform"):
            try:
                test = datafile.read(file)
            except CrossbpfError as error:
                broken.append(error.at(file=file))
                continue
            verdicts += run_test(test, engines, plan=chosen, limits=Limits(seconds=seconds))
    seconds_taken = time.perf_counter() - start
    entries = [Entry(str(v.test.path), str(v.test.path), v.engine, v.status, v.message) for v in verdicts]
    if junit is not None:
        write_junit(junit, own_suite.TITLE, entries)
    if html is not None:
        write_html(html, own_suite.TITLE, f"{len(files)} files, {seconds_taken:.1f} s", entries)
    if as_json:
        click.echo(json.dumps(record(verdicts, broken)))
    else:
        show(verdicts, broken, len(files), seconds_taken)
    if broken:
        return 2
    return 1 if any(verdict.status == "failed" for verdict in verdicts) else 0


def find_files(paths: Sequence[str]) -> list[str]:
    """The .data files that the paths name or contain. Raises BadInput for a path without any."""
    files: list[str] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            found = sorted(str(file) for file in path.rglob("*.data"))
            if not found:
                raise BadInput("no .data files in this directory", file=name)
            files += found
        elif path.is_file():
            files.append(name)
        else:
            raise BadInput("no such file or directory", file=name)
    return files


def show(verdicts: Sequence[Verdict], broken: Sequence[CrossbpfError], files: int, seconds: float) -> None:
    """Print what failed, then a table of engines, then one of instruction groups and engines."""
    console = wide_console()
    for error in broken:
        click.echo("crossbpf: " + " ".join(str(error).split()), err=True)
    for verdict in verdicts:
        if verdict.status != "passed":
            console.print(f"{verdict.status}: {verdict.test.path} on {verdict.engine}: {verdict.message}", markup=False)
    names = list(dict.fromkeys(verdict.engine for verdict in verdicts))
    totals = Counter((verdict.engine, verdict.status) for verdict in verdicts)
    table = Table(box=None, pad_edge=False)
    table.add_column("engine")
    for status in _ORDER:
        table.add_column(status, justify="right")
    for name in names:
        table.add_row(name, *(str(totals[name, status]) for status in _ORDER))
    console.print(table)
    console.print()
    table = Table(box=None, pad_edge=False)
    for column in ("group", "tests", *names):
        table.add_column(column, justify="left" if column == "group" else "right")
    for group, cells in by_group(verdicts).items():
        table.add_row(group, *(str(cells[column]) for column in ("tests", *names)))
    console.print(table)
    console.print(f"{files} files, {len(names)} engines, {seconds:.1f} s (groups: how many tests of each passed)")


def by_group(verdicts: Sequence[Verdict]) -> dict[str, Counter[str]]:
    """Instruction group -> how many tests use it ("tests"), and how many of those each engine passed."""
    table: dict[str, Counter[str]] = {}
    known: dict[str, frozenset[str]] = {}
    for verdict in verdicts:
        path = str(verdict.test.path)
        first = path not in known
        if first:
            known[path] = groups(verdict.test)
        for group in known[path]:
            row = table.setdefault(group, Counter())
            row["tests"] += first
            row[verdict.engine] += verdict.status == "passed"
    return dict(sorted(table.items()))


def record(verdicts: Sequence[Verdict], broken: Sequence[CrossbpfError]) -> dict[str, object]:
    """The run as JSON shows it."""
    totals: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        totals.setdefault(verdict.engine, Counter())[verdict.status] += 1
    return {
        "engines": {name: {status: counter[status] for status in _ORDER} for name, counter in totals.items()},
        "groups": {group: dict(counter) for group, counter in by_group(verdicts).items()},
        "failures": [
            {"file": str(v.test.path), "engine": v.engine, "status": v.status, "message": v.message}
            for v in verdicts
            if v.status != "passed"
        ],
        "unreadable": [{"file": e.file, "place": e.place, "error": e.message, "remedy": e.remedy} for e in broken],
    }

"""`crossbpf mutants`: faults put into our own JITs or verifier, one at a time, and what finds them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Literal

import click
from rich.table import Table

from bpf.errors import BadInput
from crossbpf.options import wide_console
from fuzz.mutants import Mutant, Search, Standing, VerifierMutant, named, named_verifier, search_for

By = Literal["suite", "fuzz"]
Fault = Mutant | VerifierMutant
_PROGRAMS, _VERIFIER_PROGRAMS = 2000, 300


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--target", metavar="NAME,...", help="Only mutants that change code of these targets.")
@click.option("--by", type=click.Choice(["suite", "fuzz"]), help="Let only this one look for them. Default: both.")
@click.option("--verifier", is_flag=True, help="Mutants of the verifier instead of the JITs.")
@click.option(
    "--programs", type=int, metavar="N",
    help="Programs that fuzzing may take. Default: 2000, of the verifier 300, or as --time says.",
)  # fmt: skip
@click.option("--time", "seconds", type=float, metavar="S", help="Seconds that fuzzing may take.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="Seed of fuzzing.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Processes. Default: one per CPU.")
@click.option("--list", "only_list", is_flag=True, help="Say what there is, and run nothing.")
@click.option("--markdown", is_flag=True, help="Print the tables of docs/mutants.md.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def mutants(
    names: Sequence[str], target: str | None, by: By | None, verifier: bool, programs: int | None,
    seconds: float | None, seed: int, jobs: int | None, only_list: bool, markdown: bool, as_json: bool,
) -> int:  # fmt: skip
    """Re-inject faults that JITs have had into ours, one at a time, and show what finds them.

    A mutant is found by the suite (that of `crossbpf conform`) or by fuzzing (the first programs of a campaign) when a
    program does something else than on the interpreter; the number of that program is shown. NAME is part of a mutant's
    name. With --verifier the faults are in the verifier, the suite is that of all witnesses, and one is found when a
    program that is accepted does what the verifier thought impossible.

    Exit code: 0 all are found, by one or the other; 1 one survives.
    """
    if verifier and target is not None:
        raise BadInput("the verifier has no targets", remedy="leave out --target, or --verifier")
    chosen: Sequence[Fault] = (
        named_verifier(names) if verifier else named(names, target.split(",") if target is not None else None)
    )
    if only_list:
        _list(chosen, as_json=as_json)
        return 0
    if programs is None and seconds is None:
        programs = _VERIFIER_PROGRAMS if verifier else _PROGRAMS
    every = (Search("suite", verifier=verifier), Search("fuzz", programs, seed, seconds, verifier))
    searches = [search for search in every if by in (None, search.name)]
    standings: dict[str, Standing] = {}
    start, interrupted = time.perf_counter(), False
    try:
        for search in searches:
            _run(chosen, search, standings, jobs or os.cpu_count() or 1)
    except KeyboardInterrupt:
        interrupted = True
    taken = time.perf_counter() - start
    if as_json:
        click.echo(json.dumps(_record(chosen, standings, taken)))
    elif markdown:
        click.echo("\n".join(_markdown(chosen, standings)))
    else:
        _show(chosen, standings, taken)
    if interrupted:
        click.echo("interrupted: what is not found yet may be found later", err=True)
        return 130
    return 1 if _survivors(chosen, standings) else 0


def _run(chosen: Sequence[Fault], search: Search, standings: dict[str, Standing], jobs: int) -> None:
    """Let a search look for the mutants; how it stands is put into `standings`."""
    standings[search.name] = Standing(0, {}, chosen)
    shown = time.monotonic()
    for standing in search_for(chosen, search, jobs):
        standings[search.name] = standing
        if sys.stderr.isatty() and time.monotonic() - shown > 1:
            shown = time.monotonic()
            line = f"{search.name}: {standing.programs} programs, {len(standing.catches)} of {len(chosen)} found"
            click.echo(f"\r{line}", err=True, nl=False)
    if sys.stderr.isatty():
        click.echo("\r" + " " * 60 + "\r", err=True, nl=False)


def _survivors(chosen: Sequence[Fault], standings: dict[str, Standing]) -> list[str]:
    found = {name for standing in standings.values() for name in standing.catches}
    return [mutant.name for mutant in chosen if mutant.name not in found]


def _list(chosen: Sequence[Fault], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"mutants": [_about(mutant) for mutant in chosen]}))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("mutant")
    table.add_column("fault")
    for mutant in chosen:
        table.add_row(mutant.name, mutant.source)
    wide_console().print(table)


def _about(mutant: Fault) -> dict[str, object]:
    return {
        "name": mutant.name,
        "source": mutant.source,
        "targets": [target.name for target in mutant.targets] if isinstance(mutant, Mutant) else [],
    }


def _show(chosen: Sequence[Fault], standings: dict[str, Standing], seconds: float) -> None:
    """A row for each mutant, then what the survivors are, then the scores."""
    console = wide_console()
    table = Table(box=None, pad_edge=False)
    table.add_column("mutant")
    for name in standings:
        table.add_column(name, justify="right")
    table.add_column("by")
    table.add_column("fault")
    for mutant in chosen:
        catches = [standing.catches.get(mutant.name) for standing in standings.values()]
        by = next((catch.by for catch in catches if catch), "")
        table.add_row(mutant.name, *(str(catch.programs) if catch else "-" for catch in catches), by, mutant.source)
    console.print(table)
    for name in _survivors(chosen, standings):
        console.print(f"survived: {name}", markup=False)
    for name, standing in standings.items():
        score = _score(chosen, standing)
        console.print(
            f"{name}: {score['found']} of {len(chosen)} found ({score['percent']} %) in {standing.programs} programs; "
            f"median {score['median']}, most {score['most']}",
            markup=False,
        )
    console.print(
        f"{len(chosen)} mutants, {seconds:.1f} s (columns: by which program each was found, - for not at all; "
        "the first one's name)"
    )


def _markdown(chosen: Sequence[Fault], standings: dict[str, Standing]) -> Iterator[str]:
    """A table of scores by family, then one of mutants."""
    yield f"| | mutants | {' | '.join(standings)} | either |"
    yield "|---" * (3 + len(standings)) + "|"
    found = {name: set(standing.catches) for name, standing in standings.items()}
    either = set[str]().union(*found.values())
    for family in (*dict.fromkeys(mutant.name.split("/")[0] for mutant in chosen), "all"):
        names = {mutant.name for mutant in chosen if family in ("all", mutant.name.split("/")[0])}
        counts = [len(names), *(len(names & caught) for caught in (*found.values(), either))]
        yield f"| {family} | {' | '.join(map(str, counts))} |"
    yield ""
    yield f"| mutant | fault | {' | '.join(standings)} | by |"
    yield "|---" * (3 + len(standings)) + "|"
    for mutant in chosen:
        catches = [standing.catches.get(mutant.name) for standing in standings.values()]
        cells = [str(catch.programs) if catch else "-" for catch in catches]
        by = next((catch.by for catch in catches if catch), "-")
        yield f"| `{mutant.name}` | {mutant.source} | {' | '.join(cells)} | {by} |"


def _score(chosen: Sequence[Fault], standing: Standing) -> dict[str, object]:
    """How many are found, per cent, and after how many programs."""
    numbers = sorted(catch.programs for catch in standing.catches.values())
    return {
        "found": len(numbers),
        "percent": round(100 * len(numbers) / len(chosen), 1) if chosen else 0.0,
        "median": int(median(numbers)) if numbers else None,
        "most": numbers[-1] if numbers else None,
    }


def _record(chosen: Sequence[Fault], standings: dict[str, Standing], seconds: float) -> dict[str, object]:
    rows = []
    for mutant in chosen:
        row = _about(mutant)
        for name, standing in standings.items():
            catch = standing.catches.get(mutant.name)
            row[name] = catch and {
                "programs": catch.programs, "by": catch.by, "engine": catch.engine, "what": catch.what,
            }  # fmt: skip
        rows.append(row)
    scores = {name: _score(chosen, standing) | {"programs": standing.programs} for name, standing in standings.items()}
    return {"mutants": rows, "scores": scores, "survivors": _survivors(chosen, standings), "seconds": seconds}

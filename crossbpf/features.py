"""`crossbpf features`: what a kernel release has, and what came when."""

from __future__ import annotations

import json
from itertools import groupby

import click
from rich.table import Table

from crossbpf.bpftool import pretty
from crossbpf.options import wide_console
from runtime import features as known
from runtime.features import Feature


@click.command()
@click.option("--kernel", metavar="RELEASE", help="What this release has, 5.4 say.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Print a JSON record.")
@click.option("-p", "--pretty", "indented", is_flag=True, help="The same, indented.")
def features(kernel: str | None, as_json: bool, indented: bool) -> int:
    """Instructions, helpers, map types, program types and hooks by the kernel release that they came in.

    `check` and `prog load` take --kernel too, and refuse what came later.
    """
    everything = list(known.features())
    if as_json or indented:
        groups: dict[str, list[dict[str, str | bool]]] = {}
        for feature in everything:
            record: dict[str, str | bool] = {"name": feature.name, "since": feature.since}
            record |= {} if kernel is None else {"there": feature.there(kernel)}
            groups.setdefault(f"{feature.group}s".replace(" ", "_"), []).append(record)
        click.echo(pretty(groups) if indented else json.dumps(groups))
        return 0
    table = Table(box=None, pad_edge=False)
    for name in ("since", "what", "names"):
        table.add_column(name, no_wrap=name != "names")
    if kernel is None:
        _by_release(table, everything)
    else:
        _there(table, everything, kernel)
    wide_console().print(table)
    return 0


def _by_release(table: Table, everything: list[Feature]) -> None:
    """A row for each release and group."""

    def when(feature: Feature) -> tuple[int, ...]:
        return known.numbers(feature.since) if feature.since else (1 << 30,)

    for _, together in groupby(sorted(everything, key=when), key=when):
        for group, members in groupby(together, key=lambda feature: feature.group):
            found = list(members)
            table.add_row(found[0].since or "never", f"{group}s", " ".join(feature.name for feature in found))


def _there(table: Table, everything: list[Feature], kernel: str) -> None:
    """Two rows for each group: what is there, what is not."""
    for group, members in groupby(everything, key=lambda feature: feature.group):
        found = list(members)
        there = [feature for feature in found if feature.there(kernel)]
        later = [f"{feature.name} ({feature.since or 'never'})" for feature in found if not feature.there(kernel)]
        table.add_row(f"by {kernel}", f"{len(there)} {group}s", " ".join(feature.name for feature in there))
        if later:
            table.add_row("later", f"{len(later)} {group}s", " ".join(later))

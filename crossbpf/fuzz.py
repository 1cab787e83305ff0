"""`crossbpf fuzz`: generated programs on every engine, until one differs, or until the verifier is wrong about one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from bpf.errors import BadInput
from crossbpf.inputs import write_bytes
from crossbpf.options import engines_named
from engines import ENGINES, Engine
from engines.plugin import PluginEngine
from fuzz import bordering
from fuzz.campaign import Progress, campaign
from fuzz.oracles import LIMITS, judge_genome
from fuzz.reproducer import assembly, pytest_file, unsound_assembly, unsound_pytest_file
from fuzz.worker import Worker


@click.command()
@click.option("--programs", type=int, metavar="N", help="Stop after N programs. Default: 1000, unless --time is given.")
@click.option("--time", "seconds", type=float, metavar="S", help="Stop after S seconds.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="Another seed, other programs.")
@click.option("--target", metavar="NAME,...", help="Engines to test. Default: all six targets.")
@click.option("--verifier", is_flag=True, help="Test the verifier instead: what runs do against what it says.")
@click.option("--first", default=0, metavar="N", help="With --verifier: go on at program N of the seed.")
@click.option("--plugin", metavar="CMD", help="Test an external runtime (see docs/plugins.md) instead.")
@click.option("--seconds", "limit", default=LIMITS.seconds, show_default=True, help="Time limit of a run.")
@click.option("--in-process", is_flag=True, help="No worker process: a crash of the emulator ends the campaign.")
@click.option("--out", metavar="DIR", help="Directory for the reproducer. Default: the current one.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def fuzz(
    programs: int | None, seconds: float | None, seed: int, target: str | None, verifier: bool, first: int,
    plugin: str | None, limit: float,
    in_process: bool, out: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Generate programs, run each on the interpreter and on the engines under test, and compare everything.

    The first program that an engine does differently is shrunk and written as assembly and as a pytest file. To crash
    and not to end are differences too. A seed always makes the same programs.

    With --verifier, programs near the border of what it accepts are verified and run on the interpreter: accepted ones
    must not fault, and registers and stack must be as the verifier thought possible, with and without pruning.

    Exit code: 0 no difference, 1 a difference.
    """
    if programs is None and seconds is None:
        programs = 1000
    if verifier:
        if target is not None or plugin is not None:
            raise BadInput("the verifier is crossbpf's own", remedy="leave out --target and --plugin, or --verifier")
        return _verifier(seed, first, programs, seconds, _folder(out), as_json)
    engines: list[Engine] = engines_named(target) or [e for e in ENGINES.values() if e.abilities.native]
    if plugin is not None:
        engines = [PluginEngine(plugin)]
    folder = _folder(out)
    last = Progress(0, 0.0)
    shown = 0.0
    limits = replace(LIMITS, seconds=limit)
    worker = Worker()
    judge = judge_genome if in_process or plugin is not None else worker.judge  # a plugin is a process anyhow
    run = campaign(
        engines, seed=seed, programs=programs, seconds=seconds, bare=plugin is not None, limits=limits, judge=judge
    )
    try:
        for last in run:
            if last.finding is not None:
                break
            if sys.stderr.isatty() and last.seconds - shown > 1:
                shown = last.seconds
                click.echo(f"\r{last.programs} programs, {last.programs / last.seconds:.0f}/s", err=True, nl=False)
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted after {last.programs} programs (seed {seed}); no difference so far", err=True)
        return 130
    finally:
        worker.stop()
    return _report(last, seed, engines, folder, as_json)


def _folder(out: str | None) -> Path:
    """Where reproducers go. Raises BadInput."""
    folder = Path(out or ".")
    if not folder.is_dir():
        raise BadInput("no such directory", file=str(folder))
    return folder


def _verifier(seed: int, first: int, programs: int | None, seconds: float | None, folder: Path, as_json: bool) -> int:
    """The campaign of the verifier, and its report."""
    last = bordering.Standing(first, 0, 0.0)
    shown = 0.0
    try:
        for last in bordering.campaign(seed=seed, first=first, programs=programs, seconds=seconds):
            if last.found is not None:
                break
            if sys.stderr.isatty() and last.seconds - shown > 1:
                shown = last.seconds
                done = last.programs - first
                line = f"{done} programs, {last.accepted} accepted, {done / last.seconds:.0f}/s"
                click.echo(f"\r{line}", err=True, nl=False)
    except KeyboardInterrupt:
        again = f"--seed {seed} --first {last.programs}"
        click.echo(f"\ninterrupted; nothing wrong so far. `crossbpf fuzz --verifier {again}` goes on", err=True)
        return 130
    found, done = last.found, last.programs - first
    record: dict[str, object] = {
        "seed": seed, "first": first, "programs": done, "accepted": last.accepted, "seconds": last.seconds,
    }  # fmt: skip
    if found is None:
        if as_json:
            click.echo(json.dumps(record | {"finding": None}))
        else:
            click.echo(f"{done} programs, {last.accepted} accepted, in {last.seconds:.1f} s: the verifier is right")
        return 0
    stem = f"fuzz_verifier_{seed}_{last.programs}"
    files = [str(folder / f"{stem}.s"), str(folder / f"test_{stem}.py")]
    write_bytes(files[0], unsound_assembly(found).encode())
    write_bytes(files[1], unsound_pytest_file(found).encode())
    if as_json:
        details = {"pc": found.breach.pc, "what": found.breach.what, "genome": found.genome, "files": files}
        click.echo(json.dumps(record | {"finding": details}))
    else:
        click.echo(f"the verifier is wrong about program {last.programs} of seed {seed}, shrunk:")
        click.echo(unsound_assembly(found), nl=False)
        click.echo(f"written: {files[0]}, {files[1]}")
    return 1


def _report(last: Progress, seed: int, engines: Sequence[Engine], folder: Path, as_json: bool) -> int:
    finding, names = last.finding, [engine.name for engine in engines]
    record: dict[str, object] = {"seed": seed, "programs": last.programs, "seconds": last.seconds, "engines": names}
    if finding is None:
        if as_json:
            click.echo(json.dumps(record | {"finding": None}))
        else:
            click.echo(f"{last.programs} programs on {len(names)} engines in {last.seconds:.1f} s: no difference")
        return 0
    stem = re.sub(r"\W+", "_", f"fuzz_{finding.engine}_{seed}_{last.programs}")
    files = [str(folder / f"{stem}.s"), str(folder / f"test_{stem}.py")]
    write_bytes(files[0], assembly(finding).encode())
    write_bytes(files[1], pytest_file(finding, engines).encode())
    if as_json:
        details = {"engine": finding.engine, "what": finding.what, "genome": last.genome, "files": files}
        click.echo(json.dumps(record | {"finding": details}))
    else:
        click.echo(f"difference at program {last.programs} of seed {seed}, shrunk:")
        click.echo(assembly(finding), nl=False)
        click.echo(f"written: {files[0]}, {files[1]}")
    return 1

"""`crossbpf verify`: may these programs run on Linux?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import click

from bpf.errors import BadInput, CrossbpfError, Refused
from bpf.program import Program
from bpf.spec.errno import NAMES
from crossbpf.cli import report
from crossbpf.graphs import draw
from crossbpf.inputs import memory_bytes
from crossbpf.loading import read_apart
from crossbpf.options import DURATION, compile_options, compiling
from engines.linux import unavailable
from fuzz.parity.oracle import Answer, ask
from runtime.permission import CAPABILITIES, capabilities
from runtime.types import UNSPEC, named, of_section
from runtime.verifying import PLAIN, subject
from verifier import Options, Rejection, Subject, Verdict
from verifier import verify as judge
from verifier.explain import explain
from verifier.insn_text import text as insn_text
from verifier.parts import Part, Since, functions, part, together
from verifier.raw import slots

_RUNS = 12  # stretches of the path to a refusal that are shown


@dataclass(frozen=True, slots=True)
class Task:
    """A program to judge; kind: its type, None for what its section says."""

    program: Program
    kind: str | None
    options: Options
    memory: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A program, the type that it was judged as, and the verdict."""

    program: Program
    kind: str
    subject: Subject
    verdict: Verdict

    def record(self) -> dict[str, Any]:
        """As --json has it."""
        verdict = self.verdict
        return {
            "program": self.program.name, "type": self.kind, "accepted": verdict.accepted, "errno": verdict.errno,
            "message": verdict.message, "reason": verdict.reason, "insn": verdict.pc,
            "processed": verdict.processed, "path": verdict.path,
            "log": verdict.log,
        }  # fmt: skip


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--prog", metavar="NAME", help="Only this program of an object.")
@click.option("--type", "kind", metavar="NAME", help="Program type, else what the section says; plain for none.")
@click.option("--mem", metavar="FILE|HEX", help="Memory that R1 and R2 of a plain program describe.")
@click.option("-v", "--verbose", count=True, help="The log as Linux writes it: -v level 1, -vv level 2.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON record a program.")
@click.option("--caps", metavar="CAP,...", help="Capabilities of who loads: CAP_BPF,CAP_PERFMON,... Default: all.")
@click.option("--unpriv", is_flag=True, help="Who loads has no capability.")
@click.option("--strict-alignment", is_flag=True, help="Accesses must be aligned, as on machines that need it.")
@click.option("--explain", "explained", is_flag=True, help="Say in plain words what is wrong, and since when.")
@click.option("--merge", is_flag=True, help="Try first with one state a block; where that says no, search all paths.")
@click.option("--cfg", metavar="FILE.svg", help="Draw the control-flow graph with the states at each block.")
@click.option("--engine", type=click.Choice(["linux"]), help="Ask the live kernel too, and show both answers.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option(
    "--time-limit",
    "seconds",
    type=DURATION,
    default=0.0,
    metavar="TIME",
    help="Give up then (EAGAIN): 1s, 500ms. Default: never.",
)
@compiling
def verify(
    files: Sequence[str], prog: str | None, kind: str | None, mem: str | None, verbose: int, as_json: bool,
    caps: str | None, unpriv: bool, strict_alignment: bool, explained: bool, merge: bool, cfg: str | None,
    engine: str | None, jobs: int, seconds: float, cc: str | None, cflags: str, includes: Sequence[str],
    entry: str | None, big_endian: bool,
) -> int:  # fmt: skip
    """Say whether Linux would load programs, and why not.

    Decides as Linux 6.18 on x86_64 does, with its words. FILE is C (.c), an ELF object (.o), assembly (.s), wire bytes
    (.bin, .hex). Without a type that a section or --type says, R1 is the address of the memory and R2 its length.

    Exit code: 0 all are accepted, 1 one is not, 2 unreadable.
    """
    if unpriv and caps is not None:
        raise click.UsageError("--unpriv and --caps contradict each other.")
    holds = frozenset[str]() if unpriv else frozenset(CAPABILITIES) if caps is None else capabilities(caps)
    options = Options(holds, strict=strict_alignment, log_level=max(1, min(verbose, 2)), seconds=seconds, merge=merge)
    memory = memory_bytes(mem)
    compiled = replace(compile_options(cc, cflags, includes), as_given=True)
    wanted: list[Task] = []
    code = 0
    for file in files:
        found = read_apart(file, options=compiled, order="big" if big_endian else "little", name=prog or entry)
        for one in found:
            if isinstance(one, CrossbpfError):
                if len(found) == 1:
                    raise one
                report(one, as_json=as_json)
                code = 2
            else:
                wanted.append(Task(one, kind, options, len(memory)))
    if cfg is not None and len(wanted) > 1:
        raise BadInput(f"{len(wanted)} programs for one graph", file=cfg, remedy="choose one with --prog")
    for judged in _judged(wanted, jobs):
        verdict = judged.verdict
        live = _ask_live(judged.subject, options) if engine is not None else ""
        words = explain(judged.subject, options, verdict) if explained else []
        code = max(code, 0 if verdict.accepted else 1)
        if as_json:
            record = judged.record()
            if explained:
                record["explanation"] = words
            if live:
                record["linux"] = (
                    {"error": live} if isinstance(live, str) else {"errno": live.errno, "message": live.message}
                )
            click.echo(json.dumps(record))
        else:
            _show(judged, verbose)
            for line in words:
                click.echo(f"   {line}")
            if live:
                _show_live(verdict, live)
        if live and isinstance(live, str):
            code = 2
        if cfg is not None:
            written = draw(judged.subject, options, judged.program.name, Path(cfg))
            click.echo(f"graph: {written}", err=True)
    return code


def _judged(tasks: Sequence[Task], jobs: int) -> Iterator[Judged]:
    """The verdicts in the order of the programs, found by so many processes."""
    if jobs == 1 or "fork" not in get_all_start_methods():
        yield from (_with_verdict(made, judge(made[2], made[0].options)) for made in map(_made, tasks))
        return
    made = [_made(task) for task in tasks]
    _WAITING[:] = [(subject_, task.options) for task, _, subject_ in made]
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:  # programs do not travel, answers do
        found = [_submit(pool, number) for number in range(len(made))]
        for one, parts in zip(made, found, strict=True):
            yield _with_verdict(one, _verdict(one[2], one[0].options, parts))


_WAITING: list[tuple[Subject, Options]] = []
"""What the processes find when they are made."""


def _submit(pool: ProcessPoolExecutor, number: int) -> dict[int, Future[Part]]:
    """Have the parts of a program walked; none where it is refused before."""
    made, options = _WAITING[number]
    try:
        guesses = functions(made, options)
    except Rejection:
        return {}
    return {subprog: pool.submit(_part, number, subprog, since) for subprog, since in guesses.items()}


def _part(number: int, subprog: int, since: Since) -> Part:
    return part(*_WAITING[number], subprog, since)


def _verdict(made: Subject, options: Options, parts: dict[int, Future[Part]]) -> Verdict:
    found = together(made, options, lambda subprog: parts[subprog].result()) if parts and not options.merge else None
    return found if found is not None else judge(made, options)


def _made(task: Task) -> tuple[Task, str, Subject]:
    program, kind = task.program, task.kind
    if kind is None:
        found = of_section(program.section)
        kind = PLAIN if found == UNSPEC else found
    elif kind != PLAIN:
        kind = named(kind)
    return task, kind, subject(program, kind, memory=task.memory)


def _with_verdict(made: tuple[Task, str, Subject], verdict: Verdict) -> Judged:
    task, kind, subject_ = made
    return Judged(task.program, kind, subject_, verdict)


def _show(judged: Judged, verbose: int) -> None:
    program, verdict = judged.program, judged.verdict
    if verbose:
        click.echo(verdict.log, nl=False)
    if verdict.accepted:
        click.echo(f"prog {program.name}: accepted, {verdict.processed} insns processed")
        return
    name = NAMES.get(verdict.errno, "?")
    click.echo(f"prog {program.name}: bpf_prog_load() err={verdict.errno} ({name})")
    if verdict.message:
        *before, last = verdict.message.splitlines()
        click.echo(f"verification failed: {last}")
        for line in before:
            click.echo(f"   {line}")
    else:
        click.echo(f"refused without a word: {verdict.reason}")
    if verdict.pc >= 0 and not verbose:
        if verdict.path:
            click.echo(f"path: {_path(verdict.path)}")
        shown = insn_text(slots(judged.subject.code, program.order), verdict.pc, judged.subject)
        click.echo(f"at {verdict.pc}: {shown}")
        place = program.line_at(verdict.pc)
        if place is not None:
            click.echo(f"   {place.file}:{place.line}: {place.text.strip()}")


def _ask_live(made: Subject, options: Options) -> Answer | str:
    """The live kernel's answer, or why there is none. Raises Refused where it cannot be asked at all."""
    if made.memory >= 0:
        return "Linux has no plain programs (say what it is with --type)"
    if reason := unavailable():
        raise Refused(f"the live kernel cannot be asked: {reason}", remedy="run as root, on Linux")
    try:
        return ask(made, options)
    except Refused as error:
        return str(error)
    except OSError as error:
        return f"not asked: {error.strerror}"


def _path(runs: Sequence[tuple[int, int]]) -> str:
    """The way to a refusal; of a long one the end."""
    left = len(runs) - _RUNS
    shown = [f"{first}-{last}" if first != last else str(first) for first, last in runs[-_RUNS:]]
    return (f"({left} more), " if left > 0 else "") + ", ".join(shown)


def _show_live(verdict: Verdict, live: Answer | str) -> None:
    """The live kernel's answer beside ours."""
    if isinstance(live, str):
        click.echo(f"linux: {live}")
    elif live.errno == verdict.errno:
        click.echo("linux: the same" + ("" if live.message == _last(verdict) else f", but says: {live.message}"))
    elif live.errno:
        name = NAMES.get(live.errno, "?")
        click.echo(f"linux: bpf_prog_load() err={live.errno} ({name}): {live.message}")
    else:
        click.echo("linux: accepted")


def _last(verdict: Verdict) -> str:
    return verdict.message.splitlines()[-1] if verdict.message else ""

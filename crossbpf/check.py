"""`crossbpf check`: one program on the interpreter and every target, one table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bpf.errors import CrossbpfError
from bpf.order import ORDERS
from bpf.program import Program
from bpf.spec.conventions import PACKET, Convention
from bpf.spec.helpers import SUITE
from bpf.text import format_insn
from crossbpf.bpftool import caller, capable, verified
from crossbpf.cc import find
from crossbpf.cpus import cpu_options, schedule_named
from crossbpf.inputs import Source, memory_beside, memory_bytes, read_source, sources_in
from crossbpf.machine import world as world_of
from crossbpf.maps import map_option, map_record, show_maps
from crossbpf.net import net_option, network_said
from crossbpf.options import compile_options, compiling, engines_named, hexadecimal, plans_named, wide_console
from crossbpf.types import context_for, convention_named, fields_for
from engines.compare import Row, compare
from engines.lockstep import Parting
from jit.listing import listing
from runtime.features import refuse_later, refuse_later_type
from runtime.permission import Caller, may_load
from runtime.types import of_section
from runtime.verifying import accept
from vm.world import Input, Limits

_STYLES = {"reference": "bold", "agrees": "green", "differs": "bold red", "undecided": "yellow", "refused": "dim"}


@dataclass(frozen=True, slots=True)
class Result:
    """One file under one plan: its rows, or the error that kept it from being read."""

    file: str
    plan: str
    rows: Sequence[Row] = ()
    program: Program | None = None
    error: CrossbpfError | None = None

    @property
    def judged(self) -> list[Row]:
        """The rows of engines that are compared with the interpreter."""
        return [row for row in self.rows if row.verdict != "reference"]

    def code(self, strict: bool) -> int:
        """Exit code of this result."""
        verdicts = [row.verdict for row in self.judged]
        if self.error is not None or not verdicts or all(verdict == "refused" for verdict in verdicts):
            return 2
        if "differs" in verdicts or (strict and "undecided" in verdicts):
            return 1
        return 0


@click.command()
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--mem", metavar="FILE|HEX", help="Memory that R1 and R2 describe: a file, or hex bytes.")
@click.option(
    "--packet", metavar="FILE|HEX", help="A frame for loads from the packet; R1 is a context that stands for it."
)
@click.option("--type", "kind", metavar="NAME", help="Program type; --packet is its packet. Contexts are compared too.")
@click.option("--ctx", multiple=True, metavar="NAME=VALUE,...|FILE", help="Fields of the context of --type.")
@map_option
@net_option
@click.option("--target", metavar="NAME,...", help="Targets to run on. Default: all six.")
@click.option("--engine", metavar="NAME,...", help="More engines: linux, the live kernel; native, the host.")
@cpu_options
@click.option("--plan", default="high", show_default=True, metavar="NAME,...", help="low, high, kernel, fence or all.")
@click.option("--seconds", default=5.0, show_default=True, help="Time limit of a run.")
@click.option("--instructions", default=20_000_000, show_default=True, help="Instruction limit of the interpreter.")
@click.option("--count", is_flag=True, help="Count executed instructions too (slow).")
@click.option("--kernel", metavar="RELEASE", help="Refuse what came later than this kernel, 5.4 say.")
@click.option("--strict", is_flag=True, help="Exit 1 when a run hit its limit.")
@click.option("-v", "--verbose", is_flag=True, help="The whole table for every program of a directory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON record a program and plan.")
@click.option("--print-cc", is_flag=True, help="Print the C compiler's command line and do nothing else.")
@capable
@verified
@compiling
def check(
    files: Sequence[str], mem: str | None, packet: str | None, kind: str | None, ctx: Sequence[str],
    contents: Sequence[str], target: str | None, engine: str | None, plan: str, seconds: float, instructions: int,
    count: bool, kernel: str | None, strict: bool, verbose: bool, as_json: bool, print_cc: bool, caps: str | None,
    disabled: int, no_verify: bool, cc: str | None, cflags: str, includes: Sequence[str], entry: str | None,
    big_endian: bool, cpu: int | None, cpus: int | None, schedule: str,
) -> int:  # fmt: skip
    """Run programs on the interpreter and on every target, and compare.

    FILE is C (.c), an ELF object (.o), assembly (.s, .bpf), a conformance file (.data), wire bytes (.bin, .hex), - for
    standard input, or a directory of such. NAME.bpfel.o and NAME.bpfeb.o are one program in two byte orders. R1 is the
    address of the memory and R2 its length, or 0 and 0; in a directory the memory is the hex text of NAME.mem.

    Exit code: 0 all that ran agree, 1 a difference, 2 unreadable or refused by all.
    """
    options = compile_options(cc, cflags, includes)
    if print_cc:
        compiler = find(cc)
        for order in ORDERS:
            click.echo(" ".join(compiler.command("FILE.c", order, "FILE.o", options.cflags, options.includes)))
        return 0
    if not files:
        raise click.UsageError("Missing argument 'FILE...'.")
    engines, plans, memory = engines_named(target, engine), plans_named(plan), memory_bytes(mem)
    convention = PACKET if packet is not None else None
    if kind is not None:
        convention = convention_named(kind)
        refuse_later_type(kernel, convention.type.name if convention.type is not None else "")
    if convention is None or convention.view is None:
        fields_for(convention, ctx)  # which has something to say
    named = (entry or "").split(",")
    names = list(dict.fromkeys(named))
    turns = schedule_named(cpu, cpus, schedule, tuple(names.index(one) for one in named))
    frame, limits = memory_bytes(packet, "--packet"), Limits(instructions, seconds)
    net = network_said()
    console, who = wide_console(), caller(caps, disabled)
    codes: list[int] = []
    for name in files:
        directory = Path(name).is_dir()
        results: list[Result] = []
        for file in sources_in(name) if directory else [name]:
            try:
                order = "big" if big_endian else "little"
                source = read_source(
                    file, options=options, order=order, entry=names if entry else None, paired=directory
                )
                _refuse_later(kernel, source)
                _may_load(who, source, convention or source.convention, verify=not no_verify)
                program = source.any_order()
                world = world_of(program, options, contents)
                world.cpu = cpu or 0
                context = context_for(convention or source.convention, program, ctx)
            except CrossbpfError as error:
                results.append(Result(file, "", error=error))
                _show(console, results[-1], as_json)
                continue
            beside = memory_beside(file) if directory else source.memory
            given = Input(
                memory if mem is not None else source.memory or beside, packet=frame, context=context.context,
                record=context.record,
            )  # fmt: skip
            world.net = net
            for chosen in plans:
                rows = compare(
                    source.program_in, given, engines=engines, plan=chosen,
                    convention=convention or source.convention, limits=limits, count=count,
                    world=world, tails_in=source.tails_in, schedule=turns,
                )  # fmt: skip
                results.append(Result(source.file, chosen.name, rows, _program(source, rows)))
                if as_json or verbose or not directory or results[-1].code(strict):
                    _show(console, results[-1], as_json, count=count)
        if directory and not as_json:
            show_summary(console, results)
        codes += [result.code(strict) for result in results]
    return 2 if 2 in codes else max(codes)


def _refuse_later(kernel: str | None, source: Source) -> None:
    if kernel is not None:
        program = source.any_order()
        try:
            refuse_later(kernel, program, of_section(program.section))
        except CrossbpfError as error:
            raise error.at(file=source.file) from None


def _may_load(who: Caller, source: Source, convention: Convention, *, verify: bool) -> None:
    """Raise CallFailed where Linux would not load it. A conformance test calls helpers of another machine."""
    if convention.helpers is not SUITE:
        program = source.any_order()
        try:
            kind = convention.type.name if convention.type else of_section(program.section)
            may_load(who, program, kind)
            if verify and convention.type is not None:
                accept(program, kind, who)
        except CrossbpfError as error:
            raise error.at(file=source.file) from None


def _program(source: Source, rows: Sequence[Row]) -> Program | None:
    return next((source.program_in(row.order) for row in rows if row.verdict != "refused"), None)


def _show(console: Console, result: Result, as_json: bool, *, count: bool = False) -> None:
    if as_json:
        click.echo(json.dumps(record(result)))
    elif result.error is not None:
        click.echo("crossbpf: " + " ".join(str(result.error).split()), err=True)
    elif result.code(strict=False) == 2:
        reasons = "; ".join(dict.fromkeys(row.reason for row in result.judged))
        click.echo(f"crossbpf: {result.file}: refused by every target: {reasons}", err=True)
    else:
        show_table(console, result, count)


def show_table(console: Console, result: Result, count: bool) -> None:
    """The table of one file under one plan."""
    size = f", {len(result.program)} slots" if result.program else ""
    console.print(f"[bold]{result.file}[/bold] (plan {result.plan}{size})")
    table = Table(box=None, pad_edge=False)
    for name in ("engine", "R0", "time"):
        table.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
    for name in ("insns", "bytes", *(("executed",) if count else ())):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    both = len({row.order for row in result.rows if row.verdict == "reference"}) > 1
    for row in result.rows:
        name = f"{row.engine} ({row.order[0]}e)" if both and row.verdict == "reference" else row.engine
        reason = row.reason
        if row.verdict == "reference" and row.outcome is not None and row.outcome.fault is not None:
            reason = str(row.outcome.fault)
        verdict = row.verdict + (f": {reason}" if reason else "")
        table.add_row(name, *_figures(row, count), Text(verdict, _STYLES[row.verdict]))
    console.print(table)
    for row in result.judged:
        if row.parting is not None:
            assert result.program is not None
            console.print(Text(f"{row.engine}: {parting_words(row.parting, result.program)}", "red"))
    console.print()
    if result.program is not None:
        show_maps(console, result.rows, result.program)


def show_summary(console: Console, results: Sequence[Result]) -> None:
    """One table of many programs: a row each, a column an engine."""
    results = [result for result in results if result.rows]
    names = list(dict.fromkeys(row.engine for result in results for row in result.judged))
    table = Table(box=None, pad_edge=False)
    for name in ("program", "plan", "R0", *names):
        table.add_column(name, no_wrap=True)
    for result in results:
        verdicts = {row.engine: row.verdict for row in result.judged}
        values = dict.fromkeys(
            row.outcome.summary() for row in result.rows if row.verdict == "reference" and row.outcome
        )
        cells = [Text(verdicts.get(name, ""), _STYLES.get(verdicts.get(name, ""), "")) for name in names]
        table.add_row(Path(result.file).name, result.plan, " / ".join(values), *cells)
    console.print(table)
    counts = Counter(row.verdict for result in results for row in result.judged)
    total = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(f"{len(results)} programs, the interpreter and {len(names)} targets: {total}")


def _figures(row: Row, count: bool) -> list[str]:
    outcome = row.outcome
    if outcome is None:
        return [""] * (5 if count else 4)
    ended = row.cpus or (outcome,)
    r0 = " ".join(hexadecimal(one.r0) if one.status == "done" else one.status for one in ended)
    cells = [r0, f"{row.seconds * 1e6:.0f} us"]
    if row.image is not None:
        cells += [str(sum(1 for _ in listing(row.image))), str(len(row.image.code))]
    else:
        cells += ["", ""]
    if count:
        executed = row.executed if row.image is not None else outcome.counts.get("instructions")
        cells.append("" if executed is None else str(executed))
    return cells


def parting_words(parting: Parting, program: Program) -> str:
    """Where two runs part, in one line: the instruction, its source line, what is different."""
    if parting.pc < 0:
        return f"parts at the start: {parting.what}"
    insn = program.insns[parting.pc]
    text = format_insn(insn) if insn is not None else "?"
    line = program.line_at(parting.pc)
    where = f" ({line.file}:{line.line})" if line else ""
    return f"parts at insn {parting.pc}{where}: {text}: {parting.what}"


def record(result: Result) -> dict[str, Any]:
    """A result as JSON shows it; addresses and registers are hex strings, so that no reader rounds them."""
    if result.error is not None:
        error = result.error
        return {"file": result.file, "error": error.message, "place": error.place, "remedy": error.remedy}
    return {"file": result.file, "plan": result.plan, "engines": [_row(row, result.program) for row in result.rows]}


def _row(row: Row, program: Program | None) -> dict[str, Any]:
    found: dict[str, Any] = {"engine": row.engine, "order": row.order, "verdict": row.verdict, "reason": row.reason}
    if row.outcome is not None:
        found |= {"status": row.outcome.status, "r0": hexadecimal(row.outcome.r0), "seconds": row.seconds}
        if row.cpus:
            found["cpus"] = [{"status": one.status, "r0": hexadecimal(one.r0)} for one in row.cpus]
        if row.outcome.maps:
            found["maps"] = map_record(row.outcome.maps)
        if row.outcome.fault is not None:
            fault = row.outcome.fault
            found["fault"] = {"kind": fault.kind, "pc": fault.pc, "address": hexadecimal(fault.address)}
    if row.image is not None:
        found |= {"insns": sum(1 for _ in listing(row.image)), "bytes": len(row.image.code)}
    if row.executed is not None:
        found["executed"] = row.executed
    if row.parting is not None and program is not None:
        found["parts"] = {"pc": row.parting.pc, "what": row.parting.what, "text": parting_words(row.parting, program)}
    return found

"""`crossbpf verify`: may these programs run on Linux?"""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from bpf.errors import BadInput
from bpf.program import Program
from crossbpf.inputs import memory_bytes
from crossbpf.loading import read_programs
from crossbpf.options import compile_options, compiling
from runtime.permission import CAPABILITIES, capabilities
from runtime.types import UNSPEC, named, of_section
from runtime.verifying import PLAIN, subject
from verifier import Options, Verdict
from verifier import verify as judge
from verifier.insn_text import text as insn_text
from verifier.raw import slots


@dataclass(frozen=True, slots=True)
class Judged:
    """A program, the type that it was judged as, and the verdict."""

    program: Program
    kind: str
    verdict: Verdict

    def record(self) -> dict[str, Any]:
        """As --json has it."""
        verdict = self.verdict
        return {
            "program": self.program.name, "type": self.kind, "accepted": verdict.accepted, "errno": verdict.errno,
            "message": verdict.message, "insn": verdict.pc, "processed": verdict.processed, "path": verdict.path,
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
@click.option("--time-limit", "seconds", default=0.0, metavar="SECONDS", help="Give up then (EAGAIN). Default: never.")
@compiling
def verify(
    files: Sequence[str], prog: str | None, kind: str | None, mem: str | None, verbose: int, as_json: bool,
    caps: str | None, unpriv: bool, strict_alignment: bool, seconds: float, cc: str | None, cflags: str,
    includes: Sequence[str], entry: str | None, big_endian: bool,
) -> int:  # fmt: skip
    """Say whether Linux would load programs, and why not.

    Decides as Linux 6.18 on x86_64 does, with its words. FILE is C (.c), an ELF object (.o), assembly (.s), wire bytes
    (.bin, .hex). Without a type that a section or --type says, R1 is the address of the memory and R2 its length.

    Exit code: 0 all are accepted, 1 one is not, 2 unreadable.
    """
    if unpriv and caps is not None:
        raise click.UsageError("--unpriv and --caps contradict each other.")
    holds = frozenset[str]() if unpriv else frozenset(CAPABILITIES) if caps is None else capabilities(caps)
    options = Options(
        holds, strict=strict_alignment, log_level=max(1, min(verbose, 2)), seconds=seconds
    )
    memory = memory_bytes(mem)
    code = 0
    compiled = compile_options(cc, cflags, includes)
    for file in files:
        programs, _ = read_programs(file, options=compiled, order="big" if big_endian else "little")
        chosen = [one for one in programs if prog in (None, one.name) and entry in (None, one.name)]
        if not chosen:
            names = ", ".join(one.name for one in programs)
            raise BadInput(f"no program named {prog or entry!r}", file=file, remedy=f"it has: {names}")
        for program in chosen:
            judged = _judge(program, kind, options, len(memory))
            code = max(code, 0 if judged.verdict.accepted else 1)
            if as_json:
                click.echo(json.dumps(judged.record()))
            else:
                _show(judged, verbose)
    return code


def _judge(program: Program, kind: str | None, options: Options, memory: int) -> Judged:
    if kind is None:
        found = of_section(program.section)
        kind = PLAIN if found == UNSPEC else found
    elif kind != PLAIN:
        kind = named(kind)
    return Judged(program, kind, judge(subject(program, kind, memory=memory), options))


def _show(judged: Judged, verbose: int) -> None:
    program, verdict = judged.program, judged.verdict
    if verbose:
        click.echo(verdict.log, nl=False)
    if verdict.accepted:
        click.echo(f"prog {program.name}: accepted, {verdict.processed} insns processed")
        return
    name = errno.errorcode.get(verdict.errno, "?")
    click.echo(f"prog {program.name}: bpf_prog_load() err={verdict.errno} ({name})")
    if verdict.message:
        click.echo(f"verification failed: {verdict.message}")
    if verdict.pc >= 0 and not verbose:
        runs = ", ".join(f"{first}-{last}" if first != last else str(first) for first, last in verdict.path)
        if runs:
            click.echo(f"path: {runs}")
        code = program.encode()
        shown = insn_text(slots(code, program.order), verdict.pc, subject(program, judged.kind))
        click.echo(f"at {verdict.pc}: {shown}")
        line = program.line_at(verdict.pc)
        if line is not None:
            click.echo(f"   {line.file}:{line.line}: {line.text.strip()}")

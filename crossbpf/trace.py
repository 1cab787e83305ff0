"""`crossbpf trace`: two engines in lockstep, up to the first instruction that they do not do alike."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click

from bpf.errors import BadInput, Refused
from bpf.plan import Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET
from bpf.text import format_insn
from crossbpf.check import parting_words
from crossbpf.cpus import cpu_option
from crossbpf.inputs import memory_bytes, read_source
from crossbpf.machine import world as world_of
from crossbpf.maps import map_option
from crossbpf.options import compile_options, compiling, engines_named, plans_named
from crossbpf.types import context_for, convention_named
from engines import Options, Prepared, engine
from engines.lockstep import Parting, lockstep
from jit.listing import listing
from vm.step import Step
from vm.world import Input, Limits


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--target", required=True, metavar="A[,B]", help="Compare A with the interpreter, or B with A.")
@click.option(
    "--break", "stop", metavar="LINE|PC", help="Stop there too: an instruction's slot, or FILE:LINE or :LINE."
)
@click.option("--mem", metavar="FILE|HEX", help="Memory that R1 and R2 describe: a file, or hex bytes.")
@click.option(
    "--packet", metavar="FILE|HEX", help="A frame for loads from the packet; R1 is a context that stands for it."
)
@click.option("--type", "kind", metavar="NAME", help="Program type; --packet is its packet.")
@click.option("--ctx", multiple=True, metavar="NAME=VALUE,...|FILE", help="Fields of the context of --type.")
@map_option
@cpu_option
@click.option("--plan", default="high", show_default=True, metavar="NAME", help="low, high, kernel or fence.")
@click.option("--seconds", default=30.0, show_default=True, help="Time limit between two stops of a guest.")
@click.option("--instructions", default=1_000_000, show_default=True, help="Instructions to follow at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
@compiling
def trace(
    file: str, target: str, stop: str | None, mem: str | None, packet: str | None, kind: str | None,
    ctx: Sequence[str], contents: Sequence[str], plan: str, seconds: float, instructions: int, as_json: bool,
    cc: str | None, cflags: str,
    includes: Sequence[str], entry: str | None, big_endian: bool, cpu: int | None,
) -> int:  # fmt: skip
    """Run FILE on two engines in lockstep; stop at the first instruction after which their states differ.

    Exit code: 0 they never part (or --break was reached), 1 they part, 2 unreadable or refused.
    """
    engines = engines_named(target) or []
    if len(engines) == 1:
        engines = [engine("interpreter"), *engines]
    if len(engines) != 2:
        raise BadInput("takes one name or two", file="--target")
    orders = engines[0].abilities.orders & engines[1].abilities.orders
    if not orders:
        raise Refused(
            f"{engines[0].name} and {engines[1].name} run programs of different byte order",
            remedy="compare each with the interpreter",
        )
    options = compile_options(cc, cflags, includes)
    source = read_source(file, options=options, order="big" if big_endian else "little", entry=entry)
    program = source.program_in("little" if "little" in orders else "big")
    convention = convention_named(kind) if kind else source.convention if packet is None else PACKET
    unit = Unit((program, *source.tails_in(program.order)), convention=convention, plan=plans_named(plan)[0])
    context = context_for(unit.convention, program, ctx)
    prepared = [one.prepare(unit, Options(observe=True)) for one in engines]
    names = [one.name for one in engines]
    memory = memory_bytes(mem) if mem is not None else source.memory
    frame = memory_bytes(packet, "--packet")
    given = Input(memory, packet=frame, context=context.context, record=context.record)
    world = world_of(program, options, contents)
    world.cpu = cpu or 0
    at = None if stop is None else _slot(stop, program)
    found = lockstep(prepared[0], prepared[1], given, world, Limits(instructions, seconds), at)
    if as_json:
        click.echo(json.dumps(_record(found, names, program)))
    else:
        show(found, names, prepared, program)
    return 1 if found is not None and found.what else 0


def _slot(stop: str, program: Program) -> int:
    """The slot that --break names. Raises BadInput."""
    if stop.isdigit():
        pc = int(stop)
        if pc < len(program) and program.insns[pc] is not None:
            return pc
        raise BadInput(
            f"no instruction starts at slot {pc}", file="--break", remedy=f"slots are 0 to {len(program) - 1}"
        )
    match = re.fullmatch(r"(.*):(\d+)", stop)
    if match is None:
        raise BadInput(f"{stop!r} is neither a slot nor FILE:LINE", file="--break")
    for pc, line in sorted(program.lines.items()):
        if line.line == int(match[2]) and line.file.endswith(match[1]):
            return pc
    raise BadInput(f"no instruction comes from {stop}", file="--break", remedy="compile with -g for C, or give a slot")


def show(found: Parting | None, names: Sequence[str], prepared: Sequence[Prepared], program: Program) -> None:
    """Print where two engines part, with what each of them had in its registers."""
    if found is None:
        click.echo(f"{names[0]} and {names[1]} agree at every instruction")
        return
    if not found.what:
        click.echo(f"stopped before insn {found.pc} after {found.steps} instructions; the engines agree")
        pc = found.pc
    else:
        click.echo(f"{names[1]} against {names[0]}: {parting_words(found, program)} ({found.steps} instructions agree)")
        pc = found.pc
    if pc >= 0:
        line, insn = program.line_at(pc), program.insns[pc]
        if line is not None:
            click.echo(f"; {line.file}:{line.line}" + (f"  {line.text.strip()}" if line.text else ""))
        click.echo(f"{pc:6}: {format_insn(insn) if insn else ''}")
        for name, one in zip(names, prepared, strict=True):
            if one.image is None or one.image.target.name != name:
                continue
            click.echo(f"  {name}:")
            for slot in range(len(one.image.program)):
                if one.image.program.origin_of(slot) != pc:
                    continue
                for native in listing(one.image, *one.image.extent(slot)):
                    click.echo(f"    {native.address:#x}  {native.code.hex():<20}  {native.text}")
    _registers(found, names)


def _registers(found: Parting, names: Sequence[str]) -> None:
    click.echo(f"{'':4}  {'before':>18}  {names[0] + ' after':>20}  {names[1] + ' after':>20}")
    for number in range(11):
        cells = [_cell(step, number) for step in (found.before, found.left, found.right)]
        mark = "  <--" if found.left and found.right and cells[1] != cells[2] else ""
        click.echo(f"R{number:<3}  {cells[0]:>18}  {cells[1]:>20}  {cells[2]:>20}{mark}")
    for name, step in zip(names, (found.left, found.right), strict=True):
        if step is None:
            click.echo(f"{name} has ended")
        for address, data in step.writes if step else ():
            click.echo(f"{name} wrote {data.hex()} at 0x{address:x}")


def _cell(step: Step | None, number: int) -> str:
    return "" if step is None else f"0x{step.registers[number]:x}"


def _record(found: Parting | None, names: Sequence[str], program: Program) -> dict[str, Any]:
    if found is None:
        return {"engines": list(names), "parts": None}
    states = {
        name: None if step is None else {"pc": step.pc, "registers": [hex(value) for value in step.registers]}
        for name, step in (("before", found.before), (names[0], found.left), (names[1], found.right))
    }
    text = parting_words(found, program) if found.what else ""
    return {
        "engines": list(names),
        "parts": {"pc": found.pc, "what": found.what, "text": text, "steps": found.steps, "states": states},
    }

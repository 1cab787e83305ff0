"""`crossbpf jit`: a program's machine code, each BPF instruction above its machine instructions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

import click

from bpf.plan import Unit
from bpf.text import format_insn
from crossbpf.inputs import read_source, write_bytes
from crossbpf.options import compile_options, compiling, plans_named
from crossbpf.types import convention_named
from engines.binding import bind
from jit.image import Image
from jit.listing import listing
from jit.pipeline import compile_program
from jit.registry import target as find_target


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--target", required=True, metavar="NAME", help="The machine to compile for.")
@click.option("--type", "kind", metavar="NAME", help="Program type: accesses to its context are converted.")
@click.option("--plan", default="high", show_default=True, metavar="NAME", help="low, high, kernel or fence.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
@click.option("-o", "--output", metavar="FILE", help="Write the raw machine code there instead.")
@compiling
def jit(
    file: str, target: str, kind: str | None, plan: str, as_json: bool, output: str | None, cc: str | None, cflags: str,
    includes: Sequence[str], entry: str | None, big_endian: bool,
) -> int:  # fmt: skip
    """Print the machine code of FILE for a target."""
    machine = find_target(target)
    source = read_source(
        file, options=compile_options(cc, cflags, includes), order="big" if big_endian else "little", entry=entry
    )
    program = source.program_in(machine.order)
    convention = convention_named(kind) if kind else source.convention
    tails = source.tails_in(program.order)
    unit = bind(Unit((program, *tails), convention=convention, plan=plans_named(plan)[0]))
    image = compile_program(unit, unit.programs[0], machine)
    if output is not None:
        write_bytes(output, image.code)
    elif as_json:
        lines = [
            {"address": hex(n.address), "bytes": n.code.hex(), "text": n.text, "pc": image.program.origin_of(n.pc)}
            for n in listing(image)
        ]
        rescues = [
            {"pc": image.program.origin_of(image.pc_at(one.start)), "start": hex(one.start), "end": hex(one.end),
             "register": machine.homes[one.dst]}
            for one in image.rescues
        ]  # fmt: skip
        record = {"target": machine.name, "base": hex(image.base), "native": lines, "exceptions": rescues}
        click.echo(json.dumps(record))
    else:
        show(image)
    return 0


def show(image: Image) -> None:
    """Print an image, each BPF instruction above its machine instructions; slots are those of the program as given."""
    program = image.program
    functions = {image.base + offset: f.name for offset, f in zip(image.functions, program.functions, strict=True)}
    line = None
    for pc, natives in groupby(listing(image), key=lambda native: native.pc):
        for index, native in enumerate(natives):
            if native.address in functions:
                click.echo(f"{functions[native.address]}:")
            if index == 0 and pc >= 0:
                at = program.line_at(pc)
                if at is not None and at != line:
                    click.echo(f"; {at.file}:{at.line}" + (f"  {at.text.strip()}" if at.text else ""))
                line = at
                insn = program.insns[pc]
                click.echo(f"{program.origin_of(pc):6}: {format_insn(insn) if insn else ''}")
            click.echo(f"          {native.address:#x}  {native.code.hex():<20}  {native.text}")
    if image.rescues:
        click.echo("exception table:")
    for one in image.rescues:
        pc, home = program.origin_of(image.pc_at(one.start)), image.target.homes[one.dst]
        click.echo(f"{pc:6}: a fault in [{one.start:#x}, {one.end:#x}) leaves 0 in {home}")

"""`crossbpf asm` and `crossbpf disasm`: text to instructions and back, in both byte orders."""

from __future__ import annotations

import sys

import click

from bpf.order import Order
from bpf.text import disassemble
from crossbpf.inputs import read_source, write_bytes
from crossbpf.options import compile_options, loading


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--big-endian", is_flag=True, help="Write big-endian wire form.")
@click.option("-o", "--output", metavar="FILE", help="Write raw bytes there instead of hex to standard output.")
def asm(file: str, big_endian: bool, output: str | None) -> int:
    """Assemble FILE (kernel, LLVM or conformance suite text; - for standard input) to wire bytes.

    Without -o the instructions are printed in hex, a slot a line.
    """
    order: Order = "big" if big_endian else "little"
    code = read_source(file).program_in(order).encode()
    if output is None:
        for at in range(0, len(code), 8):
            click.echo(code[at : at + 8].hex())
        return 0
    write_bytes(output, code)
    return 0


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--big-endian", is_flag=True, help="Read .bin and hex input as big-endian wire form.")
@click.option("--entry", metavar="NAME", help="Function to show, of an object with several.")
@loading
def disasm(file: str, big_endian: bool, entry: str | None) -> int:
    """Print FILE (object, wire bytes, or any other program; - for standard input) as assembly text."""
    source = read_source(file, options=compile_options(), order="big" if big_endian else "little", entry=entry)
    sys.stdout.write(disassemble(source.any_order()))
    return 0

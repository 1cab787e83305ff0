"""`crossbpf plugin`: be a plugin of the public conformance suite, driven by other people's runners."""

from __future__ import annotations

import click

from bpf.order import Order
from bpf.plan import Unit
from bpf.program import program
from bpf.spec.conventions import SUITE
from crossbpf.inputs import hex_bytes, read_bytes
from engines import engine as find_engine
from vm.world import Input, Limits, World


@click.command()
@click.argument("memory", default="", metavar="[MEMORY]")
@click.option("--engine", "name", default="interpreter", show_default=True, metavar="NAME", help="Engine to run on.")
@click.option("--seconds", default=10.0, show_default=True, help="Time limit of the run.")
def plugin(memory: str, name: str, seconds: float) -> int:
    """Run one program over the conformance suite's plugin protocol.

    The program is read from standard input as hex bytes in little-endian wire form, MEMORY is hex bytes; R0 is printed
    in hex. A big-endian engine runs the same instructions as a big-endian program.

    Exit code: 0 and R0; 1 and the reason on standard error when the program faults or runs too long; 2 for input that
    is no program.
    """
    engine = find_engine(name)
    code = hex_bytes(read_bytes("-").decode("latin-1"), "standard input")
    order: Order = "little" if "little" in engine.abilities.orders else "big"
    unit = Unit((program(code).in_order(order),), convention=SUITE)
    outcome = engine.prepare(unit).run(Input(hex_bytes(memory, "MEMORY")), World(), Limits(seconds=seconds))
    if outcome.status != "done":
        click.echo(outcome.summary(), err=True)
        return 1
    click.echo(f"{outcome.r0:x}")
    return 0

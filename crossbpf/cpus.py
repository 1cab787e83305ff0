"""--cpu, --cpus and --schedule: on which CPU a program runs, or on how many, and who goes on when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from bpf.errors import CrossbpfError
from bpf.spec.layout import CPUS
from vm.cpus import Schedule

cpu_option = click.option("--cpu", type=click.IntRange(0, CPUS - 1), metavar="N", help="The CPU to run on. Default: 0.")


def cpu_options(command: Any) -> Any:
    """The three options; `schedule_named` finds what the latter two say."""
    for option in (
        click.option(
            "--schedule", default="", metavar="SEED|CPU,CPU,...",
            help="Who goes on at each helper call: drawn from a seed, or CPUs in turn. Default: one after the other.",
        ),
        click.option(
            "--cpus", type=click.IntRange(1, CPUS), metavar="N",
            help="Run on N CPUs at once, which take turns at helper calls.",
        ),
        cpu_option,
    ):  # fmt: skip
        command = option(command)
    return command


def schedule_named(cpu: int | None, cpus: int | None, text: str, programs: tuple[int, ...] = (0,)) -> Schedule | None:
    """What --cpus and --schedule say, None for one CPU. programs: see Schedule. Raises BadInput, UsageError."""
    if len(programs) not in (1, cpus):
        raise click.UsageError(f"{len(programs)} programs are named: --cpus {len(programs)} runs each on its own")
    if cpus is None:
        if text:
            raise click.UsageError("--schedule is for --cpus")
        return None
    if cpu is not None:
        raise click.UsageError("--cpu and --cpus exclude each other")
    try:
        return replace(Schedule.read(cpus, text), programs=programs if len(programs) > 1 else ())
    except CrossbpfError as error:
        raise error.at(file="--schedule") from None

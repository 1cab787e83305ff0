"""The share of the time that Unicorn's own emu_start takes, its calls back into Python included."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Self

from bench.measure import Cell, Table, clock, main
from bench.programs import alu_loop, mix
from bpf.plan import DEFAULT_PLAN, Unit
from bpf.program import Program
from emu.machine import machine
from engines import ENGINES, Engine
from jit.registry import TARGETS
from jit.target import Target
from vm.world import Input, Limits, World


class Inside:
    """Adds up the time that a target's machine spends in emu_start."""

    def __init__(self, target: Target) -> None:
        self.seconds = 0.0
        self._uc: Any = machine(target, DEFAULT_PLAN).uc
        self._start: Callable[..., None] = self._uc.emu_start

    def __enter__(self) -> Self:
        self._uc.emu_start = self._timed
        return self

    def __exit__(self, *_: object) -> None:
        self._uc.emu_start = self._start

    def _timed(self, *arguments: Any, **named: Any) -> None:
        begin = clock()
        try:
            self._start(*arguments, **named)
        finally:
            self.seconds += clock() - begin


def new_programs(engine: Engine, programs: list[Program]) -> None:
    """Compile each program and run it once."""
    for prog in programs:
        engine.prepare(Unit((prog,))).run(Input(), World(), Limits())


def new_inputs(engine: Engine, programs: list[Program]) -> None:
    """Compile one program and run it on many inputs."""
    prepared = engine.prepare(Unit((programs[0],)))
    for number in range(10 * len(programs)):
        prepared.run(Input(registers={3: number}), World(), Limits())


def hot_loop(engine: Engine, programs: list[Program]) -> None:
    """One long loop."""
    prog = alu_loop(1_000 * len(programs)).in_order(programs[0].order)
    engine.prepare(Unit((prog,))).run(Input(), World(), Limits(seconds=60.0))


def tables(quick: bool) -> list[Table]:
    """Percent of the time inside emu_start, for three kinds of work."""
    works = (new_programs, new_inputs, hot_loop)
    rows: list[list[Cell]] = []
    for target in TARGETS.values():
        engine = ENGINES[target.name]
        programs = [mix(50, seed).in_order(target.order) for seed in range(10 if quick else 300)]
        row: list[Cell] = [target.name]
        for work in works:
            work(engine, programs[:2])  # the machine is set up once a process
            with Inside(target) as inside:
                begin = clock()
                work(engine, programs)
                total = clock() - begin
            row.append(100 * inside.seconds / total)
        rows.append(row)
    note = "percent of compile + run; programs of 50 instructions, each new / the same on new inputs / a long ALU loop"
    return [Table("Share of the time inside Unicorn", ["target", "programs", "inputs", "loop"], rows, note)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

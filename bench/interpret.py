"""Interpreter speed, beside the same loops as native code in the emulator."""

from __future__ import annotations

import sys
from functools import partial

from bench.measure import Cell, Table, best, main
from bench.programs import alu_loop, memory_loop
from bpf.plan import Unit
from engines import ENGINES
from vm.world import Input, Limits, World

_LOOPS = {"ALU loop": (alu_loop, 4.0), "load/store loop": (memory_loop, 1.5)}
_PER_ITERATION = 6


def tables(quick: bool) -> list[Table]:
    """Millions of BPF instructions a second on each engine."""
    rows: list[list[Cell]] = []
    for title, (make, aim) in _LOOPS.items():
        iterations = 10_000 if quick else 200_000
        prog = make(iterations)
        prepared = [
            engine.prepare(Unit((prog.in_order("little" if "little" in engine.abilities.orders else "big"),)))
            for engine in ENGINES.values()
        ]
        limits = Limits(instructions=100_000_000, seconds=60.0)
        times = best([partial(one.run, Input(), World(), limits) for one in prepared], repeats=2 if quick else 5)
        for name, seconds in zip(ENGINES, times, strict=True):
            speed = _PER_ITERATION * iterations / seconds / 1e6
            rows.append([f"{title}, {name}", speed, times[0] / seconds, f"{aim:g}" if name == "interpreter" else ""])
    return [Table("Speed of a loop", ["engine", "M insns/s", "x interpreter", "aim"], rows, "one run, set-up included")]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

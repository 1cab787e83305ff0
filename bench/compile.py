"""Compile speed: microseconds per BPF instruction, for each target and for what all targets share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from bench.measure import Cell, Table, best, main
from bench.programs import mix
from bpf.plan import Unit
from bpf.program import Program, program
from jit.ops import Front, front
from jit.pipeline import compile_front
from jit.registry import TARGETS
from jit.target import Target

SIZES = (10, 100, 1_000, 10_000, 50_000)
_SMALL, _LARGE = 1_000, 50_000


def _decode(wires: Sequence[bytes]) -> None:
    for wire in wires:
        program(wire)


def _front_end(programs: Sequence[Program]) -> list[Front]:
    return [front(Unit((prog,)), prog) for prog in programs]


def _back_end(fronts: Sequence[Front], target: Target) -> None:
    for ops in fronts:
        compile_front(ops, target)


def tables(quick: bool) -> list[Table]:
    """Microseconds per instruction by size; growth is the cost at 50,000 instructions over that at 1,000.

    Each figure is for the same amount of code, 50,000 instructions: one program of that size or fifty different ones
    of 1,000. A single small program compiled again and again would sit in the processor's cache, which no use of a
    compiler does, and the comparison of sizes would be one of caches.
    """
    sizes = SIZES[:3] if quick else SIZES
    total = 2_000 if quick else _LARGE
    columns: dict[str, list[float]] = {}
    for size in sizes:
        programs = [mix(size, seed) for seed in range(max(1, total // size))]
        fronts = {order: _front_end([prog.in_order(order) for prog in programs]) for order in ("little", "big")}
        times = best(
            [
                partial(_decode, [prog.encode() for prog in programs]),
                partial(_front_end, programs),
                *(partial(_back_end, fronts[target.order], target) for target in TARGETS.values()),
            ],
            repeats=2 if quick else 6,
        )
        for name, seconds in zip(("decode", "front end", *TARGETS), times, strict=True):
            columns.setdefault(name, []).append(seconds * 1e6 / (size * len(programs)))
    heads = ["phase", *(f"{size:,}" for size in sizes)]
    rows: list[list[Cell]] = [[name, *figures] for name, figures in columns.items()]
    if not quick:
        heads.append("growth")
        for row, figures in zip(rows, columns.values(), strict=True):
            row.append(figures[SIZES.index(_LARGE)] / figures[SIZES.index(_SMALL)])
    note = "us per BPF instruction; decode and front end are paid once for all targets; aim: < 4, growth <= 1.3"
    return [Table("Compile speed", heads, rows, note)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

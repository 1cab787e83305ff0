"""Load time of an object of ten programs: read, checked and compiled; into memory, and into a pin directory."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.measure import Cell, Table, best, main
from bench.programs import mix
from bpf.program import Map, Program
from bpf.text import assemble
from runtime import Kernel, ProgramObject, Store
from runtime.running import measure

_PROGRAMS = 10
_USE = "r2 = r10; r2 += -4; r1 = map[idx:{}]; call 1; r0 = 0; exit".replace("; ", "\n")


def programs(size: int) -> list[Program]:
    """Ten programs of about `size` instructions that share ten maps."""
    maps = tuple(Map(f"map{number}", "hash", 4, 8, 1024) for number in range(_PROGRAMS))
    found: list[Program] = []
    for number in range(_PROGRAMS):
        body, use = mix(size, number), assemble(_USE.format(number))
        insns = (*body.insns[:-1], *use.insns)
        functions = (replace(body.functions[0], end=len(insns)),)
        found.append(replace(body, name=f"prog{number}", insns=insns, functions=functions, maps=maps, section="xdp"))
    return found


def _memory(given: list[Program], *, compiled: bool) -> list[ProgramObject]:
    kernel = Kernel()
    made = kernel.load(given)
    if compiled:
        measure(kernel, made)
    return made


def _disk(given: list[Program], folder: Path) -> None:
    store = Store(folder)
    with store.open() as kernel:
        made = kernel.load(given)
        measure(kernel, made)
        for one in made:
            kernel.pin(one.name, one)
    with store.open() as kernel:
        for path in list(kernel.pins):
            kernel.unpin(path)


def tables(quick: bool) -> list[Table]:
    """Milliseconds."""
    rows: list[list[Cell]] = []
    for size in (20,) if quick else (20, 200, 2000):
        given = programs(size)
        with tempfile.TemporaryDirectory() as folder:
            times = best(
                [
                    partial(_memory, given, compiled=False),
                    partial(_memory, given, compiled=True),
                    partial(_disk, given, Path(folder)),
                ],
                repeats=1 if quick else 5,
            )
        rows.append([f"{_PROGRAMS} x {size}", *(time * 1e3 for time in times)])
    note = "ms; ten maps; compiled: for this machine; pinned: written and removed again, without waiting for the disk"
    return [Table("Loading", ["programs x insns", "in memory", "compiled", "pinned"], rows, note)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

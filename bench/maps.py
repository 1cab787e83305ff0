"""Map operations a second on each engine: lookups, updates, records, from a loop in BPF."""

from __future__ import annotations

import sys
import time

from bench.measure import Cell, Table, main
from bpf.errors import Refused
from bpf.order import Order
from bpf.plan import Unit
from bpf.program import Map
from bpf.text import assemble
from engines import ENGINES, engine
from engines.base import Prepared
from vm.world import Input, Limits, World

_ENTRIES = 1024
_KEY = f"r1 = r6; r1 &= {_ENTRIES - 1}; *(u32 *)(r10 - 4) = r1; r1 = map[idx:0]; r2 = r10; r2 += -4"
_LOOKUP = f"{_KEY}; call 1"
_UPDATE = f"*(u64 *)(r10 - 16) = r6; {_KEY}; r3 = r10; r3 += -16; r4 = 0; call 2"
_OPERATIONS = {
    "array lookup": (Map("m", "array", 4, 8, _ENTRIES), _LOOKUP),
    "hash lookup": (Map("m", "hash", 4, 8, _ENTRIES), _LOOKUP),
    "hash update": (Map("m", "hash", 4, 8, _ENTRIES), _UPDATE),
    "LRU hash update": (Map("m", "lru_hash", 4, 8, _ENTRIES), _UPDATE),
    "per-CPU array update": (Map("m", "percpu_array", 4, 8, _ENTRIES), _UPDATE),
    "ring buffer output": (
        Map("m", "ringbuf", 0, 0, 1 << 20), "r1 = map[idx:0]; r2 = r10; r2 += -16; r3 = 8; r4 = 0; call 130",
    ),
}  # fmt: skip
_HOST = "native"


def _prepared(map_: Map, operation: str, count: int) -> dict[str, Prepared]:
    text = f"*(u64 *)(r10 - 16) = 1; r6 = {count}; again: {operation}; r6 += -1; if r6 != 0 goto again; r0 = 0; exit"
    prog = assemble(text.replace("; ", "\n").replace("again: ", "again:\n"))
    found: dict[str, Prepared] = {}
    for name, one in {**ENGINES, _HOST: engine(_HOST)}.items():
        order: Order = "little" if "little" in one.abilities.orders else "big"
        try:
            prepared = one.prepare(Unit((prog.in_order(order),), (map_,)))
            prepared.run(Input(), World(), Limits())
        except Refused:
            continue  # this host has none
        found[name] = prepared
    return found


def _seconds(one: Prepared, limits: Limits, repeats: int) -> float:
    """The least time of a run in a world of its own; by the clock on the wall, since the host's CPU runs elsewhere."""
    times = []
    for _ in range(repeats):
        world, start = World(), time.perf_counter()
        one.run(Input(), world, limits)
        times.append(time.perf_counter() - start)
    return min(times)


def tables(quick: bool) -> list[Table]:
    """Thousands of operations a second."""
    count = 500 if quick else 5_000
    limits = Limits(instructions=100_000_000, seconds=60.0)
    rows: list[list[Cell]] = []
    names: list[str] = []
    for title, (map_, operation) in _OPERATIONS.items():
        engines = _prepared(map_, operation, count)
        names = names or list(engines)
        times = {name: _seconds(one, limits, 1 if quick else 3) for name, one in engines.items()}
        rows.append([title, *(count / times[name] / 1e3 if times.get(name) else "" for name in names)])
    note = f"thousands a second; {_ENTRIES:,} elements; one run, set-up and reading back included"
    return [Table("Map operations", ["operation", *names], rows, note)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

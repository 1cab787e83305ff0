"""Load time of ten programs: read from an object, checked and compiled; into memory, and into a pin directory."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.measure import Cell, Table, best, main
from bench.programs import mix
from bpf.errors import NotHere
from bpf.program import Map, Program
from bpf.text import assemble
from crossbpf import cc
from crossbpf.loading import read_programs
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


_PROGRAM = """
struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, __u32); __type(value, __u64); }}
	map{0} SEC(".maps");
SEC("xdp") int prog{0}(struct xdp_md *ctx)
{{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 key = {0};
	__u64 *count;

	if (data + 64 > end)
		return XDP_DROP;
	for (int n = 0; n < 64; n++)
		key = key * 31 + data[n];
	count = bpf_map_lookup_elem(&map{0}, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}}
"""


def compiled_object(folder: Path) -> Path:
    """An object of ten programs in C. Raises NotHere."""
    source, target = folder / "ten.c", folder / "ten.o"
    head = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
    source.write_text(head + "".join(_PROGRAM.format(number) for number in range(_PROGRAMS)))
    target.write_bytes(cc.compile_c(source, "little"))
    return target


def _read(path: Path) -> list[Program]:
    return list(read_programs(str(path))[0])


def _memory(given: list[Program], *, compiled: bool) -> list[ProgramObject]:
    kernel = Kernel()
    made = kernel.load(given, verify=False)
    if compiled:
        measure(kernel, made)
    return made


def _disk(given: list[Program], folder: Path) -> None:
    store = Store(folder)
    with store.open() as kernel:
        made = kernel.load(given, verify=False)
        measure(kernel, made)
        for one in made:
            kernel.pin(one.name, one)
    with store.open() as kernel:
        for path in list(kernel.pins):
            kernel.unpin(path)


def _row(title: str, given: list[Program], path: Path | None, folder: Path, repeats: int) -> list[Cell]:
    """A row of the table. path: the object that the programs are read from, if they are."""
    (read,) = best([partial(_read, path)], repeats) if path is not None else (0.0,)
    times = best(
        [
            partial(_memory, given, compiled=False), partial(_memory, given, compiled=True),
            partial(_disk, given, folder / "pins"),
        ],
        repeats,
    )  # fmt: skip
    return [title, read * 1e3 if path is not None else "", *(time * 1e3 for time in times)]


def tables(quick: bool) -> list[Table]:
    """Milliseconds."""
    rows: list[list[Cell]] = []
    repeats = 1 if quick else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in (20,) if quick else (20, 200, 2000):
            rows.append(_row(f"{_PROGRAMS} x {size}", programs(size), None, folder, repeats))
        try:
            path = compiled_object(folder)
            given = _read(path)
            rows.append(_row(f"{_PROGRAMS} x {len(given[0])} in C", given, path, folder, repeats))
        except NotHere as missing:
            rows.append([f"in C: {missing}", "", "", "", ""])
    note = (
        "ms; ten maps; read: the object, with its types; compiled: for this machine; pinned: written and removed "
        "again, without waiting for the disk"
    )
    return [Table("Loading", ["programs x insns", "read", "in memory", "compiled", "pinned"], rows, note)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

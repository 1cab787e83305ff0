"""What a kernel release has: instructions, helpers, functions, kinds of maps, program types, hooks; what is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bpf.errors import BadInput, CallFailed
from bpf.isa import ROW
from bpf.isa.table import ROWS, Row
from bpf.program import Map, Program
from bpf.spec.hooks import HOOKS
from bpf.spec.kfuncs import KFUNCS
from bpf.spec.maps import MAP_TYPES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.since import HELPERS, release
from runtime.types import UNSPEC

INSN, HELPER, FUNCTION, MAP = "instruction", "helper", "kernel function", "map type"
PROGRAM, HOOK = "program type", "hook"
_BY_FD = {"lddw_map_idx": "lddw_map_fd", "lddw_map_idx_value": "lddw_map_fd_value"}
"""How a loader would write it: references to maps by index are only ours."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a kernel has. since: a release, "" for what none has so far."""

    group: str
    name: str
    since: str

    def there(self, kernel: str) -> bool:
        """Whether a kernel has it. Raises BadInput for what is no release."""
        return bool(self.since) and numbers(self.since) <= numbers(kernel)


def numbers(kernel: str) -> tuple[int, ...]:
    """A release as numbers. Raises BadInput."""
    try:
        return release(kernel)
    except ValueError:
        raise BadInput(f"{kernel!r} is not a kernel release", file="--kernel", remedy="write 5.4, say") from None


def features() -> Iterator[Feature]:
    """Everything, by group."""
    yield from (Feature(INSN, row.name, row.since) for row in ROWS if row.name not in _BY_FD)
    yield from (Feature(HELPER, one.name, HELPERS[one.number]) for one in PROTOTYPES.values())
    yield from (Feature(FUNCTION, one.name, one.since) for one in KFUNCS.values())
    yield from (Feature(MAP, one.name, one.since) for one in MAP_TYPES.values())
    yield from (Feature(PROGRAM, one.name, one.since) for one in PROGRAM_TYPES.values() if one.name != UNSPEC)
    yield from (Feature(HOOK, one.name, one.since) for one in HOOKS.values())


def _row(row: Row) -> Feature:
    name = _BY_FD.get(row.name, row.name)
    return Feature(INSN, name, ROW[name].since)


def used(program: Program) -> Iterator[tuple[str, Feature]]:
    """(place, feature) of everything that a program's instructions need."""
    for pc, insn in enumerate(program.insns):
        if insn is None:
            continue
        yield f"insn {pc}", _row(insn.row)
        if insn.row.op == "call_helper" and insn.imm in PROTOTYPES:
            yield f"insn {pc}", Feature(HELPER, f"helper {PROTOTYPES[insn.imm].name}", HELPERS[insn.imm])
        if insn.row.op == "call_kfunc" and insn.imm in KFUNCS:
            one = KFUNCS[insn.imm]
            yield f"insn {pc}", Feature(FUNCTION, f"kernel function {one.name}", one.since)


def refuse_later(kernel: str | None, program: Program, kind: str = "") -> None:
    """Raise CallFailed EINVAL for the first thing that a kernel does not have yet; None: any kernel.

    kind: the program's type.
    """
    if kernel is None:
        return
    numbers(kernel)
    for place, feature in used(program):
        _refuse(kernel, feature, place)
    for map_ in program.maps:
        refuse_later_map(kernel, map_)
    refuse_later_type(kernel, kind, f"program {program.name}")


def refuse_later_type(kernel: str | None, kind: str, place: str = "") -> None:
    """As refuse_later, for a program type alone."""
    if kernel is not None and kind in PROGRAM_TYPES and kind != UNSPEC:
        _refuse(kernel, Feature(PROGRAM, f"program type {kind}", PROGRAM_TYPES[kind].since), place)


def refuse_later_map(kernel: str | None, map_: Map) -> None:
    """As refuse_later, for a map."""
    if kernel is not None and map_.kind in MAP_TYPES:
        _refuse(kernel, Feature(MAP, f"map type {map_.kind}", MAP_TYPES[map_.kind].since), f"map {map_.name}")


def _refuse(kernel: str, feature: Feature, place: str) -> None:
    if not feature.there(kernel):
        came = f"came in Linux {feature.since}" if feature.since else "is in no Linux so far"
        raise CallFailed("EINVAL", f"{feature.name} {came}, --kernel is {kernel}", place=place)

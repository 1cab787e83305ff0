"""A loaded program as a Unit: bound to the maps and programs that it can reach, compiled, run."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bpf.errors import BadInput, Refused
from bpf.isa import Kind
from bpf.map_rules import OF_MAPS
from bpf.plan import DEFAULT_PLAN, Plan, Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET, PLAIN
from engines import engine
from engines.base import Options
from jit.image import Image
from jit.pipeline import compile_program
from jit.registry import TARGETS
from jit.registry import target as find_target
from jit.target import Target
from runtime.kernel import Kernel, MapObject, ProgramObject
from vm.maps import MapState, new_map
from vm.outcome import Outcome
from vm.world import Input, Limits, World

T = TypeVar("T")
_MAP_FORMS = frozenset({"map_fd", "map_fd_value", "map_idx", "map_idx_value"})
_LOW = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Bound:
    """A unit, and which loaded map is which of its maps, by the unit's name for it."""

    unit: Unit
    maps: dict[str, MapObject]
    programs: tuple[ProgramObject, ...]


@dataclass(frozen=True, slots=True)
class Ran:
    """What runs of a program gave: the last outcome, what the data are now, mean time of a run."""

    outcome: Outcome
    data: bytes
    nanoseconds: int

    @property
    def retval(self) -> int:
        """The low 32 bits of R0, which are what bpf() returns."""
        return self.outcome.r0 & _LOW


def reached(kernel: Kernel, first: ProgramObject) -> tuple[list[ProgramObject], list[MapObject]]:
    """What a run of a program can reach: it and the programs in its prog arrays; their maps and what is in them."""
    programs: dict[int, ProgramObject] = {first.id: first}
    maps: dict[int, MapObject] = {}
    for program in _growing(programs):
        maps |= {number: kernel.maps[number] for number in program.map_ids if number not in maps}
        for map_ in _growing(maps):
            for number in map_.members():
                maps.setdefault(number, kernel.maps[number])
            for number in map_.cells.values():
                programs.setdefault(number, kernel.programs[number])
    return list(programs.values()), [maps[number] for number in sorted(maps)]


def _growing(found: dict[int, T]) -> Iterator[T]:
    """The values of a dictionary that grows meanwhile."""
    done: set[int] = set()
    while left := [key for key in found if key not in done]:
        done.add(left[0])
        yield found[left[0]]


def bind(kernel: Kernel, first: ProgramObject, *, order: str | None = None, plan: Plan = DEFAULT_PLAN) -> Bound:
    """The unit that a run of a program needs. order: of portable code. Raises Refused."""
    programs, maps = reached(kernel, first)
    if order is not None and order != first.order and not (first.portable and not maps):
        raise Refused(f"program {first.name} is {first.order}-endian" + (", as its maps are" if maps else ""))
    names: dict[str, MapObject] = {}
    for map_ in maps:
        names[map_.name if map_.name not in names else f"{map_.name}#{map_.id}"] = map_
    number = {map_.id: at for at, map_ in enumerate(names.values())}
    declared = tuple(replace(map_.declared, name=name) for name, map_ in names.items())
    bodies = tuple(_numbered(one, number, order) for one in programs)
    units = tuple(replace(body, maps=declared) for body in bodies)
    convention = PACKET if _packets(units) else PLAIN
    return Bound(Unit(units, declared, convention, plan), names, tuple(programs))


def _numbered(one: ProgramObject, number: dict[int, int], order: str | None) -> Program:
    """A program whose instructions count maps as the unit does."""
    insns = tuple(
        insn._replace(imm=insn.imm & ~_LOW | number[one.maps[insn.imm & _LOW]])
        if insn is not None and insn.row.op in _MAP_FORMS
        else insn
        for insn in one.program.insns
    )
    body = replace(one.program, insns=insns)
    return body if order is None else body.in_order(order)


def _packets(programs: Iterable[Program]) -> bool:
    return any(insn is not None and insn.row.kind is Kind.PACKET for one in programs for insn in one.insns)


# Running -----------------------------------------------------------------------------------------


def run(
    kernel: Kernel, program: ProgramObject, data: bytes = b"", *, engine_name: str = "interpreter", repeat: int = 1,
    world: World | None = None, limits: Limits | None = None, plan: Plan = DEFAULT_PLAN,
) -> Ran:  # fmt: skip
    """Run a loaded program; the maps keep what it does to them.

    data: its memory, or the packet of a program that loads from one. world: everything else that helpers see. Raises
    Refused, BadInput.
    """
    if not 1 <= repeat <= 1_000_000:
        raise BadInput(f"{repeat} runs: 1 to 1,000,000 are possible", file="repeat")
    chosen = engine(engine_name)
    orders = chosen.abilities.orders
    bound = bind(kernel, program, order=None if program.order in orders else min(orders), plan=plan)
    prepared = chosen.prepare(bound.unit, Options())
    world, limits = world or World(), limits or Limits()
    states = _enter(bound, world)
    packet = bound.unit.convention is PACKET
    given = Input(packet=data) if packet else Input(data)
    start = time.perf_counter_ns()
    try:
        for _ in range(repeat):
            outcome = prepared.run(given, world, limits)
    finally:
        _leave(bound, world, states)
    spent = (time.perf_counter_ns() - start) // repeat
    region = (outcome.regions or {}).get("packet" if packet else "memory", data)
    return Ran(outcome, bytes(region[: len(data)]), spent)


def _enter(bound: Bound, world: World) -> dict[str, MapState]:
    """Put the maps into a world; the states that are not the objects' own."""
    copies: dict[str, MapState] = {}
    ids = {map_.id: name for name, map_ in bound.maps.items()}
    numbers = {program.id: at for at, program in enumerate(bound.programs)}
    for declared, (name, map_) in zip(bound.unit.maps, bound.maps.items(), strict=True):
        if map_.declared.kind == "prog_array":
            cells = (map_.cells.get(index) for index in range(max(map_.cells, default=-1) + 1))
            world.programs[name] = tuple(-1 if cell is None else numbers[cell] for cell in cells)
        if (state := map_.state) is None:
            continue
        if name != map_.name or declared.kind in OF_MAPS:
            mine = new_map(declared, map_.order)
            mine.load(_renamed(state.save(), declared.kind, lambda word: ids[int(word)]))
            copies[name] = state = mine
        world.maps[name] = state
    return copies


def _leave(bound: Bound, world: World, copies: dict[str, MapState]) -> None:
    """Take the maps out again."""
    for name, map_ in bound.maps.items():
        state = world.maps.pop(name, None)
        world.programs.pop(name, None)
        if name in copies and state is not None and map_.state is not None:
            map_.state.load(_renamed(state.save(), map_.declared.kind, lambda word: str(bound.maps[word].id)))


def _renamed(saved: tuple[Any, ...], kind: str, rename: Any) -> tuple[Any, ...]:
    if kind not in OF_MAPS:
        return saved
    return saved[0], tuple((key, rename(word)) for key, word in saved[1])


# Compiling ---------------------------------------------------------------------------------------


def here(order: str) -> Target:
    """The target that this machine is, else the first of that byte order."""
    try:
        mine = find_target(platform.machine())
        if mine.order == order:
            return mine
    except BadInput:
        pass
    return next(target for target in TARGETS.values() if target.order == order)


def compiled(kernel: Kernel, program: ProgramObject, target: Target | None = None) -> Image:
    """A program's machine code. Raises Refused."""
    machine = target or here(program.order)
    bound = bind(kernel, program, order=machine.order)
    return compile_program(bound.unit, bound.unit.programs[0], machine)


def measure(kernel: Kernel, programs: Iterable[ProgramObject]) -> None:
    """Note how long their machine code is, on this machine; where a backend refuses one nothing is noted."""
    for program in programs:
        machine = here(program.order)
        try:
            program.jited[machine.name] = len(compiled(kernel, program, machine).code)
        except Refused:
            continue

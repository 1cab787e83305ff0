"""A loaded program as a Unit: bound to the maps and programs that it can reach, compiled, run."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bpf.errors import BadInput, CallFailed, Refused
from bpf.isa import SLOT, Kind
from bpf.map_rules import OF_MAPS
from bpf.object.btf_build import Content
from bpf.order import Order
from bpf.plan import DEFAULT_PLAN, PAGE, Plan, Unit
from bpf.program import Program
from bpf.spec.conventions import PACKET, PLAIN, TYPED, Convention
from engines import engine
from engines.base import Options
from engines.binding import bind as rewritten
from engines.test_run import HEADER as LINK_HEADER
from engines.test_run import TYPES as TEST_RUN
from jit.image import Image
from jit.pipeline import compile_program
from jit.registry import TARGETS
from jit.registry import target as find_target
from jit.target import Target
from runtime import types
from runtime.kernel import Kernel, MapObject, ProgramObject
from vm.contexts import from_user, to_user
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
    """What runs of a program gave.

    outcome      the last; of a program of a type with its context and packet
    data         what its packet or memory is now
    nanoseconds  mean time of a run
    convention   how it was entered; order: its byte order
    """

    outcome: Outcome
    data: bytes
    nanoseconds: int
    convention: Convention
    order: Order

    @property
    def retval(self) -> int:
        """The low 32 bits of R0, which are what bpf() returns."""
        return self.outcome.r0 & _LOW

    @property
    def meaning(self) -> str:
        """What the return value says to whom the program's type returns it, "" where it says nothing."""
        kind = self.convention.type
        return kind.meaning(self.outcome.r0) if kind is not None and self.outcome.status == "done" else ""

    def context(self, before: bytes = b"") -> bytes:
        """The context as the program sees it, after the run; what is not shown of it is as it was before."""
        view = self.convention.view
        return before if view is None else to_user(view, self.outcome.context or {}, self.order, before)


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


def bind(kernel: Kernel, first: ProgramObject, *, order: Order | None = None, plan: Plan = DEFAULT_PLAN) -> Bound:
    """The unit that a run of a program needs, entered as its type is. order: of portable code. Raises Refused."""
    programs, maps = reached(kernel, first)
    if order is not None and order != first.order and not (first.portable and not maps):
        asked = "load it with --big-endian" if order == "big" else "load it without --big-endian"
        raise Refused(
            f"program {first.name} is {first.order}-endian" + (", as its maps are" if maps else ""),
            remedy=f"{asked}, or from an object of that byte order",
        )
    names: dict[str, MapObject] = {}
    for map_ in maps:
        names[map_.name if map_.name not in names else f"{map_.name}#{map_.id}"] = map_
    number = {map_.id: at for at, map_ in enumerate(names.values())}
    declared = tuple(replace(map_.declared, name=name) for name, map_ in names.items())
    bodies = tuple(_numbered(one, number, order) for one in programs)
    units = tuple(replace(body, maps=declared) for body in bodies)
    convention = types.convention(first.type, first.program.section)
    if convention is PLAIN and _packets(units):
        convention = PACKET
    return Bound(Unit(units, declared, convention, plan), names, tuple(programs))


def _numbered(one: ProgramObject, number: dict[int, int], order: Order | None) -> Program:
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


def entry_for(
    convention: Convention, data: bytes, fields: Mapping[str, int] | None = None, record: Content = b""
) -> Input:
    """The input of a run: data are the packet, or the memory of a program without a context.

    fields: of the context, over what vm/contexts.py gives it; of an xdp_md `data` too, which says how many of the bytes
    are metadata. record: of a context that is memory, else data are. Raises BadInput.
    """
    values, metadata = dict(fields or {}), 0
    if convention.view is None:
        if values:
            raise BadInput(f"a program that is entered as {convention.name} has no context to set")
        return Input(packet=data) if convention.context else Input(data)
    if convention.view.layout.name == "xdp_md":
        metadata = values.pop("data", 0)
        if not 0 <= metadata <= len(data):
            raise BadInput(f"data = {metadata} is outside the packet of {len(data)} bytes")
    if not convention.view.layout.open:
        return Input(packet=data, metadata=metadata, context=values)
    if values:
        raise BadInput(f"a {convention.view.layout.name} has bytes and no fields to set")
    return Input(record=record or data)


def user_fields(convention: Convention, data: bytes, order: Order, size: int) -> dict[str, int]:
    """What the bytes of a context say (bpf()'s ctx_in) for a packet of `size` bytes: fields that are not 0.

    Raises BadInput.
    """
    if convention.view is None:
        raise BadInput(f"a program that is entered as {convention.name} has no context to set")
    found = {name: value for name, value in from_user(convention.view, data, order).items() if value}
    if convention.view.layout.name == "xdp_md" and found.pop("data_end", size) != size:
        raise BadInput(f"data_end of the context is not where the packet of {size} bytes ends")
    return found


def check_packet(convention: Convention, data: bytes) -> None:
    """Raise CallFailed EINVAL for a packet without a whole link-layer header, which a test run does not take."""
    kind = convention.type
    if kind is not None and kind.data and kind.name in TEST_RUN and len(data) < LINK_HEADER:
        raise CallFailed(
            "EINVAL", f"a packet of {len(data)} bytes: a program of type {kind.name} is run on {LINK_HEADER} or more",
            remedy="give it one with `data_in FILE`",
        )  # fmt: skip


@dataclass
class Runner:
    """A loaded program on an engine, as often as one likes. Raises Refused, BadInput."""

    kernel: Kernel
    program: ProgramObject
    engine: str = "interpreter"
    plan: Plan = DEFAULT_PLAN

    def __post_init__(self) -> None:
        chosen = engine(self.engine)
        orders = chosen.abilities.orders
        order = None if self.program.order in orders else min(orders)
        self.bound = bind(self.kernel, self.program, order=order, plan=self.plan)
        self.prepared = chosen.prepare(self.bound.unit, Options())

    @property
    def convention(self) -> Convention:
        """How it is entered."""
        return self.bound.unit.convention

    @property
    def order(self) -> Order:
        """The byte order that it runs in."""
        return "big" if self.bound.unit.order == "big" else "little"

    def entry(
        self, data: bytes, fields: Mapping[str, int] | None = None, context: bytes = b"", record: Content = b""
    ) -> Input:
        """Its input (see entry_for). context: as bytes, under the fields. Raises BadInput."""
        view = self.convention.view
        if context and view is not None and view.layout.open:
            return entry_for(self.convention, data, fields, context)
        values = user_fields(self.convention, context, self.order, len(data)) if context else {}
        return entry_for(self.convention, data, values | dict(fields or {}), record)

    def run(self, entry: Input, world: World, limits: Limits | None = None, repeat: int = 1) -> Ran:
        """Run it on an input, the last of `repeat` times being shown; the maps keep what it does to them.

        Raises BadInput.
        """
        if not 1 <= repeat <= 1_000_000:
            raise BadInput(f"{repeat} runs: 1 to 1,000,000 are possible", file="repeat")
        limits = limits or Limits()
        states = _enter(self.bound, world)
        world.printed.clear()
        start = time.perf_counter_ns()
        try:
            for _ in range(repeat):
                world.sent.clear()
                outcome = self.prepared.run(entry, world, limits)
        finally:
            _leave(self.bound, world, states)
        spent = (time.perf_counter_ns() - start) // repeat
        return Ran(outcome, data_after(self.bound.unit, entry, outcome), spent, self.convention, self.order)


def data_after(unit: Unit, entry: Input, outcome: Outcome) -> bytes:
    """What the packet or the memory is after a run."""
    if outcome.packet is not None:
        return outcome.packet
    name, data = ("packet", entry.packet) if unit.convention.context else ("memory", entry.memory)
    region = (outcome.regions or {}).get(name)
    if region is None:
        return data
    at = unit.packet_start(len(data)) if unit.convention.context else unit.plan.place(unit.plan.memory, len(data))
    return bytes(region[at % PAGE :][: len(data)])


def run(
    kernel: Kernel, program: ProgramObject, data: bytes = b"", *, fields: Mapping[str, int] | None = None,
    context: bytes = b"", engine_name: str = "interpreter", repeat: int = 1, world: World | None = None,
    limits: Limits | None = None, plan: Plan = DEFAULT_PLAN,
) -> Ran:  # fmt: skip
    """Run a loaded program as what its type says; the maps keep what it does to them.

    data: the packet, or its memory. fields, context: of the context by name, and as bytes. world: everything else that
    helpers see. Raises Refused, BadInput.
    """
    runner = Runner(kernel, program, engine_name, plan)
    return runner.run(runner.entry(data, fields, context), world or World(), limits, repeat)


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


def here(order: Order) -> Target:
    """The target that this machine is, else the first of that byte order."""
    try:
        mine = find_target(platform.machine())
        if mine.order == order:
            return mine
    except BadInput:
        pass
    return next(target for target in TARGETS.values() if target.order == order)


@dataclass(frozen=True, slots=True)
class Translated:
    """A program as it runs, accesses to its context converted.

    maps: the ids of those that its instructions count; tag: of the program as given
    """

    program: Program
    maps: tuple[int, ...]
    tag: str


def translated(kernel: Kernel, program: ProgramObject) -> Translated:
    """What engines run; the program as given where its type does not run here. Raises Refused."""
    if program.type != types.UNSPEC and program.type not in TYPED:
        return Translated(program.program, program.maps, program.tag)
    bound = bind(kernel, program)
    return Translated(rewritten(bound.unit).programs[0], tuple(map_.id for map_ in bound.maps.values()), program.tag)


def compiled(kernel: Kernel, program: ProgramObject, target: Target | None = None) -> Image:
    """A program's machine code. Raises Refused."""
    machine = target or here(program.order)
    unit = rewritten(bind(kernel, program, order=machine.order).unit)
    return compile_program(unit, unit.programs[0], machine)


def measure(kernel: Kernel, programs: Iterable[ProgramObject]) -> None:
    """Note how long they are as they run, and in machine code; where a backend refuses one nothing is noted.

    Raises Refused for what no engine runs: a helper that is not there, an access that the context does not allow.
    """
    for program in programs:
        program.bytes_xlated = SLOT * len(translated(kernel, program).program)
        machine = here(program.order)
        try:
            program.jited[machine.name] = len(compiled(kernel, program, machine).code)
        except Refused:
            continue

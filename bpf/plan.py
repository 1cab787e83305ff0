"""The address plan: where every region lies, the same for the interpreter and every guest.

A pointer that a program stores or compares is part of its result, so it must be bit-equal on all engines. Each plan
is one choice of addresses that makes another family of faults visible; unmapped pages lie around every region.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from bpf.errors import Refused
from bpf.isa import Kind
from bpf.map_rules import MAX_BYTES, check_map, readonly, value_bytes, writeonly
from bpf.order import Order
from bpf.program import MAX_FRAMES, Map, Program, joined, unpoisoned
from bpf.spec.callers import callers
from bpf.spec.contexts import HEADROOM, SOCKET_FIELD
from bpf.spec.conventions import PLAIN, TYPED, Convention
from bpf.spec.helpers import KERNEL, SUITE, Helper
from bpf.spec.kfuncs import BY_NAME, KFUNCS, NAMES, NEW
from bpf.spec.layout import DYNPTR_SIZE, VALUE_ALIGN, up
from bpf.spec.maps import LOOKUP, RULES, SOCKETS
from bpf.spec.prototypes import PROTOTYPES
from bpf.tail import MAX_TAIL_CALLS, frames, special, tail_calls

PAGE = 4096
STUB_SIZE = 16  # bytes between helper stubs, and between function entry slots
MAX_HELPERS = 4096
MAX_FUNCTIONS = 4096
MAX_ARENA = 4096  # pages
MAX_PROG_ARRAY = 65_536  # entries
MAX_HANDLES = 0x10_0000  # bytes
CELL = 8  # bytes of an entry of a prog array
FRAME = 512

# Stubs that are no helpers: what compiled code asks of the machine besides (vm/services.py).
CALL_TARGET = MAX_HELPERS - 1  # callx of what is no function; AX holds the value
LOAD_PACKET = {8: MAX_HELPERS - 2, 16: MAX_HELPERS - 3, 32: MAX_HELPERS - 4}  # by width: (context, offset) -> number
SERVICES = (CALL_TARGET, *LOAD_PACKET.values())
POISON = 0xDEAD_C0DE_5AFE_0000
"""What R1-R5 hold after a call: POISON + register number."""

RECORD_WORDS = 10
ALLOWANCE = 0x200
"""Offset in the harness region of the value that may_goto's counters start with; the exit record (R0-R9) is at 0."""

TAIL_CALLS = 0x208
"""Offset in the harness region of two words: tail calls that the run has taken, and how many it may take."""

TABLES = PAGE
"""Offset of the batch tables in the harness region."""

LENT = "lent"
"""The region for what helpers show to functions that they call: keys of map elements, dynptrs."""

KEPT = "kept"
"""The region for what helpers keep of a run beside its packet, and for the sockets that they show."""

KEPT_SIZE = 5 * PAGE

COUNTER = 0x3_0000
"""may_goto's counter of a function in compiled code lies this far above its R10: beyond the reach of a 16-bit offset
from the stack, within that of the 20 bits that every machine has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Base addresses, in bytes.

    text     exit page, helper stubs, function entries and code, within 16 MiB of each other
    stack    the top of the BPF stack (R10 of the entered function)
    native   the top of the guest's own stack, which the interpreter does not have
    harness  exit record and batch tables; no program sees it
    fence    regions end at their guard page instead of starting behind one
    """

    name: str
    text: int
    stack: int
    native: int
    harness: int
    context: int
    packet: int
    memory: int
    values: int
    handles: int
    arena: int
    fence: bool = False

    @property
    def counters(self) -> Region:
        """The counters of all frames that there may be; no program sees it."""
        top = self.stack + COUNTER
        first = top - (MAX_TAIL_CALLS + 1) * MAX_FRAMES * FRAME & -PAGE
        return Region("counters", first, (top + 8 + PAGE - 1 & -PAGE) - first)

    @property
    def lent(self) -> int:
        """What helpers lend to functions that they call: behind all map handles."""
        return self.handles + MAX_HANDLES + PAGE - 1 & -PAGE

    @property
    def kept(self) -> int:
        """What helpers keep and show of sockets: behind what they lend."""
        return self.lent + 0x10_0000

    @property
    def exit(self) -> int:
        """Where the entered function returns to."""
        return self.text

    @property
    def stubs(self) -> int:
        """The stub of helper 0."""
        return self.text + PAGE

    @property
    def entries(self) -> int:
        """The entry slot of function 0."""
        return self.stubs + MAX_HELPERS * STUB_SIZE + PAGE

    @property
    def code(self) -> int:
        """The first byte of machine code."""
        return self.text + 0x10_0000

    def stub(self, number: int) -> int:
        """The stub of a helper."""
        return self.stubs + number * STUB_SIZE

    def entry(self, function: int) -> int:
        """The entry slot of a function: what a function pointer holds."""
        return self.entries + function * STUB_SIZE

    def place(self, base: int, size: int) -> int:
        """The address of `size` bytes in the region at `base`: its start, or under fence as far up as they go."""
        return base + (-size % PAGE if self.fence else 0)


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("low", text=0x1000_0000, stack=0x2001_0000, native=0x2800_0000, harness=0x3000_0000, context=0x3800_0000,
             packet=0x4000_0000, memory=0x4800_0000, values=0x5000_0000, handles=0x6000_0000, arena=0x7000_0000),
        Plan("high", text=0x12_9000_0000, stack=0x23_8001_0000, native=0x34_A000_0000, harness=0x45_F000_0000,
             context=0x56_8000_0000, packet=0x67_7FFF_0000, memory=0x78_C000_0000, values=0x89_9000_0000,
             handles=0x9A_FFF0_0000, arena=0xAB_0000_0000),
        Plan("kernel", text=0xFFFF_FFFF_A000_0000, stack=0xFFFF_C900_0001_0000, native=0xFFFF_C980_8000_0000,
             harness=0xFFFF_CA00_7000_0000, context=0xFFFF_8881_0000_0000, packet=0xFFFF_8882_9000_0000,
             memory=0xFFFF_8883_C000_0000, values=0xFFFF_8884_8000_0000, handles=0xFFFF_8885_0000_0000,
             arena=0xFFFF_A000_0000_0000),
        Plan("fence", text=0x13_1000_0000, stack=0x25_0001_0000, native=0x36_0000_0000, harness=0x47_0000_0000,
             context=0x58_0000_0000, packet=0x69_0000_0000, memory=0x7A_0000_0000, values=0x8B_0000_0000,
             handles=0x9C_0000_0000, arena=0xAD_0000_0000, fence=True),
    )
}  # fmt: skip
DEFAULT_PLAN = PLANS["high"]


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes that a program can reach: [start, start + size), mapped in whole pages. writeonly: not to be read."""

    name: str
    start: int
    size: int
    readonly: bool = False
    writeonly: bool = False

    @property
    def first_page(self) -> int:
        """Address of the first mapped byte."""
        return self.start & -PAGE

    @property
    def mapped(self) -> int:
        """Mapped bytes: whole pages."""
        return (self.start + self.size + PAGE - 1 & -PAGE) - self.first_page if self.size else 0


HEAP = Map(".heap", value_size=1 << 16, initial=bytes(1 << 16))
"""What objects lie in that programs make (bpf_obj_new); a unit with such a program has it as its last map."""


@dataclass(frozen=True)
class Unit:
    """What is bound and compiled once and run on many inputs.

    programs    programs[0] is entered, the others are tail-call targets; all of one byte order
    maps        in the order that fixes their addresses; by default those of programs[0]
    convention  how it is entered
    plan        where everything lies

    Raises Refused for what no engine could run: an unknown helper, a missing map, too deep or recursive calls.
    """

    programs: tuple[Program, ...]
    maps: tuple[Map, ...] = ()
    convention: Convention = PLAIN
    plan: Plan = DEFAULT_PLAN

    def __post_init__(self) -> None:
        if self.order in self.convention.orders:
            object.__setattr__(self, "convention", TYPED[self.convention.orders[self.order]])
        if not self.maps:
            object.__setattr__(self, "maps", self.programs[0].maps)
        if HEAP not in self.maps and any(map(self._makes_objects, self.programs)):
            object.__setattr__(self, "maps", (*self.maps, HEAP))
        arenas = sum(map_.kind == "arena" for map_ in self.maps)
        for map_ in self.maps:
            if map_.kind == "arena":
                if not 1 <= map_.max_entries <= MAX_ARENA or arenas > 1:
                    raise Refused(f"map {map_.name}: one arena of 1 to {MAX_ARENA} pages is supported")
            elif map_.kind == "prog_array":
                self._check_prog_array(map_)
            else:
                check_map(map_, self.maps)
        if len({map_.name for map_ in self.maps}) != len(self.maps):
            raise Refused("two maps have the same name")
        total = sum(value_bytes(map_) for map_ in self.maps)
        if total > 2 * MAX_BYTES:
            raise Refused(f"{total} bytes of map values: at most {2 * MAX_BYTES} are supported")
        count = sum(len(program.functions) for program in self.programs)
        if count > MAX_FUNCTIONS:
            raise Refused(f"{count} functions: at most {MAX_FUNCTIONS} have an entry slot")
        for program in self.programs:
            unpoisoned(program)
        if len({program.order for program in self.programs}) > 1:
            raise Refused("programs of both byte orders in one unit")
        for program in self.programs:
            self._check_calls(program)
        helpers = self.convention.helpers
        tails = [
            tail_calls(program, helpers, len(self.maps)) if special(program, helpers) else {}
            for program in self.programs
        ]
        for pc, index in (item for found in tails for item in found.items()):
            if self.maps[index].kind != "prog_array":
                raise Refused(f"insn {pc}: tail_call of map {self.maps[index].name}, which is no prog array")
        object.__setattr__(self, "frames", frames(self.programs, helpers, tails))
        places = {
            start + pc: index for start, found in zip(self.starts, tails, strict=True) for pc, index in found.items()
        }
        object.__setattr__(self, "tail_calls", places)
        object.__setattr__(self, "map_regions", self._place_maps())

    frames: int = 1
    map_regions: tuple[Region, ...] = ()
    bound: Unit | None = field(default=None, init=False, repr=False, compare=False)
    """What machines run in its place (engines/binding.py)."""
    tail_calls: dict[int, int] = field(default_factory=dict)
    """Slot in `whole` of each tail call -> index of its map."""

    @cached_property
    def whole(self) -> Program:
        """What is compiled and run: programs[0], or if there are more all in one, in order (see joined).

        Engines count its slots and functions; `place` leads back.
        """
        return self.programs[0] if len(self.programs) == 1 else joined(self.programs)

    @cached_property
    def calls(self) -> Mapping[int, Helper]:
        """Helpers and kernel functions by number."""
        return {**self.convention.helpers, **self.convention.kfuncs}

    @cached_property
    def reach(self) -> int:
        """Bytes of its context that it uses, of one that is as long as it is given."""
        return max(program.reach for program in self.programs)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The slot in `whole` at which each program starts."""
        return tuple(accumulate((len(program) for program in self.programs[:-1]), initial=0))

    @cached_property
    def mains(self) -> tuple[int, ...]:
        """The number in `whole` of each program's first function, which is the one that is entered."""
        return tuple(accumulate((len(program.functions) for program in self.programs[:-1]), initial=0))

    def place(self, pc: int) -> tuple[int, int]:
        """A slot of `whole` as the number of a program and a slot of it."""
        number = bisect_right(self.starts, pc) - 1 if pc >= 0 else 0
        return number, pc - self.starts[number]

    def callees(self, pc: int) -> tuple[int, ...]:
        """The functions of `whole` that callx, or a helper that calls back, may call at a slot of it."""
        number, _ = self.place(pc)
        return self._taken(number)

    def _taken(self, number: int) -> tuple[int, ...]:
        return tuple(self.mains[number] + index for index in self.programs[number].address_taken)

    @cached_property
    def later(self) -> frozenset[int]:
        """The functions of `whole` that a timer may call after the run: those whose address a program takes."""
        return frozenset(index for number in range(len(self.programs)) for index in self._taken(number))

    @cached_property
    def lent(self) -> Region | None:
        """Room for a key or a dynptr that a helper lends to a function, once a frame; None if no helper does."""
        helpers = self.convention.helpers
        lending = {number for number, helper in helpers.items() if helper.lends}
        calls = (insn for program in self.programs for insn in program.insns if insn and insn.row.kind is Kind.CALL)
        if not self.maps or not any(insn.row.op == "callx" or insn.imm in lending for insn in calls):
            return None
        size = MAX_FRAMES * max(DYNPTR_SIZE, *(up(map_.key_size, VALUE_ALIGN) for map_ in self.maps))
        return Region(LENT, self.plan.lent, up(size, PAGE))

    @cached_property
    def kept(self) -> Region | None:
        """Room for what helpers keep, and for sockets; None if no program calls such a helper or has a socket."""
        view, helpers = self.convention.view, self.convention.helpers
        keeping = {number for number, helper in helpers.items() if helper.keeps}
        field = view.layout.by_name.get(SOCKET_FIELD) if view else None
        if any(map_.kind in SOCKETS and LOOKUP in RULES[map_.kind].helpers for map_ in self.maps) or any(
            (insn.row.op == "call_helper" and insn.imm in keeping)
            or (insn.row.op == "callx" and keeping)
            or (field is not None and insn.row.name == "ldx64" and insn.off == field.offset)
            for program in self.programs
            for insn in program.insns
            if insn is not None
        ):
            return Region(KEPT, self.plan.kept, KEPT_SIZE)
        return None

    def members(self, map_: Map, given: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
        """The programs in a prog array by index, -1 for none. given: map name -> programs, over the map's own."""
        numbers = tuple(given.get(map_.name, map_.programs))
        if len(numbers) > map_.max_entries:
            raise Refused(f"map {map_.name}: {len(numbers)} programs in {map_.max_entries} entries")
        for number in numbers:
            if not -1 <= number < len(self.programs):
                raise Refused(f"map {map_.name}: program {number} is not there")
        return (*numbers, *(-1,) * (map_.max_entries - len(numbers)))

    def cells(self, map_: Map, given: Mapping[str, Sequence[int]]) -> bytes:
        """The bytes of a prog array: the address of each program's entry slot, 0 for none. given: see members."""
        words = (self.plan.entry(self.mains[n]) if n >= 0 else 0 for n in self.members(map_, given))
        return b"".join(word.to_bytes(CELL, self.order) for word in words)

    @property
    def order(self) -> Order:
        """Byte order of the programs."""
        return self.programs[0].order

    @property
    def arena(self) -> Map | None:
        """The arena, if there is one."""
        return next((map_ for map_ in self.maps if map_.kind == "arena"), None)

    @property
    def arena_base(self) -> int:
        """The upper half of the arena's addresses."""
        return self.plan.arena & -1 << 32

    @property
    def context(self) -> int:
        """The address of the context, 0 where the convention has none."""
        if not self.convention.context:
            return 0
        view = self.convention.view
        return self.plan.place(self.plan.context, view.layout.internal if view else 0)

    def packet_start(self, size: int) -> int:
        """The address of the first byte of a packet of that size."""
        head, tail = self.room(size)
        return self.plan.place(self.plan.packet, head + size + tail) + head

    @cached_property
    def moves(self) -> bool:
        """Whether a helper may move the packet; callx may call any."""
        helpers = self.convention.helpers
        moving = {number for number, helper in helpers.items() if helper.moves}
        return bool(moving) and any(
            insn is not None and (insn.row.op == "callx" or (insn.row.op == "call_helper" and insn.imm in moving))
            for program in self.programs
            for insn in program.insns
        )

    def room(self, size: int) -> tuple[int, int]:
        """Bytes before and behind a packet of that size: none, unless a helper may move it."""
        view = self.convention.view
        if view is None or not view.layout.room or not self.moves:
            return 0, 0
        return HEADROOM, max(view.layout.room - size, 0)

    @property
    def stack(self) -> Region:
        """The part of the BPF stack that the deepest call chain needs, in whole pages."""
        size = (self.frames * FRAME + PAGE - 1) & -PAGE
        return Region("stack", self.plan.stack - size, size)

    def _check_prog_array(self, map_: Map) -> None:
        if not 1 <= map_.max_entries <= MAX_PROG_ARRAY:
            raise Refused(f"map {map_.name}: a prog array has 1 to {MAX_PROG_ARRAY} entries")
        self.members(map_, {})

    def _check_calls(self, program: Program) -> None:
        for pc, insn in enumerate(program.insns):
            if insn is None:
                continue
            op = insn.row.op
            if op == "call_helper" and insn.imm not in self.convention.helpers:
                raise self._no_helper(pc, insn.imm)
            if op == "call_kfunc" and insn.imm not in self.convention.kfuncs:
                raise self._no_kfunc(pc, insn.imm)
            if op == "addr_space_cast" and self.arena is None:
                raise Refused(f"insn {pc}: {op} needs an arena map")

    def _no_helper(self, pc: int, number: int) -> Refused:
        known = PROTOTYPES.get(number)
        if known is None:
            return Refused(f"insn {pc}: unknown helper {number}", remedy=f"Linux 6.12 has 1 to {len(PROTOTYPES)}")
        if number not in KERNEL:
            said = f"helper {number} {known.name} is not implemented"
            return Refused(f"insn {pc}: {said}", remedy="docs/helpers.md lists those that are")
        if self.convention.helpers is not SUITE:
            said = f"program of this type cannot use helper bpf_{known.name}#{number}"
            return Refused(f"insn {pc}: {said}", remedy=f"types that can: {', '.join(callers(number))}")
        mine = ", ".join(f"{h.number} {h.name}" for h in self.convention.helpers.values())
        said = f"unknown helper {number} ({known.name}) in convention {self.convention.name}"
        return Refused(f"insn {pc}: {said}", remedy=f"known: {mine}")

    @staticmethod
    def _makes_objects(program: Program) -> bool:
        number = BY_NAME[NEW].number
        return any(insn is not None and insn.row.op == "call_kfunc" and insn.imm == number for insn in program.insns)

    def _no_kfunc(self, pc: int, number: int) -> Refused:
        if number not in NAMES:
            return Refused(f"insn {pc}: kernel function {number} has no name", remedy="load it from an object file")
        known = KFUNCS.get(number)
        if known is None:
            said = f"kernel function {NAMES[number]} is not implemented"
            return Refused(f"insn {pc}: {said}", remedy="docs/helpers.md lists those that are")
        said = f"insn {pc}: calling kernel function {known.name} is not allowed"
        return Refused(said, remedy=f"types that can: {', '.join(sorted(known.types))}")

    def _place_maps(self) -> tuple[Region, ...]:
        regions = []
        base = self.plan.values
        for map_ in self.maps:
            if map_.kind == "arena":
                regions.append(Region("arena", self.plan.arena, map_.max_entries * PAGE))
                continue
            fixed = map_.kind == "prog_array"  # programs cannot write it, nor read it on Linux
            size = CELL * map_.max_entries if fixed else value_bytes(map_)
            region = Region(
                f"map {map_.name}", self.plan.place(base, size), size, readonly(map_) or fixed, writeonly(map_)
            )
            regions.append(region)
            base = region.first_page + region.mapped + PAGE
        return tuple(regions)

    @staticmethod
    def _reach(map_: Map) -> int:
        """How many bytes of a map lie behind the address that lddw loads."""
        return map_.max_entries * PAGE if map_.kind == "arena" else map_.value_size * map_.addressable

    def constants(self, program: Program) -> dict[int, int]:
        """Slot of each lddw -> the 64-bit number it loads under this plan. Raises Refused for what has no address.

        program: `whole`, or one that starts like it.
        """
        numbers: dict[int, int] = {}
        for pc, insn in enumerate(program.insns):
            if insn is None or insn.row.kind is not Kind.WIDE:
                continue
            form, low, high = insn.row.op, insn.imm & 0xFFFFFFFF, insn.imm >> 32
            if form == "imm":
                numbers[pc] = insn.imm
            elif form == "func":
                numbers[pc] = self.plan.entry(program.function_at(pc + 1 + insn.distance))
            elif form == "btf_id" and low in KFUNCS and not high:
                numbers[pc] = self.plan.stub(low)
            elif form == "btf_id":
                raise Refused(f"insn {pc}: BTF variable {low} has no address", remedy="load it from an object file")
            elif low >= len(self.maps):
                raise Refused(f"insn {pc}: map {low} is not there", remedy=f"the program has {len(self.maps)} maps")
            elif form in ("map_fd_value", "map_idx_value"):
                if self.maps[low].kind == "prog_array":
                    raise Refused(f"insn {pc}: a value of map {self.maps[low].name} has no address")
                if high >= self._reach(self.maps[low]):
                    raise Refused(f"insn {pc}: offset {high} is outside the value of map {self.maps[low].name}")
                numbers[pc] = self.map_regions[low].start + high
            else:
                numbers[pc] = self.plan.handles + low * STUB_SIZE
        return numbers

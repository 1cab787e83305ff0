"""A program: instructions by slot, functions, data, byte order, lines. Free of addresses (bpf/plan.py gives those)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from bpf.errors import FallsOff, JumpIntoWide, JumpOutOfRange, Refused
from bpf.facts import Facts
from bpf.isa import Insn, Kind, decode, encode
from bpf.order import Order

if TYPE_CHECKING:  # at run time bpf.object imports this module
    from bpf.object.btf import Btf

MAX_FRAMES = 8  # the kernel's MAX_CALL_FRAMES


@dataclass(frozen=True, slots=True)
class Function:
    """A BPF function: the slots from `start` to before `end`. Functions are numbered in slot order."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Map:
    """A map as the object file declares it.

    kind      a name of bpf/spec/maps.py
    initial   the first element's bytes (global data); what an arena begins with
    readonly  programs may not write values
    flags     BPF_F_* of its creation
    inner     what the maps of a map-in-map are like
    programs  of a prog array, per index: the number of the program in the unit, -1 for none
    maps      of a map-in-map, per key 0, 1, ...: the number of the map in the unit, -1 for none
    lock      offset of a bpf_spin_lock in the value
    timer     offset of a bpf_timer in the value
    pinned    LIBBPF_PIN_BY_NAME
    extra     map_extra: hash functions of a bloom filter, address of an arena
    key_type, value_type  numbers in the program's BTF, 0 for none
    """

    name: str
    kind: str = "array"
    key_size: int = 4
    value_size: int = 8
    max_entries: int = 1
    initial: bytes = b""
    readonly: bool = False
    flags: int = 0
    inner: Map | None = None
    programs: tuple[int, ...] = ()
    maps: tuple[int, ...] = ()
    lock: int | None = None
    timer: int | None = None
    pinned: bool = False
    extra: int = 0
    key_type: int = 0
    value_type: int = 0

    @property
    def is_data(self) -> bool:
        """Whether it is a section of global data, which is a region rather than elements."""
        return self.kind == "array" and bool(self.initial)

    @property
    def addressable(self) -> bool:
        """Whether lddw can load the address of its value: of an array of one element."""
        return self.kind == "array" and self.max_entries == 1


@dataclass(frozen=True, slots=True)
class Line:
    """A place in source text. column is 1-based, 0 when unknown."""

    file: str
    line: int
    text: str = ""
    column: int = 0


@dataclass(frozen=True)
class Program:
    """Instructions and what belongs to them.

    insns      by 8-byte slot; the second slot of an lddw is None
    order      "little" or "big": the byte order of its loads, stores and conversions
    functions  in slot order; functions[0] starts at slot 0 and is entered
    maps       in index order, the order of lddw's map_idx forms; a map_fd form counts in the same order
    lines      slot -> Line, where a line starts; BTF.ext's where it has one, else DWARF's
    btf        its types
    types      slot where a function starts -> number of its FUNC in btf
    section    the ELF section it was in, which says its type: "xdp"
    license    "GPL"
    version    the kernel version it names, 0 for none
    kernel     the types of the machine that it runs on; None: those in btf
    symbols    slot where the address of a kernel symbol is loaded -> its type in the machine's types, 0 for none
    probes     slots of loads that give 0 where nothing is there, which a pass has found
    reach      bytes of the context that it uses, of one that is as long as it is given
    facts      what a verifier knows of it; None where none has accepted it
    malformed  slot -> its bytes, where a stand-in is in the place of what only a verifier is shown
    poisoned   slot that no run may reach -> why; cleared by whoever shows that none does
    source     the program as given, where a pass has rewritten it; origin: per slot, the slot of `source` it is from

    Made by `program(...)`, which checks the structure.
    """

    name: str
    insns: tuple[Insn | None, ...]
    order: Order = "little"
    functions: tuple[Function, ...] = ()
    maps: tuple[Map, ...] = ()
    lines: Mapping[int, Line] = field(default_factory=dict)
    btf: Btf | None = field(default=None, compare=False, repr=False)
    types: Mapping[int, int] = field(default_factory=dict)
    section: str = ""
    license: str = ""
    version: int = 0
    kernel: Btf | None = field(default=None, compare=False, repr=False)
    symbols: Mapping[int, int] = field(default_factory=dict)
    probes: frozenset[int] = frozenset()
    reach: int = 0
    facts: Facts | None = field(default=None, compare=False, repr=False)
    malformed: Mapping[int, bytes] = field(default_factory=dict)
    poisoned: Mapping[int, str] = field(default_factory=dict)
    source: Program | None = field(default=None, compare=False, repr=False)
    origin: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.insns)

    def encode(self, order: Order | None = None) -> bytes:
        """The wire form, in the program's own byte order unless another is named."""
        return encode(self.insns, order or self.order)

    def in_order(self, order: Order) -> Program:
        """The same instructions as a program of another byte order."""
        if order == self.order:
            return self
        return replace(self, order=order)

    def origin_of(self, pc: int) -> int:
        """The slot of the program as given that slot pc is from."""
        return self.origin[pc] if self.origin and pc >= 0 else pc

    def function_at(self, pc: int) -> int:
        """The index of the function that slot pc lies in."""
        return bisect_right(self._starts, pc) - 1

    def line_at(self, pc: int) -> Line | None:
        """The source line that slot pc came from: the last one that starts at or before it, in its function."""
        slots = self._line_slots
        at = bisect_right(slots, pc) - 1
        if at < 0 or slots[at] < self.functions[self.function_at(pc)].start:
            return None
        return self.lines[slots[at]]

    @cached_property
    def address_taken(self) -> tuple[int, ...]:
        """The functions whose address some lddw func loads: those that callx may call."""
        taken = (pc + 1 + insn.distance for pc, insn in enumerate(self.insns) if insn and insn.row.op == "func")
        return tuple(sorted({self.function_at(start) for start in taken}))

    @cached_property
    def _starts(self) -> list[int]:
        return [function.start for function in self.functions]

    @cached_property
    def _line_slots(self) -> list[int]:
        return sorted(self.lines)


def program(
    insns: Sequence[Insn | None] | bytes,
    *,
    name: str = "prog",
    order: Order = "little",
    names: Mapping[int, str] | None = None,
    maps: Sequence[Map] = (),
    lines: Mapping[int, Line] | None = None,
) -> Program:
    """Build and check a program.

    insns: wire bytes in byte order `order`, or instructions by slot. names: slot -> name of the function there;
    functions are the named slots and every target of a local call or lddw func.
    Raises BadProgram's subclasses: see `decode`, and JumpOutOfRange, JumpIntoWide, FallsOff.
    """
    slots = decode(bytes(insns), order) if isinstance(insns, bytes | bytearray) else tuple(insns)
    if not slots:
        raise FallsOff("no instructions")
    named = dict(names or {})
    starts = {0} | set(named)
    for pc, insn in enumerate(slots):
        if insn is not None and insn.row.op in ("call_local", "func"):
            starts.add(_target(slots, pc, insn))
    functions = _functions(starts, named, name, len(slots))
    result = Program(name, slots, order, functions, tuple(maps), dict(lines or {}))
    for function in functions:
        _check_function(result, function)
    return result


def as_given(
    slots: Sequence[Insn | None],
    malformed: Mapping[int, bytes],
    *,
    name: str = "prog",
    order: Order = "little",
    names: Mapping[int, str] | None = None,
    maps: Sequence[Map] = (),
    lines: Mapping[int, Line] | None = None,
) -> Program:
    """As `program`, of which nothing is checked: for the verifier alone. `decode_all` gives slots and malformed ones.

    Functions are the named slots.
    """
    named = dict(names or {})
    functions = _functions({0} | set(named), named, name, len(slots))
    return Program(name, tuple(slots), order, functions, tuple(maps), dict(lines or {}), malformed=malformed)


def _functions(starts: set[int], named: Mapping[int, str], name: str, size: int) -> tuple[Function, ...]:
    ordered = sorted(starts)
    return tuple(
        Function(named.get(start, name if start == 0 else f"func_{start}"), start, end)
        for start, end in zip(ordered, [*ordered[1:], size], strict=True)
    )


def _target(slots: Sequence[Insn | None], pc: int, insn: Insn) -> int:
    target = pc + 1 + insn.distance
    if not 0 <= target < len(slots):
        raise JumpOutOfRange(f"{insn.row.name} to {target}, outside the program of {len(slots)} slots", pc=pc)
    if slots[target] is None:
        raise JumpIntoWide(f"{insn.row.name} into the second slot of the lddw at {target - 1}", pc=pc)
    return target


def _check_function(prog: Program, function: Function) -> None:
    for pc in range(function.start, function.end):
        insn = prog.insns[pc]
        if insn is None or not insn.row.jumps:
            continue
        target = _target(prog.insns, pc, insn)
        if not function.start <= target < function.end:
            raise JumpOutOfRange(f"{insn.row.name} to {target}, out of function {function.name}", pc=pc)
    last = prog.insns[function.end - 1]
    if last is None or last.row.kind not in (Kind.EXIT, Kind.GOTO):
        raise FallsOff(f"last insn of {function.name} is not an exit or jmp", pc=function.end - 1)


def unpoisoned(prog: Program) -> Program:
    """The same prog. Raises Refused where a run might get to a poisoned instruction."""
    for slot, reason in prog.poisoned.items():
        raise Refused(
            reason, place=f"insn {slot} in {prog.functions[prog.function_at(slot)].name}",
            remedy="ask whether it exists first, or give types that have it (--btf)",
        )  # fmt: skip
    return prog


def call_graph(prog: Program) -> dict[int, frozenset[int]]:
    """Function index -> indices of the functions it calls; callx may call any whose address is taken."""
    graph: dict[int, set[int]] = {index: set() for index in range(len(prog.functions))}
    for pc, insn in enumerate(prog.insns):
        if insn is not None and insn.row.op == "call_local":
            graph[prog.function_at(pc)].add(prog.function_at(pc + 1 + insn.distance))
        elif insn is not None and insn.row.op == "callx":
            graph[prog.function_at(pc)].update(prog.address_taken)
    return {index: frozenset(callees) for index, callees in graph.items()}


def joined(programs: Sequence[Program]) -> Program:
    """All programs in one, the instructions of each behind those of the one before, functions numbered on.

    Of rewritten programs the source is theirs put together too.
    """
    slots: list[Insn | None] = []
    names: dict[int, str] = {}
    lines: dict[int, Line] = {}
    for prog in programs:
        names |= {len(slots) + function.start: function.name for function in prog.functions}
        lines |= {len(slots) + slot: line for slot, line in prog.lines.items()}
        slots += prog.insns
    first = programs[0]
    whole = program(slots, name=first.name, order=first.order, names=names, maps=first.maps, lines=lines)
    places = list(accumulate((len(prog) for prog in programs[:-1]), initial=0))
    probes = frozenset(start + pc for prog, start in zip(programs, places, strict=True) for pc in prog.probes)
    if probes:
        whole = replace(whole, probes=probes)
    if all(prog.source is None for prog in programs):
        return whole
    given = [prog.source or prog for prog in programs]
    starts = accumulate((len(prog) for prog in given[:-1]), initial=0)
    pairs = zip(programs, starts, strict=True)
    origin = tuple(start + prog.origin_of(pc) for prog, start in pairs for pc in range(len(prog)))
    return replace(whole, source=joined(given), origin=origin)

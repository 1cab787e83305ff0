"""The program that carries a `plain` program on a live kernel: type syscall, the user's program as a static function.

It calls the program with R1 = the value of a one-entry array map and R2 = its length, and leaves R0, R6-R9 and the
addresses that the kernel chose in a second map, the record. Maps stand as indices; `bind` puts file descriptors there.

A program with a context is one itself, of its own type (`packet`: socket filter), with code before it and before its
exits that fills the record. A load from outside the packet ends it without the latter, and with R0 = 0, which the
record says then too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bpf.isa import ROW, Insn, Kind, make
from bpf.plan import POISON, Unit
from bpf.program import Function, Map, Program, program
from bpf.rewrite import insert
from bpf.spec.helpers import KERNEL
from bpf.spec.kfuncs import KFUNCS
from engines.function_info import FunctionInfo, function_info
from engines.kernel_types import function
from engines.syscall import SOCKET_FILTER, SYSCALL

R0, SAVED, MASK, FRAME_TOP, MEMORY, PACKET, MAPS = 0, 1, 5, 6, 7, 8, 9
"""Words of the record: R0; R6-R9; bit mask of the registers among them that were stored; R10 of the entered function;
the address of the memory, or of the context; the address of the packet's data, where a program may have it; then for
each map the addresses of its value (0 where lddw has none) and of the map itself."""

CALLEE_SAVED = range(6, 10)
NOT_SLEEPABLE = frozenset({"lpm_trie"})
"""Kinds of maps that no program of type syscall may have; a socket filter, on an empty frame, carries those."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A program to load.

    program  with maps as indices: the unit's, then memory (if there is any), then the record, which is the last
    kind     the program type
    start    the slot where the user's entered function starts
    origin   from there on: slot of the user's program, None for an instruction that was put in
    """

    program: Program
    start: int
    origin: tuple[int | None, ...]
    kind: int = SYSCALL

    @property
    def functions(self) -> FunctionInfo | None:
        """What the kernel must know of the functions; None if nothing."""
        starts = [function.start for function in self.program.functions]
        if len(starts) == 1 or not any(map(_wants_functions, self.program.insns)):
            return None
        return function_info(starts, self.program.order)

    def slot(self, number: int) -> int | None:
        """A slot as the user knows it; what was put in before an instruction counts as that. None in the wrapper."""
        if number < self.start:
            return None
        return next((pc for pc in self.origin[number - self.start :] if pc is not None), None)


def wrap(unit: Unit, length: int, arguments: Mapping[int, int]) -> Wrapped:
    """Wrap programs[0] of a unit for memory of `length` bytes. arguments: R1-R5 -> a number to pass in its place."""
    user = unit.programs[0]
    memory = (Map("memory", value_size=length, initial=bytes(length)),) if length else ()
    maps = (*unit.maps, *memory, _record(unit))
    record = len(maps) - 1
    rewritten = insert(user, _tails(user, record))
    start = _wrapper(unit, length, arguments, record)
    slots = (*start, *rewritten.program.insns)
    names = {0: "wrapper"} | {len(start) + function.start: function.name for function in rewritten.program.functions}
    result = program(slots, name=user.name, order=user.order, names=names, maps=maps)
    sleeps = all(map_.kind not in NOT_SLEEPABLE for map_ in unit.maps)
    return Wrapped(result, len(start), rewritten.origin, SYSCALL if sleeps else SOCKET_FILTER)


def wrap_packet(unit: Unit, number: int = 0) -> Wrapped:
    """A packet program of a unit with code that fills the record, which is its last map.

    Programs that tail-call each other share it: what the last one to end leaves there is what the run gave.
    """
    user, record = unit.programs[number], len(unit.maps)
    rewritten = insert(user, _tails(user, record, keeps_r0=True))
    notes = [_value(2, record), _store(2, 1, MEMORY), *_packet(unit, 2, 3), *_addresses(unit, 2, 3)]
    if number:  # whoever tail-calls it leaves nothing there
        notes += [make(ROW["lddw_imm"], register, imm=POISON + register) for register in (2, 3)]
    else:
        notes.append(make(ROW["mov64_imm"], 2, imm=0))
    start = _slots(notes)
    functions = rewritten.program.functions[1:]
    names = {0: user.functions[0].name} | {len(start) + function.start: function.name for function in functions}
    maps = (*unit.maps, _record(unit))
    result = program((*start, *rewritten.program.insns), name=user.name, order=user.order, names=names, maps=maps)
    kind = unit.convention.type
    return Wrapped(result, len(start), rewritten.origin, kind.number if kind else SOCKET_FILTER)


def _wants_functions(insn: Insn | None) -> bool:
    """Whether a program that has functions too may hold the instruction only if the kernel knows them."""
    if insn is None:
        return False
    helper = KERNEL.get(insn.imm) if insn.row.op == "call_helper" else None
    return insn.row.kind is Kind.PACKET or (helper is not None and (helper.inline or helper.callback > 0))


def _record(unit: Unit) -> Map:
    size = 8 * (MAPS + 2 * len(unit.maps))
    return Map("record", value_size=size, initial=bytes(size))


def _slots(insns: Sequence[Insn]) -> list[Insn | None]:
    return [slot for insn in insns for slot in ((insn, None) if insn.slots == 2 else (insn,))]


def _value(register: int, index: int) -> Insn:
    """The address of a map's value."""
    return make(ROW["lddw_map_idx_value"], register, imm=index)


def _store(base: int, register: int, word: int) -> Insn:
    return make(ROW["stx64"], base, register, 8 * word)


def _addresses(unit: Unit, base: int, scratch: int) -> Iterator[Insn]:
    """Store the addresses of all maps in the record, where `base` points."""
    for index, map_ in enumerate(unit.maps):
        if map_.addressable:
            yield from (_value(scratch, index), _store(base, scratch, MAPS + 2 * index))
        yield from (make(ROW["lddw_map_idx"], scratch, imm=index), _store(base, scratch, MAPS + 2 * index + 1))


def _packet(unit: Unit, base: int, scratch: int) -> Iterator[Insn]:
    """Store the address of the packet's data in the record, where a program of this type may see it."""
    view = unit.convention.view
    one = view.layout.by_name.get("data") if view is not None else None
    if view is not None and one is not None and view.access(one.offset, one.size, write=False):
        yield make(ROW[f"ldx{8 * one.size}"], scratch, 1, off=one.offset)
        yield _store(base, scratch, PACKET)


def _wrapper(unit: Unit, length: int, arguments: Mapping[int, int], record: int) -> list[Insn | None]:
    """The entered function: note addresses, set arguments, call what follows, note R0."""
    insns = [_value(6, record), *_addresses(unit, 6, 1)]
    if length:
        insns += [_value(1, len(unit.maps)), _store(6, 1, MEMORY)]
    else:
        insns.append(make(ROW["mov64_imm"], 1, imm=0))
    insns.append(make(ROW["mov64_imm"], 2, imm=length))
    insns += [make(ROW["lddw_imm"], register, imm=value & (1 << 64) - 1) for register, value in arguments.items()]
    end = [_store(6, 0, R0), make(ROW["mov64_imm"], 0, imm=0), make(ROW["exit"])]
    return _slots([*insns, make(ROW["call_local"], imm=len(end)), *end])


def _tails(user: Program, record: int, *, keeps_r0: bool = False) -> dict[int, list[Insn]]:
    """What runs before each exit of the entered function: R6-R9 go to the record as far as they have a value."""
    function = user.functions[0]
    tails = {}
    for pc, written in surely_written(user, function).items():
        insn = user.insns[pc]
        if insn is None or insn.row.kind is not Kind.EXIT:
            continue
        mask = written & sum(1 << register for register in CALLEE_SAVED)
        shown = [register for register in CALLEE_SAVED if mask >> register & 1]
        tails[pc] = [
            _value(1, record),
            *((_store(1, 0, R0),) if keeps_r0 else ()),
            *(_store(1, register, SAVED + n) for n, register in enumerate(CALLEE_SAVED) if register in shown),
            make(ROW["st64"], 1, off=8 * MASK, imm=mask),
            _store(1, 10, FRAME_TOP),
        ]
    return tails


def surely_written(prog: Program, function: Function) -> dict[int, int]:
    """Slot -> bit mask of R0-R9 that hold a value there whichever way led there, for what the function reaches.

    Nothing is assumed of its start, so that an argument counts only once it is written. A call leaves a value in R0
    and none in R1-R5.
    """
    known: dict[int, int] = {function.start: 0}
    work = [function.start]
    while work:
        pc = work.pop()
        insn = prog.insns[pc]
        assert insn is not None
        after = _after(insn, known[pc])
        following = []
        if insn.row.kind not in (Kind.GOTO, Kind.EXIT):
            following.append(pc + insn.slots)
        if insn.row.jumps:
            following.append(pc + 1 + insn.distance)
        for target in following:
            there = known.get(target)
            if there is None or there & after != there:
                known[target] = after if there is None else there & after
                work.append(target)
    return known


def _after(insn: Insn, written: int) -> int:
    """The mask after an instruction."""
    row = insn.row
    if row.clobbers:
        return written & ~0b111110 | 1
    if row.writes_dst:
        written |= 1 << insn.dst
    if row.writes_src:
        written |= 1 << insn.src
    if row.op == "cmpxchg":
        written |= 1
    return written


def bind(prog: Program, descriptors: Sequence[int]) -> bytes:
    """The wire form for the kernel: each map index replaced by the file descriptor of that map, functions by their
    numbers there. Raises Refused for a function that it does not have.
    """
    bound: list[Insn | None] = []
    for insn in prog.insns:
        if insn is not None and insn.row.op in ("map_fd", "map_idx", "map_fd_value", "map_idx_value"):
            offset = insn.imm >> 32 if insn.row.op.endswith("value") else 0
            row = ROW["lddw_map_fd_value" if insn.row.op.endswith("value") else "lddw_map_fd"]
            insn = make(row, insn.dst, imm=offset << 32 | descriptors[insn.imm & 0xFFFF_FFFF])
        elif insn is not None and insn.row.external:
            insn = insn._replace(imm=function(KFUNCS[insn.imm].name))
        bound.append(insn)
    return Program(prog.name, tuple(bound), prog.order).encode()

"""Exercises for the rows that need more than registers and a map: may_goto, callx, packet loads, arena pointers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bpf.isa import ROW, Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER, FROM_ARENA, TO_ARENA
from bpf.order import Order
from bpf.plan import POISON
from bpf.program import Map
from bpf.spec.conventions import PACKET, PLAIN, Convention
from fuzz.suite.exercise import Case, Exercise
from fuzz.suite.values import M64
from vm.world import Input

ARENA = Map("arena", kind="arena", max_entries=2, value_size=0)
ARENA_INDEX = 2
"""Its index: after results and data."""

_ZEROS, _ONES = 34, 42
FRAME = bytes(
    0 if n in range(_ZEROS, _ZEROS + 4) else 0xFF if n in range(_ONES, _ONES + 4) else (29 * n + 0x83) & 0xFF
    for n in range(70)
)
"""The packet: 14 bytes of link-layer header, then 56 that are the data; a word of zeros and one of ones in it."""

_NETWORK = 14
_DATA = len(FRAME) - _NETWORK
_NET, _LL = -0x10_0000, -0x20_0000
_EDGES = (0, 1, 8, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 0x5_0000_0010, M64, 0xDEAD_BEEF_8765_4321)


def applies(row: Row) -> bool:
    """Whether a row's exercises are here."""
    return row.kind in (Kind.COUNTDOWN, Kind.PACKET, Kind.CAST) or row.op == "callx"


def convention_for(row: Row) -> Convention:
    """How the exercises of a row are entered."""
    return PACKET if row.kind is Kind.PACKET else PLAIN


def entry_for(row: Row) -> Input:
    """What the exercises of a row are given."""
    return Input(packet=FRAME, network=_NETWORK) if row.kind is Kind.PACKET else Input()


def exercises(row: Row, order: Order) -> Iterator[Case]:
    """The programs that exercise a row."""
    if row.kind is Kind.COUNTDOWN:
        yield from (_countdown(order), _activations(order))
    elif row.kind is Kind.CAST:
        yield from (_cast_values(order), _cast_registers(order))
    elif row.kind is Kind.PACKET:
        for case in (_values(row, order), _inside(row, order), _outside(row, order), _first(row, order)):
            yield replace(case, entry=entry_for(row))
    else:
        yield from (_call_functions(order), _call_helpers(order))


def _fill(exercise: Exercise, without: Sequence[int] = ()) -> None:
    """R0-R9 full of bits, but for some of them."""
    for register in range(10):
        if register not in without:
            exercise.set(register, 0x9E37_79B9_7F4A_7C15 * (2 * register + 1))


def _countdown(order: Order) -> Case:
    """A loop at slot 0, which turns until nothing is left; then passes that are not to be had; registers full."""
    exercise = Exercise("may_goto countdown")
    exercise.add("may_goto", off=2)
    exercise.add("add64_imm", 0, imm=1)
    exercise.add("ja", off=-3)
    exercise.store((0, 1, 6, 9), 7)
    exercise.set(2, 8)
    exercise.add("callx", 2)  # which works in the same scratch register
    _fill(exercise)
    exercise.add("may_goto", off=1)
    exercise.add("mov64_imm", 0, imm=1)
    exercise.store((0, 1, 2, 3, 4, 5, 6, 7, 8), 9)
    return exercise.finish(order)


def _activations(order: Order) -> Case:
    """A caller with some passes left calls a function twice that uses up its own."""
    exercise = Exercise("may_goto activations")
    exercise.add("mov64_imm", 6, imm=0)
    for _ in range(3):
        exercise.add("may_goto", off=1)
        exercise.add("add64_imm", 6, imm=1)
    calls = []
    for _ in range(2):
        calls.append(len(exercise.slots))
        exercise.add("call_local")
        exercise.store((0, 6, 10), 9)
    exercise.add("may_goto", off=1)
    exercise.add("add64_imm", 6, imm=1)
    exercise.store((6,), 9)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    for call in calls:
        exercise.slots[call] = make(ROW["call_local"], imm=len(exercise.slots) - call - 1)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("may_goto", off=2)
    exercise.add("add64_imm", 0, imm=1)
    exercise.add("ja", off=-3)
    return exercise.finish_function(order)


def _cast_values(order: Order) -> Case:
    """Edge values both ways; a store through one pointer and a load through the other."""
    exercise = Exercise("addr_space_cast values")
    for imm in (FROM_ARENA, TO_ARENA):
        for value in _EDGES:
            exercise.set(4, value)
            exercise.add("addr_space_cast", 3, 4, imm=imm)
            exercise.store((3, 4), 9)
    exercise.point(1, ARENA_INDEX, 4096 + 16)
    exercise.add("mov32_reg", 2, 1)
    exercise.add("addr_space_cast", 2, 2, imm=FROM_ARENA)
    exercise.set(3, _EDGES[-1])
    exercise.add("stx64", 2, 3, 8)
    exercise.add("ldx64", 0, 1, 8)
    exercise.store((0, 1, 2), 9)
    return _with_arena(exercise.finish(order))


def _cast_registers(order: Order) -> Case:
    """Every destination with every source, both ways."""
    exercise = Exercise("addr_space_cast registers")
    for imm in (FROM_ARENA, TO_ARENA):
        for dst in range(10):
            for src in range(11):
                _fill(exercise)
                exercise.add("addr_space_cast", dst, src, imm=imm)
                base = 9 if dst != 9 else 8
                exercise.store([register for register in range(10) if register != base], base)
    return _with_arena(exercise.finish(order))


def _with_arena(case: Case) -> Case:
    return replace(case, program=replace(case.program, maps=(*case.program.maps, ARENA)))


def _load(exercise: Exercise, row: Row, offset: int, src: int) -> None:
    """The load of a row at an offset; for ld_ind a part of it is in src, under an upper half that does not count."""
    if "src" in row.fields:
        part = 0x7000_0001 if offset & 1 else -3
        if src not in (6, FRAME_POINTER):
            exercise.set(src, (offset - part) & 0xFFFF_FFFF | 0xABCD_0000_0000_0000)
        exercise.append(make(row, src=src, imm=part))
    else:
        exercise.append(make(row, imm=offset))


def _places(size: int) -> tuple[list[int], list[int]]:
    """Offsets inside and outside the packet, at all of its edges."""
    near = [
        0,
        1,
        5,
        _ZEROS - _NETWORK,
        _ONES - _NETWORK,
        _DATA - size,
        _NET,
        _NET + 7,
        _NET + _DATA - size,
        _LL,
        _LL + 3,
        _LL + len(FRAME) - size,
    ]
    far = [
        *(_DATA - size + 1, _DATA, 0x7FFF_FFFF, -1, _NET + _DATA - size + 1, _NET - 1, _LL - 1),
        *(_LL + len(FRAME) - size + 1, -0x8000_0000),
    ]
    return near, far


def _values(row: Row, order: Order) -> Case:
    """What loads find, and nothing that a verifier minds."""
    exercise = Exercise(f"{row.name} values")
    exercise.add("mov64_reg", 6, 1)
    for offset in _places(row.width // 8)[0]:
        exercise.set(7, 0xFFFF_FFFF_0000_0000 + offset)
        _load(exercise, row, offset, 8)
        exercise.store((0, 7), 9)
    return exercise.finish(order)


def _inside(row: Row, order: Order) -> Case:
    """Loads that find something, all registers shown after each; every source register."""
    exercise = Exercise(f"{row.name} inside")
    exercise.add("mov64_reg", 6, 1)
    near, _ = _places(row.width // 8)
    for number, offset in enumerate(near):
        _fill(exercise, (6,))
        _load(exercise, row, offset, (2, 1, 0, 3, 4, 5, 7, 8, 9)[number % 9])
        exercise.store((0, 1, 2, 3, 4, 5, 6, 7, 8), 9)
    return exercise.finish(order)


def _outside(row: Row, order: Order) -> Case:
    """Loads that find nothing, each in a function of its own, which ends with R0 = 0; its R6-R9 do not come out."""
    exercise = Exercise(f"{row.name} outside")
    exercise.add("mov64_reg", 6, 1)
    _, far = _places(row.width // 8)
    loads = [(offset, 2) for offset in far]
    if "src" in row.fields:  # addresses, as numbers
        loads += [(0, 6), (0, FRAME_POINTER)]
    calls = []
    for _ in loads:
        _fill(exercise, (6,))
        calls.append(len(exercise.slots))
        exercise.add("call_local")
        exercise.store((0, 1, 2, 3, 4, 5, 6, 7, 8, 10), 9)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    for call, (offset, src) in zip(calls, loads, strict=True):
        exercise.slots[call] = make(ROW["call_local"], imm=len(exercise.slots) - call - 1)
        for register in (7, 8, 9):
            exercise.add("mov64_imm", register, imm=register)
        _load(exercise, row, offset, src)
        exercise.add("mov64_imm", 0, imm=77)
        exercise.add("exit")
    exercise.slots.pop()
    return exercise.finish_function(order)


def _first(row: Row, order: Order) -> Case:
    """A load that finds nothing in the entered function, which ends the run."""
    exercise = Exercise(f"{row.name} first")
    exercise.add("mov64_reg", 6, 1)
    _fill(exercise, (6,))
    _load(exercise, row, _DATA, 3)
    exercise.add("mov64_imm", 0, imm=77)
    return exercise.finish_function(order)


def _call_functions(order: Order) -> Case:
    """Two functions by their addresses, in every register; registers full, R6-R9 changed by the callee."""
    exercise = Exercise("callx functions")
    targets = []
    for register in range(10):
        _fill(exercise, (register,))
        targets.append((len(exercise.slots), register % 2))
        exercise.append(make(ROW["lddw_func"], register))
        exercise.add("callx", register)
        exercise.store((0, 1, 2, 3, 4, 5, 6, 7, 8, 10), 9)
    exercise.set(3, 7)
    exercise.add("callx", 3)  # a helper all the same
    exercise.store((0, 1, 2, 3, 4, 5, 6, 7, 8, 10), 9)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    starts = []
    for number in range(2):
        starts.append(len(exercise.slots))
        for register in range(6, 10):
            exercise.add("mov64_imm", register, imm=register + number)
        exercise.add("stx64", 10, 1, -8)
        exercise.add("add64_reg", 0, 10)
        exercise.add("add64_reg", 0, 5)
        exercise.add("exit")
    for slot, number in targets:
        insn = exercise.slots[slot]
        assert insn is not None
        exercise.slots[slot] = insn._replace(imm=starts[number] - slot - 1)
    exercise.slots.pop()
    return exercise.finish_function(order)


def _call_helpers(order: Order) -> Case:
    """Helpers by their numbers in every register, in R1-R5 as arguments too; no function's address is taken."""
    exercise = Exercise("callx helpers")
    for register in range(10):
        _fill(exercise)
        exercise.set(register, (8, 7, 14)[register % 3])
        exercise.add("callx", register)
        exercise.store((0, 1, 2, 3, 4, 5, 6, 7, 8), 9)
    return exercise.finish(order)


def faults(row: Row) -> Iterator[tuple[str, str]]:
    """Text of programs that end in a fault of a row, and its kind."""
    if row.op == "callx":
        for value in (0, 99, 0x1_0000, 0x1_0008, POISON, M64):
            yield f"r3 = 0x{value:x} ll; callx r3; exit", "call target"
    elif row.kind is Kind.PACKET:
        text = "skb[4]" if "imm" in row.fields and "src" not in row.fields else "skb[r1 + 4]"
        for setup in ("r6 = 0", "r6 = r1; r6 += 1", "r6 = r10"):
            yield f"{setup}; r0 = *(u{row.width} *){text}; exit", "context"

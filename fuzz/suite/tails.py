"""Tail calls: a program that enters itself, by indices that lead there and others, from a function and from none.

The first word of the results counts the entries, and so says what an entry has to do. Besides, functions that a helper
calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bpf.order import Order
from bpf.program import Map
from fuzz.suite.exercise import DATA, RESULTS, Case, Exercise
from fuzz.suite.values import M64
from vm.world import Input

ENTRIES = 512
"""Of the prog array: its cells fill a page, so that nothing can be read behind them."""

FILLED = (0, 2, ENTRIES - 1)
JUMPS = Map(
    "jumps", "prog_array", max_entries=ENTRIES, programs=tuple(0 if n in FILLED else -1 for n in range(ENTRIES))
)
JUMPS_INDEX = 2
"""Its index: after results and data."""

_TAIL_CALL, _LOOP = 12, 181
_CONTEXT, _HERE, _NUMBER = 6, 7, 8  # registers: the context, the results, which entry this is
_GIVEN = Input(packet=bytes((41 * n + 7) & 0xFF for n in range(64)))

_TAKEN = (0, 2, ENTRIES - 1, 1 << 32, (1 << 32) + 2, (1 << 63) + ENTRIES - 1, -1 << 32)
_FAILING = (
    1, ENTRIES - 2, ENTRIES, ENTRIES + 1, (1 << 32) + ENTRIES, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0002, 0xFFFF_FFFF, M64,
    (1 << 32) + 1, 0x2000_0000, 0x2000_0002,
)  # fmt: skip


def tails(order: Order) -> Iterator[Case]:
    """The programs. Those that make tail calls get a packet, so that they have a context to hand on."""
    yield _loops(order)
    cases = [_indices(order, known=True), _indices(order, known=False), _chain(order)]
    cases += [_frames(order, saved, helper) for saved, helper in (((), 0), ((7, 8), 0), ((6, 9), 8), ((6, 7, 8, 9), 8))]
    for case in cases:
        yield replace(case, program=replace(case.program, maps=(*case.program.maps, JUMPS)), entry=_GIVEN)


def _enter(exercise: Exercise) -> None:
    """Count the entry; leaves R6-R8 as named above."""
    exercise.add("mov64_reg", _CONTEXT, 1)
    exercise.point(_HERE, RESULTS, 0)
    exercise.add("ldx64", _NUMBER, _HERE)
    exercise.add("add64_imm", _NUMBER, imm=1)
    exercise.add("stx64", _HERE, _NUMBER)
    exercise.stored = max(exercise.stored, 8)


def _call(exercise: Exercise, context: int = _CONTEXT) -> None:
    """The call, by the index in R3."""
    exercise.add("mov64_reg", 1, context)
    exercise.add("lddw_map_idx", 2, imm=JUMPS_INDEX)
    exercise.add("call_helper", imm=_TAIL_CALL)


def _mark(exercise: Exercise, value: int) -> None:
    """A result that says that we were here."""
    exercise.point(3, RESULTS, exercise.stored)
    exercise.add("st64", 3, imm=value)
    exercise.stored += 8


def _indices(order: Order, *, known: bool) -> Case:
    """Each entry tries what leads nowhere, then one index that leads to the next entry. known: as constants."""
    exercise = Exercise(f"call_helper tail call by {'constants' if known else 'numbers'}")
    exercise.data = b"".join((index & M64).to_bytes(8, order) for index in (*_TAKEN, *_FAILING))

    def call(at: int, index: int) -> None:
        if known:
            exercise.set(3, index)
        else:
            exercise.point(3, DATA, 8 * at)
            exercise.add("ldx64", 3, 3)
        _call(exercise)

    _enter(exercise)
    for number, index in enumerate(_TAKEN):
        over = exercise.add("jne64_imm", _NUMBER, imm=number + 1)
        for at in range(number, len(_FAILING), len(_TAKEN)):
            call(len(_TAKEN) + at, _FAILING[at])
            _mark(exercise, at + 1)
        call(number, index)
        _mark(exercise, -1)
        exercise.land(over)
    exercise.add("mov64_imm", 0, imm=7)
    return exercise.finish_function(order)


def _chain(order: Order) -> Case:
    """As many calls as there may be; those that fail count for nothing."""
    exercise = Exercise("call_helper tail call chain")
    _enter(exercise)
    for index in (1, 0, 0, 2):
        exercise.add("mov64_imm", 3, imm=index)
        _call(exercise)
        exercise.add("add64_imm", _NUMBER, imm=100)
    exercise.add("stx64", _HERE, _NUMBER, 8)
    exercise.stored = 16
    exercise.add("mov64_reg", 0, _NUMBER)
    return exercise.finish_function(order)


def _frames(order: Order, saved: Sequence[int], helper: int) -> Case:
    """Main calls a function, which enters main again: each finds its registers and its frame as it left them.

    saved: what the function writes of R6-R9; helper: what it calls besides, 0 for nothing.
    """
    names = "".join(map(str, saved)) or "nothing"
    exercise = Exercise(f"call_helper tail call from a function that saves {names}")
    _enter(exercise)
    exercise.add("and64_imm", _NUMBER, imm=63)
    exercise.add("mov64_reg", 9, _NUMBER)
    exercise.add("lsh64_imm", 9, imm=5)
    exercise.add("add64_reg", _HERE, 9)
    exercise.add("mul64_imm", 9, imm=0x1_2345)
    exercise.add("stx64", 10, 9, -8)
    exercise.add("stx64", 10, _NUMBER, -16)
    exercise.add("mov64_reg", 1, _CONTEXT)
    function = exercise.add("call_local")
    exercise.add("stx64", _HERE, 0, 8)
    exercise.add("ldx64", 1, 10, -8)
    exercise.add("stx64", _HERE, 1, 16)
    exercise.add("ldx64", 1, 10, -16)
    exercise.add("xor64_reg", 1, _NUMBER)
    exercise.add("lsh64_imm", 9, imm=7)
    exercise.add("xor64_reg", 1, 9)
    exercise.add("stx64", _HERE, 1, 24)
    exercise.add("mov64_reg", 0, _NUMBER)
    exercise.add("exit")
    exercise.land(function)
    exercise.stored = 32 * (64 + 1)
    if helper:
        exercise.add("stx64", 10, 1, -8)
        exercise.add("call_helper", imm=helper)
        exercise.add("ldx64", 1, 10, -8)
    for register in saved:
        exercise.set(register, 0x5EED_0000_0000_0000 + register)
    exercise.add("mov64_imm", 3, imm=0)
    exercise.add("st64", 10, off=-8, imm=-1)
    _call(exercise, 1)
    exercise.add("mov64_imm", 0, imm=77)
    return exercise.finish_function(order)


def _loops(order: Order) -> Case:
    """The loop helper: all turns and fewer, none, flags; a loop in a loop; what a callback may change and what not."""
    exercise = Exercise("call_helper loop")
    addresses: list[tuple[int, int]] = []  # (slot of the lddw, number of the function)

    def loop(turns: int, function: int, flags: int = 0) -> None:
        exercise.set(1, turns)
        addresses.append((exercise.add("lddw_func", 2), function))
        exercise.add("mov64_reg", 3, 10)
        exercise.add("add64_imm", 3, imm=-16)
        exercise.add("mov64_imm", 4, imm=flags)
        exercise.add("call_helper", imm=_LOOP)

    exercise.add("st64", 10, off=-16)
    exercise.add("st64", 10, off=-8, imm=-1)
    for turns, function, flags in ((5, 0, 0), (2, 0, 0), (9, 1, 0), (3, 0, 1), (1 << 23 | 1, 0, 0), (1 << 32, 0, 0)):
        for register in range(6, 9):
            exercise.set(register, 0x9E37_79B9_7F4A_7C15 * register)
        loop(turns, function, flags)
        exercise.add("ldx64", 1, 10, -16)
        exercise.add("ldx64", 2, 10, -8)
        exercise.store((0, 1, 2, 6, 7, 8), 9)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("exit")
    starts = [len(exercise.slots)]
    _count(exercise)
    exercise.add("mov64_imm", 0, imm=0)
    exercise.add("jne64_imm", 1, off=1, imm=3)
    exercise.add("mov64_imm", 0, imm=1)  # enough
    exercise.add("exit")
    starts.append(len(exercise.slots))
    exercise.add("mov64_reg", 6, 2)
    exercise.add("mov64_reg", 7, 1)
    exercise.add("st64", 10, off=-16, imm=100)
    loop(4, 0)
    exercise.add("ldx64", 2, 10, -16)
    exercise.add("add64_reg", 2, 7)
    exercise.add("ldx64", 1, 6)
    exercise.add("add64_reg", 1, 2)
    exercise.add("stx64", 6, 1)
    exercise.add("mov64_imm", 0, imm=0)
    for slot, function in addresses:
        insn = exercise.slots[slot]
        assert insn is not None
        exercise.slots[slot] = insn._replace(imm=starts[function] - slot - 1 & 0xFFFF_FFFF)
    return exercise.finish_function(order)


def _count(exercise: Exercise) -> None:
    """Add the turn and one to the word that R2 points to; nothing of R6-R9 and the frame is left."""
    exercise.add("ldx64", 3, 2)
    exercise.add("add64_reg", 3, 1)
    exercise.add("add64_imm", 3, imm=1)
    exercise.add("stx64", 2, 3)
    exercise.add("st64", 10, off=-8, imm=7)
    for register in range(6, 10):
        exercise.add("mov64_imm", register, imm=register)

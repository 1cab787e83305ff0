"""Sweeps over operands: corners crossed with corners, every immediate with what lies beside it.

Each program is a loop that runs the instruction on one set of operands after the other, in the guest, and stores what
came of each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product

from bpf.isa import Kind, Row, make
from bpf.order import Order
from fuzz.suite.exercise import IN, OUT, Case, Exercise, sweep
from fuzz.suite.values import CORNERS, EDGES, IMMEDIATES, M64, beside

UNROLLED = 8
BRANCHES = 8_000  # that one program takes: Linux's verifier follows 8,192 and no more
IMMEDIATES_AT_ONCE = 50  # of a branch, for the same reason
_PAIRS = ((0, 1), (1, 0), (2, 0), (0, 3), (3, 2), (4, 2), (2, 4), (5, 9), (9, 3), (0, 0), (2, 2), (4, 4), (9, 9))
"""Registers (dst, src) that machines treat in a way of their own: accumulators, counts, pairs, equal ones."""


@lru_cache(maxsize=16)
def packed(order: Order, rows: tuple[tuple[int, ...], ...] | str, every: int = 1) -> tuple[bytes, int]:
    """Sets of operands as a map's bytes, and how many there are: whole turns of UNROLLED.

    rows: the sets, or the name of one of the tables, which are long.
    """
    found = _TABLES[rows]() if isinstance(rows, str) else rows
    chosen = list(found)[::every]
    chosen += chosen[-1:] * (-len(chosen) % UNROLLED)
    endian = ">" if order == "big" else "<"
    flat = [value for row in chosen for value in row]
    return struct.pack(f"{endian}{len(flat)}Q", *flat), len(chosen)


_TABLES: dict[str, Callable[[], Sequence[tuple[int, ...]]]] = {
    "pairs": lambda: list(product(CORNERS, CORNERS)),
    "single": lambda: [(value, ~value & M64) for value in CORNERS],
    "edges": lambda: list(product(EDGES, EDGES)),
    "atomic": lambda: [(old, new, 7) for old, new in product(CORNERS, EDGES)],
    "compared": lambda: [
        (old, new, r0 & M64)
        for old, new in product(CORNERS, EDGES[::3])
        for r0 in (old, old ^ 1, old ^ 1 << 40, old ^ 1 << 31, old | 0xFFFF_FFFF << 32, new)
    ],
}


def operands(row: Row, order: Order, every: int) -> Iterator[Case]:
    """The sweeps of a row that computes something, branches, or stores an immediate."""
    if row.kind is Kind.ATOMIC:
        yield _atomic(row, order, every)
    elif row.kind is Kind.STORE:
        if "imm" in row.fields:
            yield _stores(row, order, every)
    elif "src" in row.fields:
        table = "single" if row.op in ("mov", "movsx") else "pairs"
        count = packed(order, table, every)[1]
        size = BRANCHES if row.kind is Kind.BRANCH else count
        for first in range(0, count, size):
            yield _registers(row, order, table, ((3, 4),), every, range(first, min(first + size, count)))
        yield _registers(row, order, "edges", _PAIRS, every)
    elif "imm" in row.fields:
        for what, immediates in _split(row):
            yield _immediates(row, order, what, tuple(immediates[::every]))
    else:
        yield _registers(row, order, "single", ((3, 4),), every)
        yield _registers(row, order, "single", _PAIRS, every)


def _result(exercise: Exercise, row: Row, dst: int, off: int, operand: dict[str, int]) -> None:
    """The instruction, and what it did: its result, or for a branch whether it was taken."""
    if row.kind is not Kind.BRANCH:
        exercise.append(make(row, dst, **operand))
        exercise.add("stx64", OUT, dst, off)
        return
    flag = next(register for register in (0, 1, 2) if register not in (dst, operand.get("src")))
    exercise.add("mov64_imm", flag, imm=1)
    exercise.append(make(row, dst, off=1, **operand))
    exercise.add("mov64_imm", flag, imm=0)
    exercise.add("stx64", OUT, flag, off)


def _split(row: Row) -> Iterator[tuple[str, Sequence[int]]]:
    """The immediates, those apart that no verifier lets through: division by zero, shifts past the width."""
    if row.op in ("div", "mod", "sdiv", "smod"):
        yield from (("operands", [imm for imm in IMMEDIATES if imm]), ("by zero", [0]))
    elif row.kind is Kind.BRANCH:
        for first in range(0, len(IMMEDIATES), IMMEDIATES_AT_ONCE):
            yield f"operands from {first}", IMMEDIATES[first : first + IMMEDIATES_AT_ONCE]
    elif row.op in ("lsh", "rsh", "arsh"):
        inside = [imm for imm in IMMEDIATES if 0 <= imm < row.width]
        yield from (("operands", inside), ("past the width", [imm for imm in IMMEDIATES if imm not in inside]))
    else:
        yield "operands", IMMEDIATES


def _registers(
    row: Row, order: Order, table: str, pairs: Sequence[tuple[int, int]], every: int, part: range | None = None
) -> Case:
    data, count = packed(order, table, every)
    size = 16
    what = "operands" if len(pairs) == 1 else "operands in other registers"
    if part is not None and len(part) < count:
        what += f" from {part.start}"
        data, count = data[part.start * size : part.stop * size], len(part)
    unrolled = UNROLLED if len(pairs) == 1 else 1
    stored = 8 * len(pairs) * unrolled

    def body(exercise: Exercise) -> None:
        for turn in range(unrolled):
            for number, (dst, src) in enumerate(pairs):
                exercise.add("ldx64", dst, IN, size * turn)
                if src != dst:
                    exercise.add("ldx64", src, IN, size * turn + 8)
                operand = {"src": src} if "src" in row.fields else {}
                _result(exercise, row, dst, 8 * (turn * len(pairs) + number), operand)

    return sweep(f"{row.name} {what}", data, count // unrolled, stored, body).finish(order)


@lru_cache(maxsize=4)
def _beside(order: Order, immediates: tuple[int, ...]) -> tuple[bytes, int]:
    """Per turn an operand for each immediate: what lies beside it, then corners. Bytes and turns."""
    rows = list(zip(*(beside(imm) for imm in immediates), strict=True))
    rows += [(corner,) * len(immediates) for corner in CORNERS[::3]]
    rows += [tuple(CORNERS[(5 * n + turn) % len(CORNERS)] for n in range(len(immediates))) for turn in range(20)]
    endian = ">" if order == "big" else "<"
    flat = [value for row in rows for value in row]
    return struct.pack(f"{endian}{len(flat)}Q", *flat), len(rows)


def _immediates(row: Row, order: Order, what: str, immediates: tuple[int, ...]) -> Case:
    """Every immediate; registers take turns."""
    data, turns = _beside(order, immediates)

    def body(exercise: Exercise) -> None:
        for number, imm in enumerate(immediates):
            dst = (3, 0, 4, 1, 9, 2, 5)[number % 7]
            exercise.add("ldx64", dst, IN, 8 * number)
            _result(exercise, row, dst, 8 * number, {"imm": imm})

    return sweep(f"{row.name} {what}", data, turns, 8 * len(immediates), body).finish(order)


def _atomic(row: Row, order: Order, every: int) -> Case:
    """Old value, operand and R0 crossed; shown are the memory's eight bytes, the operand's register and R0."""
    data, count = packed(order, "compared" if row.op == "cmpxchg" else "atomic", every)

    def body(exercise: Exercise) -> None:
        for register, off in ((3, 0), (4, 8), (0, 16)):
            exercise.add("ldx64", register, IN, off)
        exercise.add("stx64", OUT, 3, 0)
        exercise.append(make(row, OUT, 4))
        exercise.add("stx64", OUT, 4, 8)
        exercise.add("stx64", OUT, 0, 16)

    return sweep(f"{row.name} operands", data, count, 24, body).finish(order)


def _stores(row: Row, order: Order, every: int) -> Case:
    """Every immediate, into a word that holds other bytes."""
    chosen = IMMEDIATES[::every]

    def body(exercise: Exercise) -> None:
        exercise.add("ldx64", 3, IN, 0)
        for number, imm in enumerate(chosen):
            exercise.add("stx64", OUT, 3, 8 * number)
            exercise.append(make(row, OUT, off=8 * number, imm=imm))

    data, turns = packed(order, ((M64,), (0,)), 1)
    return sweep(f"{row.name} operands", data, turns, 8 * len(chosen), body).finish(order)

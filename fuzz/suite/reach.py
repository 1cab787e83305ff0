"""Branches at the boundaries of their reach: the last distance that a form can hold, and the first that it cannot.

Every boundary up to 2 MiB is aimed at, both ways; a million BPF instructions reach those. Boundaries beyond are the
encoders' vectors' business (tests/jit/vectors).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import gcd

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.order import Order
from bpf.plan import Unit
from bpf.program import Program, program
from fuzz.suite.exercise import Case
from fuzz.suite.values import EDGES
from jit.ops import front
from jit.registry import TARGETS, backend
from jit.relax import relax

NEAR = 2 << 20
SHORT = 64 << 10  # beyond this, one row of each kind of branch is aimed
EVERY = 5 << 10  # up to this, all rows
FILLERS = (  # never executed; sizes differ from machine to machine
    make(ROW["lddw_imm"], 6, imm=0x1234_5678_9ABC_DEF1),
    make(ROW["add64_imm"], 6, imm=0x1234_5678),
    make(ROW["add64_imm"], 6, imm=100),
    make(ROW["add64_imm"], 3, imm=1000),
    make(ROW["mov32_reg"], 6, 7),
    make(ROW["mov64_reg"], 6, 7),
    make(ROW["mov32_reg"], 1, 2),
    make(ROW["neg32"], 1),
    make(ROW["ldx32"], 6, 6, 0),
    make(ROW["ldx32"], 6, 6, 2000),
)
Jump = tuple[tuple[Insn, ...], Insn]
"""What makes a jump taken, and the jump."""


def _taken(row: Row, imms: Sequence[int]) -> Jump:
    """A branch that is taken, in R1 (and R2), with the first of the immediates that something makes it taken with."""
    effect = row.effect_in("little")
    for imm in imms:
        for value in (*(imm + near & (1 << 64) - 1 for near in (0, 1, -1)), *EDGES):
            if effect(value, imm & (1 << 64) - 1):
                setup = (make(ROW["lddw_imm"], 1, imm=value),)
                if "imm" in row.fields:
                    return setup, make(row, 1, imm=imm)
                return (*setup, make(ROW["lddw_imm"], 2, imm=imm & (1 << 64) - 1)), make(row, 1, 2)
    raise AssertionError(row.name)


NOTHING = make(ROW["mov64_imm"], 1, imm=5)
JUMPS: dict[str, Jump] = {  # together these use every kind of branch that a machine has
    "branch": _taken(ROW["jgt64_imm"], (4,)),
    "registers": _taken(ROW["jeq64_reg"], (5,)),
    "zero": _taken(ROW["jeq64_imm"], (0,)),
    "zero32": _taken(ROW["jne32_imm"], (0,)),
    "bit": _taken(ROW["jset64_imm"], (4,)),
    "bits": _taken(ROW["jset32_imm"], (12,)),
    "goto": ((NOTHING,), make(ROW["gotol"])),
    "call": ((NOTHING,), make(ROW["call_local"])),
}
ROW_JUMPS: dict[str, Jump] = {
    f"{row.name} {what}": _taken(row, imms)
    for row in ROWS
    if row.kind is Kind.BRANCH
    for what, imms in (("by zero", (0, 1, -1)), ("by five", (5,)))
}
"""Every branch of the table, with an operand that machines have a form of its own for, and with one without."""


def _slots(insns: Sequence[Insn]) -> list[Insn | None]:
    return [slot for insn in insns for slot in ((insn, None) if insn.slots == 2 else (insn,))]


class Compiled:
    """A program's machine code, and the branch in it that goes farthest forward, or backward."""

    def __init__(self, name: str, prog: Program, forward: bool = True) -> None:
        self.unit = Unit((prog,))
        target = TARGETS[name]
        compiler = backend(target)(target, front(self.unit, prog), target.features)
        self.image = compiler.compile()
        distances = relax(compiler.fixups, compiler.labels, compiler.forms, self.unit.plan.code).distances
        own = [i for i, fixup in enumerate(compiler.fixups) if fixup.label >= 0]
        at = max(own, key=lambda i: distances[i] if forward else -distances[i])
        self.compiler = compiler
        self.fixup, self.distance = compiler.fixups[at], distances[at]
        self.forms = compiler.forms[self.fixup.kind]


@cache
def sizes(name: str) -> dict[int, Insn]:
    """Bytes of machine code -> a filler of that size."""
    found: dict[int, Insn] = {}
    for filler in FILLERS:
        prog = program(_slots([filler, make(ROW["ja"]), make(ROW["exit"])]), order=TARGETS[name].order)
        start, end = Compiled(name, prog).image.extent(0)
        found.setdefault(end - start, filler)
    return found


def pad(name: str, size: int) -> list[Insn]:
    """Fillers of exactly that many bytes of machine code, the big ones first."""
    known = sorted(sizes(name), reverse=True)
    bulk = max((size - 64) // known[0], 0)
    best: dict[int, list[Insn]] = {0: []}
    for total in range(1, size - bulk * known[0] + 1):
        for step in known:
            if total - step in best:
                best[total] = [*best[total - step], sizes(name)[step]]
                break
    return [sizes(name)[known[0]]] * bulk + best[size - bulk * known[0]]


def shape(name: str, jump: Jump, forward: bool, size: int, title: str = "") -> Program:
    """A program that goes over `size` bytes of padding one way, and returns 7 when it got where it should."""
    setup, branch = _slots(jump[0]), jump[1]
    body = _slots(pad(name, size))
    good, bad, leave = make(ROW["mov64_imm"], 0, imm=7), make(ROW["mov64_imm"], 0, imm=1), make(ROW["exit"])
    over = len(body)
    call = branch.row.op == "call_local"
    if call and forward:
        slots = [*setup, branch.with_distance(over + 2), leave, *body, leave, good, leave]
    elif call:
        back = branch.with_distance(-over - 4)
        slots = [*setup, branch.with_distance(over + 4), leave, good, leave, *body, leave, back, leave]
    elif forward:
        slots = [*setup, branch.with_distance(over + 2), bad, leave, *body, good, leave]
    else:
        start = make(ROW["gotol"], imm=over + 2)
        slots = [*setup, start, good, leave, *body, branch.with_distance(-over - 3), bad, leave]
    return program(slots, order=TARGETS[name].order, name=title or "reach")


def aim(name: str, jump: Jump, forward: bool, distance: int, title: str = "") -> tuple[Compiled, int]:
    """The program whose branch goes exactly that far, and the padding that it takes."""
    size = max(distance - 32, 64)
    for _ in range(5):
        found = Compiled(name, shape(name, jump, forward, size, title), forward)
        if abs(found.distance) == distance:
            return found, size
        size += distance - abs(found.distance)
    raise AssertionError(
        f"{jump[1].row.name} on {name}: {distance} bytes cannot be hit, the nearest is {found.distance}"
    )


@cache
def first_of_its_kind(name: str, kind: str) -> str:
    """The first jump that leaves a fixup of that kind."""
    return next(key for key, jump in JUMPS.items() if Compiled(name, shape(name, jump, True, 64)).fixup.kind == kind)


Boundary = tuple[int, Compiled, Compiled]
"""Index of a form, the branch as far as the form reaches, the branch one step farther."""


def boundaries(name: str, jump: Jump, forward: bool, limit: int, title: str = "") -> Iterator[Boundary]:
    """Every boundary of a jump's forms within the limit, on a target."""
    grain = gcd(*sizes(name))
    first = Compiled(name, shape(name, jump, forward, 64), forward)
    for index, form in enumerate(first.forms[:-1]):
        reach = form.high if forward else -form.low
        if reach <= limit:
            inside, size = aim(name, jump, forward, reach - reach % grain, title)
            yield index, inside, Compiled(name, shape(name, jump, forward, size + grain, title), forward)


def limit(name: str, key: str) -> int:
    """How far one of JUMPS is aimed on a target."""
    kind = Compiled(name, shape(name, JUMPS[key], True, 64)).fixup.kind
    return NEAR if key == first_of_its_kind(name, kind) else SHORT


def reach(row: Row, order: Order) -> Iterator[Case]:
    """The cases of a jump or call, aimed at each target of a byte order."""
    for name, target in TARGETS.items():
        if target.order != order:
            continue
        jumps = [(jump, limit(name, key)) for key, jump in JUMPS.items() if jump[1].row is row]
        jumps += [(jump, EVERY) for jump in ROW_JUMPS.values() if jump[1].row is row]
        for jump, far in jumps:
            for forward in (True, False):
                title = f"{row.name} reach {'forward' if forward else 'backward'}"
                for _, *both in boundaries(name, jump, forward, far, title):
                    yield from (Case(found.unit.programs[0], target=name) for found in both)

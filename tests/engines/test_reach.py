"""Branches at the boundaries of their reach: the last distance that a form can hold, and the first that it cannot.

Every boundary up to 2 MiB is run; a million BPF instructions reach those. Boundaries beyond are the encoders' vectors'
business (tests/jit/vectors).
"""

from __future__ import annotations

from functools import cache
from math import gcd

import pytest

from bpf.isa import ROW, Insn, make
from bpf.plan import Unit
from bpf.program import Program, program
from emu.guest import Guest
from jit.encoding import Unencodable
from jit.ops import front
from jit.registry import TARGETS, backend
from jit.relax import relax
from vm.world import Input, Limits, World

NEAR = 2 << 20
SHORT = 64 << 10  # beyond this, one jump of each fixup kind is run
COSTLY = 256 << 10
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
JUMPS: dict[str, tuple[Insn, Insn]] = {  # what makes the jump taken, and the jump: together they use every fixup kind
    "branch": (make(ROW["mov64_imm"], 1, imm=5), make(ROW["jgt64_imm"], 1, imm=4)),
    "registers": (make(ROW["mov64_imm"], 1, imm=5), make(ROW["jeq64_reg"], 1, 1)),
    "zero": (make(ROW["mov64_imm"], 1, imm=0), make(ROW["jeq64_imm"], 1, imm=0)),
    "zero32": (make(ROW["mov64_imm"], 1, imm=5), make(ROW["jne32_imm"], 1, imm=0)),
    "bit": (make(ROW["mov64_imm"], 1, imm=4), make(ROW["jset64_imm"], 1, imm=4)),
    "bits": (make(ROW["mov64_imm"], 1, imm=4), make(ROW["jset32_imm"], 1, imm=12)),
    "goto": (make(ROW["mov64_imm"], 1, imm=4), make(ROW["gotol"])),
    "call": (make(ROW["mov64_imm"], 1, imm=4), make(ROW["call_local"])),
}


def _slots(insns: list[Insn]) -> list[Insn | None]:
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


def shape(name: str, jump: str, forward: bool, size: int) -> Program:
    """A program that goes over `size` bytes of padding one way, and returns 7 when it got where it should."""
    setup, branch = JUMPS[jump]
    body = _slots(pad(name, size))
    good, bad, leave = make(ROW["mov64_imm"], 0, imm=7), make(ROW["mov64_imm"], 0, imm=1), make(ROW["exit"])
    over = len(body)
    if jump == "call" and forward:
        slots = [setup, branch.with_distance(over + 2), leave, *body, leave, good, leave]
    elif jump == "call":
        back = branch.with_distance(-over - 4)
        slots = [setup, branch.with_distance(over + 4), leave, good, leave, *body, leave, back, leave]
    elif forward:
        slots = [setup, branch.with_distance(over + 2), bad, leave, *body, good, leave]
    else:
        start = make(ROW["gotol"], imm=over + 2)
        slots = [setup, start, good, leave, *body, branch.with_distance(-over - 3), bad, leave]
    return program(slots, order=TARGETS[name].order)


def aim(name: str, jump: str, forward: bool, distance: int) -> tuple[Compiled, int]:
    """The program whose branch goes exactly that far, and the padding that it takes."""
    size = max(distance - 32, 64)
    for _ in range(5):
        found = Compiled(name, shape(name, jump, forward, size), forward)
        if abs(found.distance) == distance:
            return found, size
        size += distance - abs(found.distance)
    raise AssertionError(f"{jump} on {name}: {distance} bytes cannot be hit, the nearest is {found.distance}")


def check(found: Compiled) -> None:
    """The program goes where it should."""
    outcome = Guest(found.unit, found.image, observe=False).run(Input(), World(), Limits())
    assert (outcome.status, outcome.r0) == ("done", 7), outcome.summary()


@cache
def first_of_its_kind(name: str, kind: str) -> str:
    """The first jump that leaves a fixup of that kind."""
    return next(jump for jump in JUMPS if Compiled(name, shape(name, jump, True, 64)).fixup.kind == kind)


@pytest.mark.parametrize("forward", [True, False], ids=["forward", "backward"])
@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("name", TARGETS)
def test_boundaries(name: str, jump: str, forward: bool) -> None:
    grain = gcd(*sizes(name))
    first = Compiled(name, shape(name, jump, forward, 64), forward)
    for index, form in enumerate(first.forms[:-1]):
        reach = form.high if forward else -form.low
        if reach > NEAR or (reach > SHORT and jump != first_of_its_kind(name, first.fixup.kind)):
            continue
        last = reach - reach % grain
        inside, size = aim(name, jump, forward, last)
        assert inside.fixup.form <= index, (form, inside.fixup.form)
        check(inside)
        outside = Compiled(name, shape(name, jump, forward, size + grain), forward)
        assert outside.fixup.form > index, (form, outside.fixup.form)
        check(outside)


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("name", TARGETS)
def test_a_form_reaches_as_far_as_its_encoding(name: str, jump: str) -> None:
    found = Compiled(name, shape(name, jump, True, 64))
    kind, args, compiler = found.fixup.kind, found.fixup.args, found.compiler
    step = gcd(*sizes(name))

    def holds(index: int, distance: int) -> bool:
        try:
            return len(compiler.encode_fixup(kind, args, index, distance)) == found.forms[index].size
        except Unencodable:
            return False

    for index, form in enumerate(found.forms[:-1]):
        low, high = -(-form.low // step) * step, form.high // step * step
        assert holds(index, low) and holds(index, high), form
        assert not holds(index, low - step) and not holds(index, high + step), form

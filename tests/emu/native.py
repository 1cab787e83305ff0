"""What the tests of the emulator share: native code by hand, programs by text, guests that run either."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from bpf.plan import DEFAULT_PLAN, PLANS, Plan, Unit
from bpf.program import Map, Program
from bpf.spec.conventions import PLAIN, Convention
from bpf.text import assemble
from emu.guest import Guest
from engines.base import Options
from engines.emulated import EmulatedPrepared
from engines.interpreter import InterpreterPrepared
from engines.registry import ENGINES
from jit.image import SourceMap
from jit.pipeline import compile_program
from jit.registry import TARGETS
from jit.target import Target
from vm.outcome import Outcome
from vm.world import Input, Limits, World

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
a_target = pytest.mark.parametrize(
    "target",
    [
        pytest.param(target, id=name, marks=[] if name == "s390x" else pytest.mark.deep)
        for name, target in TARGETS.items()
    ],
)
"""For what is slow and hardly differs: one of them by default."""
each_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))

MEMORY = bytes(range(256)) * 16
"""One page of data, all bytes of a kind."""

_FILE = Path(__file__).parent.parent / "data" / "emu" / "hostile.txt"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One line of the file of hostile code."""

    place: str
    target: str
    name: str
    text: str
    code: bytes


class _OneSlot(SourceMap):
    """All of the code belongs to slot 0."""

    offsets = [0]  # noqa: RUF012
    pcs = [0]  # noqa: RUF012

    def __init__(self) -> None:
        pass


@cache
def snippets() -> tuple[Snippet, ...]:
    """All of them."""
    found = []
    for number, line in enumerate(_FILE.read_text(encoding="utf-8").splitlines(), 1):
        if line and line[0] != "#":
            target, name, text, digits = line.split(" ; ")
            found.append(Snippet(f"{_FILE.name}:{number}", target, name, text, bytes.fromhex(digits)))
    return tuple(found)


def snippet(target: Target, name: str) -> Snippet:
    """The target's snippet of that name."""
    return next(one for one in snippets() if one.target == target.name and one.name == name)


def unit_of(text: str, order: str, plan: Plan = DEFAULT_PLAN, maps: tuple[Map, ...] = ()) -> Unit:
    """A unit of one program, its instructions separated by "; "."""
    return Unit((source(text, order),), maps=maps, plan=plan)


def source(text: str, order: str) -> Program:
    """A program by its text."""
    return assemble(text.replace("; ", "\n"), order=order)


def native(target: Target, code: bytes, plan: Plan = DEFAULT_PLAN, convention: Convention = PLAIN) -> Guest:
    """A guest of the program `exit` whose machine code is replaced."""
    unit = Unit((source("exit", target.order),), plan=plan, convention=convention)
    image = compile_program(unit, unit.programs[0], target)
    assert image.functions == (0,)
    return Guest(unit, replace(image, code=code, source_map=_OneSlot()), observe=False)


def run_native(target: Target, name: str, r1: int, plan: Plan = DEFAULT_PLAN, limits: Limits | None = None) -> Outcome:
    """Run a snippet with R1."""
    guest = native(target, snippet(target, name).code, plan)
    return guest.run(Input(memory=MEMORY, registers={1: r1}), World(), limits or Limits())


def emulated(unit: Unit, target: Target, *, observe: bool = False) -> EmulatedPrepared:
    """The unit compiled for a target."""
    engine = ENGINES[target.name]
    prepared = engine.prepare(unit, Options(observe=observe))
    assert isinstance(prepared, EmulatedPrepared)
    return prepared


def reference(unit: Unit) -> InterpreterPrepared:
    """The unit for the interpreter."""
    return InterpreterPrepared(unit)


GOOD = (
    "r6 = *(u64 *)(r1 + 8); r7 = r2; call 8; *(u64 *)(r10 - 8) = r6; r0 += r7; r1 = *(u64 *)(r10 - 8); r0 ^= r1; exit"
)


def assert_healthy(target: Target, plan: Plan = DEFAULT_PLAN) -> None:
    """The machine runs a good program: loads, stores, a helper call, callee-saved registers."""
    unit = unit_of(GOOD, target.order, plan)
    entry = Input(memory=MEMORY)
    expected = reference(unit).run(entry, World(), Limits())
    got = emulated(unit, target).run(entry, World(), Limits())
    assert (got.status, got.r0) == ("done", expected.r0), got.summary()

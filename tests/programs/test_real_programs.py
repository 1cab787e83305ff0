"""Every program of examples/programs, in both byte orders, on the interpreter, the six targets and the live kernel."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bpf.errors import NotHere, Refused
from bpf.object import Object
from bpf.plan import PLANS, Unit
from bpf.spec.conventions import TYPED
from crossbpf import cc
from engines import ENGINES, Engine, Options, engine
from engines.linux import LinuxEngine
from engines.surroundings import judge
from runtime.permission import CAPABILITIES
from runtime.types import of_section
from runtime.verifying import subject
from tests.engines.test_map_programs import HOST
from tests.live_kernel import live
from tests.programs.body import BODY
from tests.programs.said import Run, S
from verifier import Options as VerifierOptions
from verifier import verify
from vm.cpus import Schedule
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

FOLDER = Path(__file__).parents[2] / "examples" / "programs"
END = {"little": "bpfel", "big": "bpfeb"}
each_program = pytest.mark.parametrize("name", BODY)
each_order = pytest.mark.parametrize("order", END)


@cache
def unit_of(name: str, order: str, plan: str = "high") -> Unit:
    return made((FOLDER / f"{name}.{END[order]}.o").read_bytes(), name, plan)


def made(data: bytes, name: str, plan: str = "high") -> Unit:
    """An object's first program with those that it may tail-call."""
    opened = Object(data)
    programs = opened.programs(opened.choose(name=BODY[name].entry or None)[0])
    return Unit(programs, convention=TYPED[BODY[name].type], plan=PLANS[plan])


def plain(value: Any, order: str, size: int) -> Any:
    """A key or value as bytes."""
    if isinstance(value, tuple):
        return tuple(plain(one, order, size) for one in value)
    if isinstance(value, S):
        return value.bytes(order)
    return value.to_bytes(size, order) if isinstance(value, int) else value


def world_of(name: str, order: str) -> World:
    body, maps = BODY[name], {map_.name: map_ for map_ in unit_of(name, order).maps}
    found = {
        called: [
            (plain(key, order, maps[called].key_size), plain(value, order, maps[called].value_size))
            for key, value in contents
        ]
        for called, contents in body.elements.items()
    }
    return World(cpu=body.cpu, elements=found)  # type: ignore[arg-type]


def numbers(fields: Mapping[str, int | bytes], order: Any) -> dict[str, int]:
    return {name: int.from_bytes(value, order) if isinstance(value, bytes) else value for name, value in fields.items()}


def given(run: Run, order: str) -> Input:
    return Input(packet=run.packet, context=numbers(run.given, order))


def holds(outcome: Outcome, name: str, order: str) -> None:
    """The maps are as the body says."""
    assert outcome.maps is not None
    maps = {map_.name: map_ for map_ in unit_of(name, order).maps}
    for called, contents in BODY[name].maps.items():
        size = maps[called].value_size
        if isinstance(contents, tuple):
            assert outcome.maps[called] == plain(contents, order, size), called
        else:
            keys = {plain(key, order, maps[called].key_size): value for key, value in contents.items()}
            assert outcome.maps[called] == {key: plain(value, order, size) for key, value in keys.items()}, called


def as_said(outcome: Outcome, run: Run, order: str, number: int, live: bool = False) -> None:
    """A run gave what the body says."""
    assert outcome.status == "done", (number, outcome.summary())
    assert outcome.r0 & 0xFFFF_FFFF == run.r0, number
    if run.packet:
        assert outcome.packet == (run.packet if run.after is None else run.after), number
    shown = outcome.context or {}
    left = {name: value for name, value in numbers(run.left, order).items() if not live or name in shown}
    assert {name: shown[name] for name in left} == left, number


@cache
def expected(name: str, order: str, plan: str = "high") -> tuple[Outcome, ...]:
    """What the interpreter makes of the runs, which is as the body says."""
    world = world_of(name, order)
    prepared = ENGINES["interpreter"].prepare(unit_of(name, order, plan))
    outcomes = []
    for number, run in enumerate(BODY[name].runs):
        outcomes.append(prepared.run(given(run, order), world, Limits()))
        as_said(outcomes[-1], run, order, number)
        assert tuple(world.printed) == run.printed
        world.printed.clear()
    holds(outcomes[-1], name, order)
    for section, start in BODY[name].data.items():
        data = start.bytes(order)
        found = [state for called, state in world.maps.items() if called.endswith(section)]
        assert bytes(found[0].values[: len(data)]) == data, section
    return tuple(outcomes)


def runs_on(one: Engine, name: str, order: str, plan: str = "high") -> None:
    outcomes, world = expected(name, order, plan), world_of(name, order)
    prepared = one.prepare(unit_of(name, order, plan), Options(observe=True))
    for number, (run, mine) in enumerate(zip(BODY[name].runs, outcomes, strict=True)):
        world.printed.clear()
        found = difference(mine, prepared.run(given(run, order), world, Limits()))
        assert found.decided
        assert not found, (one.name, number, found.what)


def test_there_are_enough_of_many_kinds() -> None:
    assert {path.stem for path in FOLDER.glob("*.c")} == BODY.keys()
    assert {path.name for path in FOLDER.glob("*.o")} == {f"{name}.{end}.o" for name in BODY for end in END.values()}
    assert len(BODY) >= 25
    units = [unit_of(name, "little") for name in BODY]
    assert len({body.type for body in BODY.values()}) >= 20
    assert len({map_.kind for unit in units for map_ in unit.maps if not map_.is_data}) >= 16
    called = {
        insn.imm
        for unit in units
        for one in unit.programs
        for insn in one.insns
        if insn and insn.row.op == "call_helper"
    }
    assert len(called) >= 37
    for name, body in BODY.items():
        assert of_section(unit_of(name, "little").programs[0].section) == body.type, name


def test_the_document_has_them_all() -> None:
    text = (FOLDER.parents[1] / "docs" / "programs.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, re.MULTILINE)
    assert dict(rows) == {name: unit_of(name, "little").programs[0].section for name in BODY}
    assert f"has {len(BODY)} programs" in text


@each_order
@each_program
def test_a_program(name: str, order: str) -> None:
    for one in ENGINES.values():
        if order in one.abilities.orders:
            runs_on(one, name, order)


@pytest.mark.deep
@pytest.mark.parametrize("plan", [plan for plan in PLANS if plan != "high"])
@each_order
@each_program
def test_a_program_under_every_plan(name: str, order: str, plan: str) -> None:
    for one in ENGINES.values():
        if order in one.abilities.orders:
            runs_on(one, name, order, plan)


@each_program
def test_a_program_on_the_cpu(name: str) -> None:
    try:
        runs_on(engine("native"), name, sys.byteorder)
    except Refused as reason:
        pytest.skip(str(reason))


@live
@each_program
def test_a_program_on_the_live_kernel(name: str) -> None:
    """Return value, packet and maps of each run, from the world as it was before it."""
    body, world, kernel = BODY[name], world_of(name, sys.byteorder), LinuxEngine()
    unit = unit_of(name, sys.byteorder)
    reference = ENGINES["interpreter"].prepare(unit)
    said = []
    try:
        prepared = kernel.prepare(unit)
        for run in body.runs:
            before, entry = world.copy(), given(run, sys.byteorder)
            mine = reference.run(entry, world, Limits())
            outcome = prepared.run(entry, before.copy(), Limits())
            found = judge(kernel, unit, mine, outcome, entry, before, Limits())
            assert not found, found.what
            if found.decided:
                as_said(outcome, run, sys.byteorder, len(said), live=True)
            said.append(found.why)
    except Refused as reason:
        said.append(str(reason))
    if body.live:
        assert any(body.live in words for words in said), said
    else:
        assert said == [""] * len(body.runs)


@each_program
@pytest.mark.parametrize("order", ["little", pytest.param("big", marks=pytest.mark.deep)])
def test_the_verifier_accepts_it(name: str, order: str) -> None:
    for program in unit_of(name, order).programs:
        verdict = verify(subject(program, BODY[name].type), VerifierOptions(frozenset(CAPABILITIES)))
        assert verdict.accepted, (program.name, verdict.message)


def compiled(name: str, order: str) -> bytes:
    try:
        cc.find()
    except NotHere as error:
        pytest.skip(str(error))
    return cc.compile_c(FOLDER / f"{name}.c", order, cflags=("-Wall", "-Wextra", "-Werror"))


@pytest.mark.parametrize(
    "name", [one if number % 12 == 0 else pytest.param(one, marks=pytest.mark.deep) for number, one in enumerate(BODY)]
)
@each_order
def test_the_source_says_what_the_object_does(name: str, order: str) -> None:
    prepared = ENGINES["interpreter"].prepare(made(compiled(name, order), name))
    world = world_of(name, order)
    for run, mine in zip(BODY[name].runs, expected(name, order), strict=True):
        world.printed.clear()
        assert not difference(mine, prepared.run(given(run, order), world, Limits()))


@pytest.mark.parametrize(
    "name", [one if number % 4 == 0 else pytest.param(one, marks=pytest.mark.deep) for number, one in enumerate(BODY)]
)
def test_two_cpus_agree_everywhere(name: str) -> None:
    """On two CPUs at once: the same race on a machine of each byte order, and here, as on the interpreter."""
    for order, target in (("little", "riscv64"), ("big", "s390x")):
        unit, entry = unit_of(name, order), given(BODY[name].runs[0], order)
        mine, *others = (
            engine(one)
            .prepare(unit)
            .run_cpus([entry] * 2, world_of(name, order), Limits(), Schedule(2, seed=len(name)))
            for one in ("interpreter", target, *(HOST if order == sys.byteorder else ()))
        )
        for other in others:
            for left, right in zip(mine, other, strict=True):
                found = difference(left, right, stack=False)
                assert found.decided
                assert not found, (name, order, found.what)

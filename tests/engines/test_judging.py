"""What counts as a difference when an engine does not end, breaks, or is only slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bpf.errors import Refused
from bpf.plan import Unit
from bpf.text import assemble
from engines import ENGINES
from engines.base import Abilities, Engine, Options, Prepared
from engines.compare import compare
from engines.judging import Judged, trial
from engines.surroundings import SOON
from vm.outcome import Outcome
from vm.world import Input, Limits, World

LIMIT = Outcome("limit")
FIVE = Outcome("done", 5)


class Told(Engine):
    """An engine that gives these outcomes, run by run, or raises them; `given` are the time limits it got."""

    name = "told"

    def __init__(self, *outcomes: Outcome | Exception, plans: bool = True) -> None:
        self.abilities = Abilities(frozenset({"little"}), plans, frozenset({"plain"}), frozenset(), native=True)
        self.outcomes = list(outcomes)
        self.given: list[float] = []

    def prepare(self, unit: Unit, options: Options | None = None) -> Prepared:
        return _Told(self)


class _Told(Prepared):
    def __init__(self, told: Told) -> None:
        self.told = told

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        world.printed.append("the world that is given is a copy")
        self.told.given.append(limits.seconds)
        outcome = self.told.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def trace(self, entry: Input, world: World, limits: Limits) -> Any:
        return iter(())


def tried(engine: Engine, text: str = "r0 = 5; exit", **options: Any) -> Judged:
    unit, world = Unit((assemble(text),)), World()
    limits = Limits(instructions=2 * SOON, seconds=0.25)
    expected = ENGINES["interpreter"].prepare(unit).run(Input(), World(), limits)
    judged = trial(engine, unit, expected, Input(), world, limits, **options)
    assert not world.printed
    return judged


def test_a_run_that_does_not_end_twice_is_a_difference() -> None:
    engine = Told(LIMIT, LIMIT)
    found = tried(engine).found
    assert found.what == "did not end within 1 s; the interpreter needed 2 instructions"
    assert found.decided
    assert engine.given == [0.25, 1.0]


def test_a_run_that_was_only_slow_is_judged_by_what_came_of_it() -> None:
    judged = tried(Told(LIMIT, FIVE))
    assert not judged.found
    assert judged.outcome is FIVE
    assert tried(Told(LIMIT, Outcome("done", 6))).found.what == "R0 is 0x6, expected 0x5"


def test_without_patience_once_is_enough() -> None:
    engine = Told(LIMIT)
    assert tried(engine, patience=1).found.what.startswith("did not end within 0.25 s")
    assert engine.given == [0.25]


def test_not_to_end_where_the_interpreter_faults_is_a_difference() -> None:
    assert tried(Told(LIMIT, LIMIT), "r1 = 0; r0 = *(u8 *)(r1 + 0); exit").found.what.startswith("did not end")


@pytest.mark.parametrize("text", ["again: goto again", f"r1 = {SOON}; again: r1 += -1; if r1 != 0 goto again; exit"])
def test_a_long_program_stays_undecided(text: str) -> None:
    """One that does not end at all, and one of twice as many instructions as every engine must do in time."""
    engine = Told(LIMIT)
    found = tried(engine, text).found
    assert (found.what, found.decided) == ("", False)
    assert engine.given == [0.25]


def test_where_surroundings_decide_nothing_is_said() -> None:
    found = tried(Told(LIMIT, LIMIT, plans=False), "r0 = *(u64 *)(r10 - 8); exit").found
    assert not found.decided
    assert "stack bytes" in found.why


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no such register"), "no such register"),
        (KeyError(5), "KeyError: 5"),
        (MemoryError(), "MemoryError: "),
        (RecursionError("too deep"), "RecursionError: too deep"),
    ],
)
def test_what_an_engine_raises_is_a_difference(error: Exception, words: str) -> None:
    judged = tried(Told(error))
    assert judged.found.what == f"breaks down: {words}"
    assert judged.outcome is None


@pytest.mark.parametrize("error", [Refused("no such helper"), KeyboardInterrupt()])
def test_what_is_no_fault_of_its_own_is_raised(error: Any) -> None:
    with pytest.raises(type(error)):
        tried(Told(error) if isinstance(error, Exception) else _Stopped())


class _Stopped(Told):
    def prepare(self, unit: Unit, options: Options | None = None) -> Prepared:
        raise KeyboardInterrupt


def rows(engine: Engine) -> Sequence[tuple[str, str]]:
    program = assemble("r0 = 5; exit")
    limits = Limits(seconds=0.25)
    found = compare(program.in_order, engines=[engine, ENGINES["arm64"]], limits=limits)
    return [(row.verdict, row.reason) for row in found]


def test_in_the_table_of_check() -> None:
    others = [("reference", ""), ("agrees", "")]
    hangs = ("differs", "did not end within 1 s; the interpreter needed 2 instructions")
    for engine, row in ((Told(LIMIT, LIMIT), hangs), (Told(KeyError(5)), ("differs", "breaks down: KeyError: 5"))):
        assert sorted(rows(engine)) == sorted([*others, row])

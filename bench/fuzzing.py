"""Fuzzing: programs a second on one core, and where the time goes. The campaign is the real one, in this process."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any
from unittest.mock import patch

from bench.measure import Cell, Table, clock, main
from engines import ENGINES, emulated, interpreter, judging
from fuzz import campaign as campaigns
from fuzz import oracles
from fuzz.campaign import campaign
from jit.registry import TARGETS

_ONCE = ("draw", "decode", "interpreter", "front end", "compare")

_PLACES: tuple[tuple[object, str, Callable[..., str]], ...] = (
    (campaigns, "draw", lambda *_, **__: "draw"),
    (campaigns, "draw_input", lambda *_, **__: "draw"),
    (oracles, "decode", lambda *_, **__: "decode"),
    (interpreter.InterpreterEngine, "prepare", lambda *_, **__: "interpreter"),
    (interpreter.InterpreterPrepared, "run", lambda *_, **__: "interpreter"),
    (emulated, "front", lambda *_, **__: "front end"),
    (emulated, "compile_front", lambda front, target, **_: f"compile {target.name}"),
    (emulated.EmulatedPrepared, "__init__", lambda self, unit, image, *_: f"run {image.target.name}"),
    (emulated.EmulatedPrepared, "run", lambda self, *_: f"run {self.image.target.name}"),
    (judging, "judge", lambda *_, **__: "compare"),
)
"""What is timed: where a function is looked up, its name, and the phase that a call belongs to. None calls another."""


class Phases(ExitStack):
    """Adds up the seconds of each phase while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        for owner, name, phase in _PLACES:
            self.enter_context(patch.object(owner, name, self._timed(getattr(owner, name), phase)))

    def _timed(self, function: Callable[..., Any], phase: Callable[..., str]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            begin = clock()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[phase(*arguments, **named)] += clock() - begin

        return call


def tables(quick: bool) -> list[Table]:
    """Microseconds a program, for each phase that is done once and for each target; then programs a second."""
    programs = 30 if quick else 3000
    engines = [ENGINES[name] for name in TARGETS]
    assert not any(progress.finding for progress in campaign(engines, programs=20, seed=1))  # sets the machines up
    begin = clock()
    findings = sum(progress.finding is not None for progress in campaign(engines, programs=programs))
    total = clock() - begin
    with Phases() as phases:
        begin = clock()
        list(campaign(engines, programs=programs))
        timed = clock() - begin
    seconds = phases.seconds
    shares = {name: seconds[name] for name in _ONCE}
    shares |= {f"{part} {name}": seconds[f"{part} {name}"] for part in ("compile", "run") for name in TARGETS}
    shares["the rest, timing too"] = timed - sum(shares.values())
    rows: list[list[Cell]] = [
        [name, share / programs * 1e6, 100 * share / timed] for name, share in sorted(shares.items(), key=_order)
    ]
    title = f"Fuzzing: {programs / total:.0f} programs a second on {len(engines)} targets, {findings} findings"
    note = (
        f"{programs} programs of seed 0, each in both byte orders, one core; the first line's figure is without timing"
    )
    return [Table(title, ["phase", "us a program", "percent"], rows, note)]


def _order(item: tuple[str, float]) -> tuple[bool, float]:
    """The rest last, else the dearest first."""
    return item[0].startswith("the rest"), -item[1]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))

"""Branches at the boundaries of their reach: the shorter form up to there, the longer one from there on, both run."""

from __future__ import annotations

from math import gcd

import pytest

from emu.guest import Guest
from fuzz.suite.reach import JUMPS, Compiled, boundaries, limit, shape, sizes
from jit.encoding import Unencodable
from jit.registry import TARGETS
from vm.world import Input, Limits, World


def check(found: Compiled) -> None:
    """The program goes where it should."""
    outcome = Guest(found.unit, found.image, observe=False).run(Input(), World(), Limits())
    assert (outcome.status, outcome.r0) == ("done", 7), outcome.summary()


@pytest.mark.parametrize("forward", [True, pytest.param(False, marks=pytest.mark.deep)], ids=["forward", "backward"])
@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("name", TARGETS)
def test_boundaries(name: str, jump: str, forward: bool) -> None:
    for index, inside, outside in boundaries(name, JUMPS[jump], forward, limit(name, jump)):
        assert inside.fixup.form <= index
        check(inside)
        assert outside.fixup.form > index
        check(outside)


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("name", TARGETS)
def test_a_form_reaches_as_far_as_its_encoding(name: str, jump: str) -> None:
    found = Compiled(name, shape(name, JUMPS[jump], True, 64))
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

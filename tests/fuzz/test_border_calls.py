"""Generated programs that call: decoding is total, and the live kernel says of each what is said here."""

from __future__ import annotations

from random import Random

import pytest

from fuzz import border_calls, genome
from fuzz.parity import logs, oracle
from runtime import verifying
from tests.verifier import live
from verifier import Options, Subject, verify


def subjects(seed: int, count: int, size: int) -> list[Subject]:
    """Programs as the verifier takes them."""
    random = Random(seed)
    drawn = (genome.draw(random, size) for _ in range(count))
    return [verifying.subject(border_calls.decode(genes, oracle.HOST), "sched_cls") for genes in drawn]


def test_decoding_is_total_and_the_same_each_time() -> None:
    random = Random(3)
    genes = [genome.draw(random, 20) for _ in range(100)]
    one, other = ([border_calls.decode(each).encode() for each in genes] for _ in range(2))
    assert one == other
    assert len(set(one)) > 90


def test_every_gesture_is_met() -> None:
    ops = {insn.row.op for seed in range(40) for insn in border_calls.decode((seed,) * 3).insns if insn}
    assert {"call_local", "func", "call_kfunc", "may_goto"} <= ops


def test_some_are_accepted_and_some_are_not() -> None:
    found = [verify(one, Options(log_level=0)).accepted for one in subjects(5, 60, 6)]
    assert 5 < sum(found) < 55


class TestTheLiveKernel:
    """Verdict, sentence and log."""

    pytestmark = live.needs_linux

    @pytest.mark.parametrize(("seed", "count", "size"), [(1, 60, 8), pytest.param(2, 600, 10, marks=pytest.mark.deep)])
    def test_the_same_is_said(self, seed: int, count: int, size: int) -> None:
        options = Options(log_level=2)
        for number, one in enumerate(subjects(seed, count, size)):
            kernel, found = oracle.ask(one, options), verify(one, options)
            assert (found.errno, found.message.split("\n")[-1]) == (kernel.errno, kernel.message), number
            if kernel.log.startswith("func#"):
                assert logs.first_difference(logs.read(kernel.log), logs.read(found.log)) < 0, number

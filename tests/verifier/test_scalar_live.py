"""The verifier's scalars are the live kernel's: what its log prints of registers is what ours are, in text."""

from __future__ import annotations

import os
import random

import pytest

from bpf.isa import Insn
from bpf.isa.wire import encode
from engines import syscall
from tests.live_kernel import live
from tests.verifier.scalar_programs import (
    ALU,
    BRANCHES,
    differences,
    forked,
    generate,
    read,
    stepped,
    stored,
    walk,
    warnings,
)
from tests.verifier.test_scalar import STEPS

pytestmark = live


def log_of(insns: list[Insn]) -> str:
    """The log of a program that is taken."""
    descriptor, log = syscall.load(encode(insns, "little"), log_level=syscall.LOG_STATES)
    os.close(descriptor)
    return log


@pytest.fixture(scope="module", autouse=True)
def _this_kernel() -> None:
    """Which deductions a kernel makes differs from release to release; these are of 6.18 as it is maintained."""
    if os.uname().machine != "x86_64" or not os.uname().release.startswith("6.18."):
        pytest.skip(f"the scalars are those of Linux 6.18 on x86_64, not {os.uname().release} on {os.uname().machine}")


def test_the_sentences_are_the_kernels() -> None:
    assert {steps: stored(log_of(stepped(steps))) for steps in STEPS} == STEPS


def compare(count: int, seed: int, steps: int) -> None:
    """So many programs, each row's turn coming round."""
    rows, rng = [*ALU, *BRANCHES], random.Random(seed)
    for n in range(count):
        insns, said = generate(rng, rows[n % len(rows)], steps), []
        ours, log = walk(insns, said), log_of(insns)
        found = differences(ours, read(log))
        assert not found, "\n".join([f"seed {seed}, program {n}", *found, log])
        warned = {*warnings(log)}
        assert {*said} <= warned if forked(ours) else {*said} == warned, (seed, n, said, warned)


def test_generated_programs() -> None:
    compare(2 * len([*ALU, *BRANCHES]), 1, 10)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("steps", [4, 12, 25])
def test_many_generated_programs(steps: int, seed: int) -> None:
    compare(4000, seed, steps)

"""Whole logs of level 2: kept as golden files, and line by line those of the live kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fuzz.parity import logs, oracle
from runtime.verifying import subject
from tests.verifier.live import needs_linux
from tests.verifier.logged import PROGRAMS, made
from verifier import Options, verify

KIND = "sched_cls"
EVERYTHING = Options(log_level=2)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_logs_stay_as_they_are(name: str, golden: Callable[[str, str], None]) -> None:
    verdict = verify(subject(made(name), KIND), EVERYTHING)
    answer = "accepted" if verdict.accepted else f"errno {verdict.errno} at {verdict.pc}: {verdict.message}"
    golden(f"verifier/{name}.log", f"{verdict.log}{answer}\n")


@pytest.mark.parametrize("name", sorted(PROGRAMS))
class TestLive:
    pytestmark = needs_linux

    def test_logs_are_linux_own(self, name: str) -> None:
        asked = subject(made(name), KIND)
        here, linux = verify(asked, EVERYTHING), oracle.ask(asked, EVERYTHING)
        assert here.errno == linux.errno
        assert logs.read(here.log).lines == logs.read(linux.log).lines


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_lower_level_says_less_and_decides_the_same(level: int) -> None:
    for name in PROGRAMS:
        asked = subject(made(name), KIND)
        full, less = verify(asked, EVERYTHING), verify(asked, Options(log_level=level))
        assert (less.accepted, less.errno, less.message, less.processed) == (
            full.accepted, full.errno, full.message, full.processed,
        )  # fmt: skip
        assert len(less.log) <= len(full.log)
        assert level or not less.log or less.message in less.log

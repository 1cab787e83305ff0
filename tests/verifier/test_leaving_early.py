"""Functions that are left in their middle: a tail call that is taken, a packet load that fails."""

from __future__ import annotations

import pytest

from fuzz.parity import logs, oracle
from tests.verifier import programs
from tests.verifier.live import needs_linux
from tests.verifier.programs import FUNCTION, MAPS, PROGRAMS, TYPES
from verifier import Options, verify
from verifier.subject import Subject

TAIL_CALL = f"18:2:1:0:{PROGRAMS} 0 b7:3 85:0:0:0:12"
CHECKED = "bf:6:1 61:7:6:76 61:8:6:80 bf:2:7 07:2:0:0:8 2d:2:8:"  # R7 has 8 bytes, or a jump
LOAD = "79:0:7"


def program(words: str, second: int = 0) -> Subject:
    """A sched_cls program; second: where its second function starts."""
    types = {0: FUNCTION, second: FUNCTION} if second else {}
    return programs.subject(words, "sched_cls", maps=MAPS, btf=TYPES, types=types)


TABLE = {
    "a program that goes on was not left": (program(f"{CHECKED}6 bf:1:6 {TAIL_CALL} {LOAD} b7 95"), 0, ""),
    "nor was a function": (
        program(f"85:0:1:0:2 b7 95 {CHECKED}6 bf:1:6 {TAIL_CALL} {LOAD} b7 95", 3), 0, "",
    ),
    "its caller may see another packet": (
        program(f"{CHECKED}3 bf:1:6 85:0:1:0:3 {LOAD} b7 95 {TAIL_CALL} b7 95", 11),
        13, "R7 invalid mem access 'scalar'",
    ),
    "its result is any number": (
        program(f"85:0:1:0:4 15:0:0:1:7 61:0:9 b7 95 {TAIL_CALL} b7:0:0:0:7 95", 5), 13, "R9 !read_ok",
    ),
    "a failed load gives its caller 0": (
        program("85:0:1:0:4 55:0:0:1 bf:0:9 b7 95 bf:6:1 20 b7:0:0:0:1 95", 5), 13, "R9 !read_ok",
    ),
    "and nothing else": (program("85:0:1:0:4 15:0:0:1 15:0:0:0:1 b7 95 bf:6:1 20 b7:0:0:0:1 95", 5), 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_verdicts(name: str) -> None:
    """Errno and sentence."""
    subject, errno, message = TABLE[name]
    verdict = verify(subject, Options())
    assert (verdict.errno, verdict.message) == (errno, message)


class TestLive:
    """The same of the live kernel."""

    pytestmark = needs_linux

    @pytest.mark.parametrize("name", TABLE)
    def test_it_says_the_same(self, name: str) -> None:
        """Verdict, and the whole log of level 2."""
        subject, errno, message = TABLE[name]
        said = oracle.ask(subject, Options(), level=2)
        assert (said.errno, said.message) == (errno, message)
        assert logs.read(said.log).lines == logs.read(verify(subject, Options(log_level=2)).log).lines

"""Programs that nobody meant get an answer with a reason: no traceback, no hang; and Linux's, where it can be asked."""

from __future__ import annotations

import sys
import time
from random import Random

import pytest

from fuzz import garbage
from fuzz.parity import oracle
from tests.verifier.live import needs_linux
from verifier import Options, verify
from verifier.options import ALL

PROCESSED = 20_000
CAPS = (ALL, frozenset({"CAP_BPF", "CAP_NET_ADMIN"}), frozenset[str]())
SECONDS = 30.0  # of the processor, for one program: a hang takes longer
EPERM, E2BIG, SLOT = 1, 7, 8
_UNPRIVILEGED = frozenset({"socket_filter", "cgroup_skb"})


def answer(number: int) -> str:
    """What is wrong with the answer to a program."""
    made = garbage.subject(Random(f"garbage:{number}"))
    options = Options(log_level=number % 3, processed=PROCESSED, caps=CAPS[number % 7 % 3])
    start = time.process_time()
    verdict = verify(made, options)
    if time.process_time() - start > SECONDS:
        return f"program {number} takes {time.process_time() - start:.1f} s"
    if verdict.accepted:
        said = verdict.errno or verdict.message
        return f"program {number} is accepted, with {said!r}" if said else ""
    if not verdict.errno:
        return f"program {number} is refused with errno 0"
    if not verdict.message and not verdict.reason:
        return f"program {number} is refused with errno {verdict.errno} and no reason"
    return ""


def test_garbage_has_an_answer() -> None:
    assert not [wrong for number in range(500) if (wrong := answer(number))]


@pytest.mark.deep
def test_much_garbage_has_an_answer() -> None:
    assert not [wrong for number in range(100_000) if (wrong := answer(number))]


def live(numbers: range) -> tuple[int, list[str]]:
    """How many programs Linux was asked about, and those with another verdict here."""
    asked, other = 0, []
    for number in numbers:
        made = garbage.subject(Random(f"garbage:{number}"))
        if made.order != sys.byteorder:
            continue
        try:
            theirs = oracle.ask(made, Options(log_level=1))
        except OSError:  # a map that this kernel does not make
            continue
        asked += 1
        ours = verify(made, Options(log_level=0))
        if ours.accepted != (theirs.errno == 0):
            here = f"here {ours.errno} {ours.message!r}"
            other.append(f"program {number}: Linux {theirs.errno} {theirs.message!r}, {here}")
    return asked, other


class TestLive:
    """Against the live kernel."""

    pytestmark = needs_linux

    def test_some(self) -> None:
        asked, other = live(range(150))
        assert asked > 30
        assert len(other) <= asked // 50, other

    @pytest.mark.deep
    def test_many(self) -> None:
        asked, other = live(range(20_000))
        assert len(other) <= asked // 200, other

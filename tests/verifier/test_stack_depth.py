"""How deep calls go, in frames and bytes, as the live kernel counts them."""

from __future__ import annotations

import pytest

from fuzz.parity import oracle
from tests.verifier import programs
from tests.verifier.live import needs_linux
from tests.verifier.programs import FUNCTION, MAPS, PROGRAMS, TYPES
from verifier import stack_depth
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.structure import structure
from verifier.subject import Subject

TAIL_CALL = f"18:2:1:0:{PROGRAMS} 0 b7:3 85:0:0:0:12"


def chain(*sizes: int, kind: str = "socket_filter", tail: str = "") -> Subject:
    """A function that calls the next that calls the next; each uses so many bytes. tail: the last one's end."""
    words, starts, at = [], [], 0
    for number, size in enumerate(sizes):
        starts.append(at)
        body = [*([f"72:10:0:{-size}"] if size else []), "bf:6:1"]
        if number + 1 < len(sizes):
            body.append("85:0:1:0:2")  # behind its own end
        elif tail:
            body += tail.split()
        body += ["b7", "95"]
        words += body
        at += len(body)
    types = dict.fromkeys(starts, FUNCTION)
    return programs.subject(" ".join(words), kind, maps=MAPS, btf=TYPES, types=types)


TABLE = [
    (chain(512), (512,), 0, ""),
    (chain(500, 0), (500, 0), 0, ""),
    (chain(496, 16), (496, 16), 0, ""),
    (chain(496, 17), (496, 17), 13, "combined stack size of 2 calls is 528. Too large"),
    (chain(200, 8, 300), (200, 8, 300), 13, "combined stack size of 3 calls is 528. Too large"),
    (chain(256, 0, tail=TAIL_CALL), (256, 0), 13,
     "tail_calls are not allowed when call stack of previous frames is 256 bytes. Too large"),
    (chain(240, 0, tail=TAIL_CALL), (240, 0), 0, ""),
    (chain(512, 512, kind="kprobe"), (512, 512), 0, ""),
    (chain(512, 512, 48, kind="kprobe"), (512, 512, 48), 0, ""),
    (chain(512, 512, kind="kprobe", tail=TAIL_CALL), (512, 512), 13,
     "tail_calls are not allowed when call stack of previous frames is 512 bytes. Too large"),
    (chain(*[0] * 8), (0,) * 8, 0, ""),
]  # fmt: skip


def answer(subject: Subject, sizes: tuple[int, ...]) -> tuple[int, str]:
    """What is said of functions that use so much stack."""
    found = structure(subject, Options())
    for subprogram, size in zip(found.subprograms, sizes, strict=True):
        subprogram.stack = size
    try:
        stack_depth.check(found)
    except Rejection as refusal:
        return refusal.errno, refusal.message
    return 0, ""


@pytest.mark.parametrize(("subject", "sizes", "errno", "message"), TABLE)
def test_bytes(subject: Subject, sizes: tuple[int, ...], errno: int, message: str) -> None:
    """Stacks are rounded up to 16 bytes; tracing programs' functions of 64 and more may have one of their own."""
    assert answer(subject, sizes) == (errno, message)


def test_frames() -> None:
    """Eight, counting functions whose address is taken; calls are counted, not their number."""
    assert answer(chain(*[0] * 9), (0,) * 9) == (7, "the call stack of 8 frames is too deep !")


def test_what_runs_later_stands_alone() -> None:
    """An asynchronous callback's stack is not on top of its caller's."""
    words = "18:2:4:0:4 0 72:10:0:-500 b7 95 72:10:0:-100 b7 95"
    found = structure(programs.subject(words, btf=TYPES, types={0: FUNCTION, 5: FUNCTION}), Options())
    found.subprograms[0].stack, found.subprograms[1].stack = 500, 100
    with pytest.raises(Rejection, match="combined stack size of 2 calls is 624"):
        stack_depth.check(found)
    found.subprograms[1].callback = found.subprograms[1].asynchronous = True
    stack_depth.check(found)


def test_tail_calls_mark_their_callers() -> None:
    """Each function on the way to one."""
    found = structure(chain(0, 0, 0, tail=TAIL_CALL), Options())
    stack_depth.check(found)
    assert [part.tail_call_reachable for part in found.subprograms] == [True, True, True]


def test_many_ways_are_walked_once() -> None:
    """Seven layers of functions that each call all of the next, twice: 16^6 chains."""
    width, depth, size = 8, 7, 18
    words: list[str] = []
    for layer in range(depth):
        for _ in range(width if layer else 1):
            at = len(words)
            after = (1 + layer * width) * size
            callees = [after + one * size for one in range(width)] * 2 if layer + 1 < depth else []
            words += [f"85:0:1:0:{callee - at - index - 1}" for index, callee in enumerate(callees)]
            words += ["b7"] * (size - 1 - len(callees)) + ["95"]
    found = structure(programs.subject(" ".join(words)), Options())
    assert len(found.subprograms) == 1 + width * (depth - 1)
    stack_depth.check(found)


class TestLive:
    """The same of the live kernel."""

    pytestmark = needs_linux

    def test_it_says_the_same(self) -> None:
        """Whose walk finds these stacks."""
        for subject, _, errno, message in TABLE:
            said = oracle.ask(subject, Options())
            assert (said.errno, said.message) == (errno, message)

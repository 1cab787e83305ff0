"""Lines of the log that depend on more than an instruction: sources, prototypes, what was walked before."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bpf.object.btf import Btf, Kind, Param, Type
from bpf.program import Line
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from fuzz.parity import logs, oracle
from tests.verifier import programs
from tests.verifier.live import needs_linux
from verifier import Options, Subject, verify
from verifier.parts import NONE, Since, functions, part, together

ALL = Options(log_level=2)
_TYPES = (
    Type(Kind.TYPEDEF, "void"),
    Type(Kind.INT, "int", 4, encoding=1, bits=32),
    Type(Kind.FUNC_PROTO, "", type=1),
    Type(Kind.FUNC_PROTO, "", type=1, params=(Param("a", 1),)),
    Type(Kind.FUNC, "main", type=2, linkage=1),
)


def _made(text: str, kind: str = "socket_filter") -> Subject:
    """A program of global functions that take a number, but for the first."""
    program = assemble(text.replace(";", "\n"))
    starts = [function.start for function in program.functions if function.start]
    types = Btf((*_TYPES, *(Type(Kind.FUNC, f"g{start}", type=3, linkage=1) for start in starts)))
    numbers = {start: len(_TYPES) + at for at, start in enumerate(starts)}
    return Subject(program.encode(), "little", PROGRAM_TYPES[kind], btf=types, types={0: len(_TYPES) - 1} | numbers)


# Sources ---------------------------------------------------------------------------------------------


_A, _B = Line("dir/one.c", 3, "a"), Line("dir/one.c", 4, "b")
_SOURCES = [
    ({0: _A, 2: _B}, "a0 b2"),  # what waited goes on at 3, which is of line 4 too
    ({0: _A, 1: replace(_A, text="c"), 2: _B, 4: _B}, "a0 b2"),  # another column of one line
    ({0: _A, 2: Line("two.c", 3, "c")}, "a0 c2"),
    ({0: _A, 2: replace(_A, file="one.c", text="c")}, "a0 c2"),  # two files of one name
    ({0: _A, 4: _B}, "a0 b4 a3 b4"),  # into the middle of line 3
    ({0: _A, 3: _B, 5: _A}, "a0 b3 a5 b3 a5"),
    ({2: _B}, "b2"),
    ({}, ""),
]
_BRANCHED = "call 7; if r0 > 3 goto +1; r0 = 1; r0 += 1; r0 += 0; exit"
_SOURCE = re.compile(r"^; (\w) @ (?:one|two).c:\d\n(\d+): \(", re.MULTILINE)


@pytest.mark.parametrize(("lines", "expected"), _SOURCES)
def test_a_source_line_is_shown_where_another_is_reached(lines: dict[int, Line], expected: str) -> None:
    log = verify(replace(_made(_BRANCHED), lines=lines), ALL).log
    assert " ".join(text + pc for text, pc in _SOURCE.findall(log)) == expected


def test_a_global_function_shows_its_first_line_again() -> None:
    made = replace(_made("r1 = 0; call local g; r0 = 0; exit; g: r0 = 0; exit"), lines={0: _A})
    assert " ".join(text + pc for text, pc in _SOURCE.findall(verify(made, ALL).log)) == "a0 a4"


# What was walked before ------------------------------------------------------------------------------

_G = "r0 = 0; if r1 == 0 goto +1; r0 = r1; r0 &= 7; exit"
_MANY = "; ".join(f"if r1 == {at} goto +0" for at in range(9))
_COUNTED = {
    "one after a few": f"r1 = 0; call local g; r0 = 0; exit; g: {_G}",
    "one after some": f"r1 = 0; {_MANY}; call local g; r0 = 0; exit; g: {_G}",
    "one that stores none": "r1 = 0; call local g; r1 = 1; call local h; r0 = 0; exit; g: r0 = 3; exit; "
                            f"h: r0 = 0; r0 += 1; {_G}",
    "a store at once": f"r1 = 0; r2 = r1; r2 = r1; r2 = r1; r2 = r1; call local g; r0 = 0; exit; g: {_G}",
    "a store at once, a jump too few": f"r1 = 0; r2 = r1; r2 = r1; r2 = r1; r2 = r1; r1 = 3; call local g; "
                                       f"r0 = 0; exit; g: call local h; r0 = 3; exit; h: {_G}",
    "in the order of their numbers":
        "r1 = 0; call local g; r1 = 0; call local k; r0 = 0; exit; g: r1 = 1; call local h; r0 = 0; exit; "
        f"h: {_G}; k: {_G}",
    "and again from the first": f"r1 = 0; call local h; r0 = 0; exit; g: {_G}; h: r1 = 1; call local g; r0 = 0; exit",
    "branches in all": f"call 7; r1 = r0; {_MANY}; call local g; r0 = 0; exit; g: {_MANY}; call local h; r0 = 0; exit; "
                       f"h: {_MANY}; r0 = 0; {_G}",
}  # fmt: skip
_BEFORE = [NONE, Since(2, 6), Since(2, 7), Since(1, 30), Since(1000, 1000)]


@pytest.mark.parametrize("text", _COUNTED.values(), ids=_COUNTED)
@pytest.mark.parametrize("level", [1, 2])
def test_parts_are_what_one_walk_gives_whatever_is_guessed(text: str, level: int) -> None:
    made, options = _made(text), Options(log_level=level)
    whole = verify(made, options)
    for since in _BEFORE:
        assert together(made, options, lambda subprog, since=since: part(made, options, subprog, since)) == whole


@pytest.mark.parametrize("text", _COUNTED.values(), ids=_COUNTED)
def test_what_small_parts_start_with_is_known(text: str) -> None:
    made = _made(text)
    found = {subprog: part(made, ALL, subprog, since) for subprog, since in functions(made, ALL).items()}
    assert verify(made, ALL) == together(made, ALL, found.__getitem__)
    assert all(
        one.opening.same(since) for one, since in zip(found.values(), functions(made, ALL).values(), strict=True)
    )


# Malformed instructions ------------------------------------------------------------------------------

_MALFORMED = {
    "may_goto, another register": "b7:1:0:0:1 b7 e5:0:6:-1:-1 b7 95",
    "may_goto, 32 bits": "b7:1:0:0:1 b7 e6:0:0:-1 b7 95",
    "may_goto, a number": "b7:1:0:0:1 b7 e5:0:0:-1:-1 b7 95",
    "kernel function 0": "b7 85:0:2 bf:0:1 b7 95",
    "kernel function 0, dead": "b7 15:0:0:1 85:0:2 95",
    "kernel function 0, and another fault": "b7 85:0:2 bf:0:7 95",
    "kernel function 0, on a way of two": "85:0:0:0:7 15:0:0:1 85:0:2 b7 95",
    "kernel function 0, in a stack that is too large": "7a:10:0:-512 b7 85:0:2 85:0:1:0:1 95 7a:10:0:-512 b7 95",
}
_NO_NUMBER = "invalid kernel function call not eliminated in verifier pass"


@pytest.mark.parametrize(("name", "errno", "message", "pc", "processed"), [
    ("kernel function 0", 22, _NO_NUMBER, 1, 5),
    ("kernel function 0, dead", 0, "", -1, 3),
    ("kernel function 0, and another fault", 13, "R7 !read_ok", 2, 3),
    ("kernel function 0, in a stack that is too large", 13, "combined stack size of 2 calls is 1024. Too large", -1, 8),
    ("may_goto, another register", 22, "invalid may_goto imm -1", 2, 3),
])  # fmt: skip
def test_a_malformed_instruction(name: str, errno: int, message: str, pc: int, processed: int) -> None:
    made = programs.subject(_MALFORMED[name])
    verdict = verify(made, ALL)
    assert (verdict.errno, verdict.message, verdict.pc, verdict.processed) == (errno, message, pc, processed)
    joined = together(made, ALL, lambda subprog: part(made, ALL, subprog))
    assert joined is None if "function 0" in name else joined == verdict
    assert "SCC enter" not in verdict.log


# Live ------------------------------------------------------------------------------------------------


class TestLive:
    pytestmark = needs_linux

    @pytest.mark.parametrize("text", _COUNTED.values(), ids=_COUNTED)
    @pytest.mark.parametrize("frequent", [False, True])
    def test_counting_goes_on_in_global_functions(self, text: str, frequent: bool) -> None:
        self._same(_made(text), replace(ALL, frequent=frequent))

    @pytest.mark.parametrize("words", _MALFORMED.values(), ids=_MALFORMED)
    def test_malformed_instructions(self, words: str) -> None:
        self._same(programs.subject(words), ALL)

    @staticmethod
    def _same(made: Subject, options: Options) -> None:
        here, linux = verify(made, options), oracle.ask(made, options)
        assert (here.errno, here.processed) == (linux.errno, linux.processed)
        assert logs.read(here.log).lines == logs.read(linux.log).lines
        figures = [line for line in linux.log.splitlines() if line.startswith("processed ")]
        assert here.log.splitlines()[-1] == figures[-1].rstrip()

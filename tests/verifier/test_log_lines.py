"""Lines of the log that depend on more than an instruction: sources, prototypes, what was walked before."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bpf.object.btf import Btf, Kind, Member, Param, Type
from bpf.program import Line
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from fuzz.parity import logs, oracle
from tests.verifier import kfunc_programs, programs
from tests.verifier.live import needs_linux
from verifier import Options, Subject, kfunc_kinds, verify
from verifier.log import Log
from verifier.parts import NONE, Since, functions, part, together
from verifier.verify import prepare

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


# Prototypes ------------------------------------------------------------------------------------------

_MORE = (
    Type(Kind.TYPEDEF, "void"),
    Type(Kind.INT, "int", 4, encoding=1, bits=32),
    Type(Kind.INT, "long", 8, encoding=1, bits=64),
    Type(Kind.STRUCT, "xdp_md", 4, members=(Member("data", 1, 0),)),
    Type(Kind.STRUCT, "bpf_dynptr", 16, members=(Member("a", 2, 0), Member("b", 2, 64))),
    Type(Kind.FWD, "unknown_to_all"),
    Type(Kind.STRUCT, "found_nowhere", 4, members=(Member("a", 1, 0),)),
    Type(Kind.ARRAY, "", type=1, index=1, count=3),
    Type(Kind.FUNC_PROTO, "", type=1),
    Type(Kind.STRUCT, "bpf_raw_tracepoint_args", 8, members=(Member("a", 2, 0),)),
    Type(Kind.STRUCT, "xdp_buff", 4, members=(Member("a", 1, 0),)),
)
_NUMBER_OF = {
    "void": 0, "int": 1, "long": 2, "context": 3, "dynptr": 4, "forward": 5, "nowhere": 6, "array": 7, "function": 8,
    "raw": 9, "buff": 10,
}  # fmt: skip
_NO_SIZE = "arg#0 reference type('{}') size cannot be determined: -22"
_COMBINATION = "arg#0 has invalid combination of tags"
_MAIN = [
    ("xdp", "context*", "", ""),
    ("xdp", "void*", "", _NO_SIZE.format("UNKNOWN ")),
    ("syscall", "void*", "", _NO_SIZE.format("UNKNOWN ")),
    ("kprobe", "void*", "", _NO_SIZE.format("UNKNOWN ")),
    ("raw_tracepoint", "void*", "", _NO_SIZE.format("UNKNOWN ")),
    ("raw_tracepoint", "raw*", "", ""),
    ("raw_tracepoint", "long*", "ctx", ""),
    ("raw_tracepoint", "int*", "ctx", "arg#0 should be `struct bpf_raw_tracepoint_args *`"),
    ("tracepoint", "int*", "ctx", ""),
    ("xdp", "forward*", "", _NO_SIZE.format("FWD unknown_to_all")),
    ("xdp", "array*", "", ""),
    ("xdp", "function*", "", _NO_SIZE.format("FUNC_PROTO ")),
    ("xdp", "long*", "", ""),
    ("xdp", "buff*", "nonnull", _COMBINATION),  # another name of the context
    ("xdp", "context*", "nonnull", _COMBINATION),
    ("xdp", "dynptr*", "nonnull", _COMBINATION),
    ("xdp", "int*", "nullable", _COMBINATION),
    ("xdp", "nowhere*", "trusted nonnull", _COMBINATION),
    ("xdp", "nowhere*", "trusted nullable", "arg#0 reference type('STRUCT found_nowhere') has no matches"),
    ("xdp", "nowhere*", "untrusted", "arg#0 reference type('STRUCT found_nowhere') has no matches"),
    ("xdp", "int*", "untrusted arena", "arg#0 untrusted cannot be combined with any other tags"),
    ("xdp", "int*", "arena nonnull", "arg#0 arena cannot be combined with any other tags"),
    ("xdp", "int*", "ctx", "arg#0 should be `struct xdp_md *`"),
    ("syscall", "int*", "ctx", ""),
    ("xdp", "void*", "ctx", ""),
    ("xdp", "int*", "frob", "arg#0 has unsupported set of tags"),
    ("xdp", "int", "nonnull", "arg#0 has pointer tag, but is not a pointer type"),
    ("xdp", "nowhere", "", "Arg#0 type STRUCT in f() is not supported yet."),
]


def _typed(text: str, kind: str, one: str, tags: str = "", linkage: int = 1) -> Subject:
    """A program whose last function takes something."""
    program = assemble(text.replace(";", "\n"))
    last = len(_MORE)
    made = [Type(Kind.PTR, "", type=_NUMBER_OF[one.rstrip("*")]), Type(Kind.PTR, "", type=3)]
    taken = last if one.endswith("*") else _NUMBER_OF[one]
    made += [
        Type(Kind.FUNC_PROTO, "", type=1, params=(Param("a", taken),)),
        Type(Kind.FUNC_PROTO, "", type=1, params=(Param("a", last + 1),)),
        Type(Kind.FUNC, "f", type=last + 2, linkage=linkage), Type(Kind.FUNC, "main", type=last + 3, linkage=1),
    ]  # fmt: skip
    made += [Type(Kind.DECL_TAG, f"arg:{tag}", type=last + 4, component=0) for tag in tags.split()]
    starts = sorted({0} | {function.start for function in program.functions})
    types = {start: last + (4 if start == starts[-1] else 5) for start in starts}
    btf, sleeps = Btf((*_MORE, *made)), kind == "syscall"
    return Subject(program.encode(), "little", PROGRAM_TYPES[kind], btf=btf, types=types, sleepable=sleeps)


_END = "r0 = 0; exit"


def _between(log: str, first: str, behind: str) -> str:
    """The lines after one and before another."""
    return log.partition(f"{first}\n")[2].partition(behind)[0].rstrip("\n")


@pytest.mark.parametrize(("kind", "one", "tags", "said"), _MAIN)
def test_what_is_wrong_with_the_type_of_a_program_is_said(kind: str, one: str, tags: str, said: str) -> None:
    verdict = verify(_typed(_END, kind, one, tags), ALL)
    assert verdict.accepted
    assert _between(verdict.log, "  1: 0......... (95) exit", "0: R1=ctx()").strip() == said


def test_nothing_is_said_of_a_static_program_but_tags() -> None:
    said = [verify(_typed(_END, "xdp", "void*", tags, linkage=0), ALL).log for tags in ("", "ctx")]
    assert ["arg#0" in log for log in said] == [False, True]
    assert "arg#0 type tag is not supported in static functions" in said[1]


_TWICE = "{0}call local f; {1}call local f; r0 = 0; exit; f: r0 = 0; exit"
_STATIC = [
    ("int", "", "", "r1 = 3; ", "R1 is not a scalar"),
    ("int", "", "r1 = 3; ", "r1 = 4; ", ""),
    ("context*", "", "r6 = r1; r1 = r10; ", "r1 = r6; ", "arg#0 expects pointer to ctx"),
    ("context*", "", "r6 = r1; r1 += 8; ", "r1 = r6; ", "dereference of modified ctx ptr R1 off=8 disallowed"),
    ("dynptr*", "", "", "r1 = 0; ", "arg#0 expected pointer to stack or const struct bpf_dynptr"),
    ("int*", "", "r1 = 3; ", "r1 = 3; ", ""),
    ("int*", "nonnull", "", "r1 = 3; ", "arg#0 type tag is not supported in static functions"),
]


@pytest.mark.parametrize(("one", "tags", "first", "second", "said"), _STATIC)
def test_what_is_wrong_with_a_static_functions_argument_is_said_once(
    one: str, tags: str, first: str, second: str, said: str
) -> None:
    verdict = verify(_typed(_TWICE.format(first, second), "xdp", one, tags, linkage=0), ALL)
    assert verdict.accepted
    found = [line for line in verdict.log.splitlines() if re.match(r"arg#|R1 is|dereference", line)]
    assert found == [said] * bool(said)


def test_parts_that_call_one_static_function_say_it_once() -> None:
    g = "g: r1 = r10; call local f; r0 = 0; exit"
    made = _typed(f"r1 = r10; call local f; r1 = 1; call local g; {_END}; {g}; f: {_END}", "xdp", "int", linkage=0)
    assert made.btf is not None
    number = len(made.btf)
    more = (Type(Kind.FUNC_PROTO, "", type=1, params=(Param("a", 1),)), Type(Kind.FUNC, "g", type=number, linkage=1))
    types = {**made.types, sorted(made.types)[1]: number + 1}
    made = replace(made, btf=Btf((*made.btf.types, *more)), types=types)
    whole = verify(made, ALL)
    assert whole.log.splitlines().count("R1 is not a scalar") == 1
    assert together(made, ALL, lambda subprog: part(made, ALL, subprog)) == whole


_GLOBAL = [
    ("context*", "", "r1 += 8; ", 13, "dereference of modified ctx ptr R1 off=8 disallowed"),
    ("int*", "", "r1 += 8; ", 13, "dereference of modified ctx ptr R1 off=8 disallowed"),
    ("int*", "", "r1 = r10; r1 += -4; *(u32 *)(r1 + 0) = 0; ", 0, ""),
    ("int*", "untrusted", "r1 = 7; ", 0, ""),
    ("void*", "untrusted", "", 0, ""),
    ("nowhere*", "trusted", "", 2, "arg#0 reference type('STRUCT found_nowhere') has no matches"),
    ("dynptr*", "", "", 22, "arg#0 expected pointer to stack or const struct bpf_dynptr"),
    ("dynptr*", "", "r1 = r10; r1 += -16; ", 22, "Expected an initialized dynptr as arg #0"),
    ("int*", "frob", "r1 = 7; ", 95, "arg#0 has unsupported set of tags"),
    ("int*", "ctx", "", 22, "arg#0 should be `struct xdp_md *`"),
]
_ONCE = "{0}call local f; r0 = 0; exit; f: r0 = 0; exit"


@pytest.mark.parametrize(("one", "tags", "before", "errno", "said"), _GLOBAL)
def test_arguments_of_global_functions(one: str, tags: str, before: str, errno: int, said: str) -> None:
    verdict = verify(_typed(_ONCE.format(before), "xdp", one, tags), ALL)
    assert verdict.errno == errno
    assert verdict.message.split("\nCaller")[0].split("\n")[-1] == said


def test_structures_that_are_nested_too_deep() -> None:
    types = [Type(Kind.TYPEDEF, "void"), Type(Kind.INT, "int", 4, encoding=1, bits=32)]
    types += [Type(Kind.STRUCT, f"s{at}", 4, members=(Member("a", at + 1, 0),)) for at in range(5)]
    for number, said in ((5, []), (6, ["max struct nesting depth exceeded"])):
        log = Log()
        env = prepare(_made(_END), ALL, log)
        assert kfunc_kinds.plain_struct(env, Btf(tuple(types)), number) is not said
        assert log.lines == said


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

    @pytest.mark.parametrize(("kind", "one", "tags"), [entry[:3] for entry in _MAIN])
    def test_types_of_programs(self, kind: str, one: str, tags: str) -> None:
        for linkage in (0, 1):
            self._same(_typed(_END, kind, one, tags, linkage), ALL)

    @pytest.mark.parametrize(("one", "tags", "first", "second"), [entry[:4] for entry in _STATIC])
    def test_arguments_of_static_functions(self, one: str, tags: str, first: str, second: str) -> None:
        self._same(_typed(_TWICE.format(first, second), "xdp", one, tags, linkage=0), ALL)

    @pytest.mark.parametrize(("one", "tags", "before"), [entry[:3] for entry in _GLOBAL])
    def test_arguments_of_global_functions(self, one: str, tags: str, before: str) -> None:
        self._same(_typed(_ONCE.format(before), "xdp", one, tags), ALL)

    @pytest.mark.parametrize("kind", ["xdp", "sched_cls"])
    def test_structures_that_are_nested_too_deep(self, kind: str) -> None:
        self._same(kfunc_programs.subject(kind, "r1 = r10; r2 = 0; call @bpf_ct_change_timeout; r0 = 0; exit"), ALL)

    @staticmethod
    def _same(made: Subject, options: Options) -> None:
        here, linux = verify(made, options), oracle.ask(made, options)
        assert (here.errno, here.processed) == (linux.errno, linux.processed)
        assert logs.read(here.log).lines == logs.read(linux.log).lines
        figures = [line for line in linux.log.splitlines() if line.startswith("processed ")]
        assert here.log.splitlines()[-1] == figures[-1].rstrip()

"""Programs that were accepted once and may not be, each beside one like it that may; the live kernel says the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpf.object.btf import Btf, Kind, Member, Param, Type
from bpf.program import Map
from bpf.spec.maps import INNER_MAP
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from fuzz.parity import oracle
from tests.verifier.live import needs_linux
from verifier import Options, Subject, verify
from verifier.parts import part, together

VALUES = Map("values", "array", 4, 64, 1)
INNER = Map("inner", "array", 4, 64, 1)
_BRANCHES = "; ".join(["if r0 == 100 goto +0"] * 3 + ["r3 = 1"] * 8)
_SOON = "; ".join(["if r7 == 100 goto +0"] * 3 + ["r9 = 1"] * 8)  # enough for a state to be stored behind it

# A caller that stores nothing itself: one function writes its slot, another reads it.
_CALLERS_SLOT = """
    r6 = map_value[fd:0][0]; r7 = *(u32 *)(r6 + 0); if r7 == 0 goto other
    r1 = r10; r1 += -8; r2 = r6; call local write; {soon}; goto join
    other: r1 = r10; r1 += -8; r2 = {second}; call local write; {soon}
    join: r1 = r10; r1 += -8; call local read; r0 = 0; exit
    write: *(u64 *)(r1 + 0) = r2; r0 = 0; exit
    read: r2 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r2 + 0); exit
"""
# An atomic writes a slot whole; the store behind it does not.
_BEHIND_ATOMIC = """
    r7 = *(u32 *)(r1 + 0); r6 = map_value[fd:0][0]; r1 = 0; *(u64 *)(r10 - 8) = r1; r3 = 0; if r7 == 0 goto other
    lock *(u64 *)(r10 - 8) += r3; {soon}; goto join
    other: *(u64 *)(r10 - 8) = {second}; {soon}
    join: *(u64 *)(r6 + 8) = r3; r4 = *(u64 *)(r10 - 8); *(u64 *)(r6 + 16) = r4; r0 = 0; exit
"""
# Numbers that lie apart by a constant do on both ways, which is no equality.
_APART = """
    r6 = map_value[fd:0][0]; r7 = *(u32 *)(r6 + 0); r8 = *(u32 *)(r6 + 4); if r8 == 0 goto other
    r1 = r7; r2 = r7; r1 += 4; r2 += {apart}; r3 = r7; goto join
    other: r7 = *(u32 *)(r6 + 8); r1 = r7; r2 = r7; r1 += 4; r2 += {apart}; r3 = r7
    join: if r1 > 20 goto out; if r1 < 4 goto out; r6 += r2; r0 = *(u8 *)(r6 + 0)
    out: r0 = 0; exit
"""
# More numbers are equal than are followed: the seventh is the source of the comparison.
_SEVENTH = """
    r6 = r1; call 7; r7 = r0; r8 = r0; *(u64 *)(r10 - 16) = r0; if r7 < r8 goto out; r1 = r0; if r8 > 8 goto out
    if r7 > 8 goto bad; r1 = *(u64 *)(r10 - 16)
    out: r0 = 0; exit
    bad: r0 = {load}; r0 = 0; exit
"""
_LOOKUP = "*(u32 *)(r10 - 4) = 0; r1 = map[fd:0]; r2 = r10; r2 += -4; call 1; "
# What is equal to a pointer that is not null is one of its kind: a map, where it was found in a map of maps.
_EQUAL = _LOOKUP + "if r0 == r10 goto +2; r0 = 0; exit; r1 = r0; {use}; r0 = 0; exit"
_SNPRINTF = """
    r1 = 0; *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 16) = r1; *(u64 *)(r10 - 24) = r1; r1 = r10; r1 += -24; r2 = 8
    r3 = map_value[fd:0][0]; r4 = r10; r4 += -16; r5 = {size}; call 165; r0 = 0; exit
"""


def _format(text: bytes) -> Map:
    return Map("format", "array", 4, 64, 1, readonly=True, initial=text)


def _outer(inner: Map) -> Map:
    return Map("outer", "array_of_maps", 4, 4, 1, inner=inner)


def _second(text: str, second: str) -> str:
    return text.format(soon=_SOON, second=second)


NOBODY = Options(frozenset())
CASES = [
    ("a callee's slot", _second(_CALLERS_SLOT, "r6"), VALUES, Options(), ""),
    ("a callee's slot", _second(_CALLERS_SLOT, "100"), VALUES, Options(), "R2 invalid mem access 'scalar'"),
    ("behind an atomic", _second(_BEHIND_ATOMIC, "r3"), VALUES, NOBODY, ""),
    ("behind an atomic", _second(_BEHIND_ATOMIC, "r6"), VALUES, NOBODY, "R4 leaks addr into map"),
    ("apart", _APART.format(apart=40), VALUES, Options(), ""),
    (
        "apart", _APART.format(apart=100_000), VALUES, Options(),
        "R6 min value is outside of the allowed memory range",
    ),
    ("the seventh", _SEVENTH.format(load="*(u32 *)(r6 + 0)"), VALUES, Options(), ""),
    (
        "the seventh", _SEVENTH.format(load="*(u64 *)(r6 - 8)"), VALUES, Options(),
        "invalid bpf_context access off=-8 size=8",
    ),
    ("equal", _EQUAL.format(use="r2 = r10; r2 += -4; call 1"), _outer(INNER), Options(), ""),
    ("any key", f"{_LOOKUP}r0 = *(u32 *)(r0 + 0); r0 = 0; exit", INNER, Options(), ""),
    (
        "any key", f"{_LOOKUP}r0 = *(u32 *)(r0 + 0); r0 = 0; exit", replace(INNER, flags=INNER_MAP), Options(),
        "R0 invalid mem access 'map_value_or_null'",
    ),
    ("format", _SNPRINTF.format(size=16), _format(b"%d %5llx%%"), Options(), ""),
    ("format", _SNPRINTF.format(size=8), _format(b"%pI4%ps%%"), Options(), "Invalid format string"),
    ("format", _SNPRINTF.format(size=16), _format(b"%d %Q"), Options(), "Invalid format string"),
    ("format", _SNPRINTF.format(size=16), _format(b"%pi5"), Options(), "Invalid format string"),
    ("format", _SNPRINTF.format(size=16), _format(b"%s%sx"), Options(), "Invalid format string"),
]  # fmt: skip


def _wire(text: str, order: str = "little") -> bytes:
    return assemble(text.replace(";", "\n")).encode(order)


def _subject(text: str, map_: Map) -> Subject:
    return Subject(_wire(text), "little", PROGRAM_TYPES["socket_filter"], maps=(map_,))


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(("what", "text", "map_", "options", "sentence"), CASES)
def test_it_may_or_may_not(what: str, text: str, map_: Map, options: Options, sentence: str, merge: bool) -> None:
    verdict = verify(_subject(text, map_), replace(options, merge=merge))
    assert (verdict.accepted, verdict.message.splitlines()[-1:]) == (not sentence, [sentence] if sentence else [])


@pytest.mark.parametrize(("what", "text", "map_", "options", "sentence"), [one for one in CASES if one[3].caps])
class TestLive:
    pytestmark = needs_linux

    def test_linux_says_so(self, what: str, text: str, map_: Map, options: Options, sentence: str) -> None:
        answer = oracle.ask(_subject(text, map_), options)
        assert (answer.errno == 0, answer.message) == (not sentence, sentence)


def test_numbers_of_a_format_are_whole() -> None:
    assert verify(_subject(_SNPRINTF.format(size=12), _format(b"%d"))).errno == 22


@pytest.mark.parametrize(("order", "low", "high"), [("little", -8, -4), ("big", -4, -8)])
def test_half_of_a_spilled_number_is_the_half_that_lies_there(order: str, low: int, high: int) -> None:
    text = "*(u64 *)(r10 - 8) = 1; r2 = *(u32 *)(r10 - {}); if r2 == 1 goto +1; exit; r0 = 0; exit"
    for off, accepted in ((low, True), (high, False)):
        code = _wire(text.format(-off), order)
        verdict = verify(Subject(code, order, PROGRAM_TYPES["socket_filter"]))
        assert verdict.accepted is accepted  # known to be 1: the exit without a result is never reached


_TYPES = Btf((
    Type(Kind.TYPEDEF, "void"),
    Type(Kind.INT, "int", 4, encoding=1, bits=32),
    Type(Kind.FUNC_PROTO, "", type=1),
    Type(Kind.FUNC, "main", type=2, linkage=1),
    Type(Kind.FUNC_PROTO, "", type=0, params=(Param("a", 1),)),
    Type(Kind.FUNC, "nothing", type=4, linkage=1),
))  # fmt: skip


def _global() -> Subject:
    code = _wire("r1 = 1; call local f; r0 = 0; exit; f: r0 = 0; exit")
    return Subject(code, "little", PROGRAM_TYPES["socket_filter"], btf=_TYPES, types={0: 3, 4: 5})


def test_a_global_function_gives_a_number() -> None:
    verdict = verify(_global())
    assert verdict.errno == 22
    assert "Global function nothing() doesn't return scalar. Only those are supported." in verdict.message


def _reader(given: str, *tags: str) -> Subject:
    """A global function that takes memory of eight bytes and reads it: at once where it is tagged as never null."""
    look = "" if "nonnull" in tags else "if r1 == 0 goto +1; "
    program = assemble(f"{given}; call local f; r0 = 0; exit; f: {look}r0 = *(u64 *)(r1 + 0); r0 = 0; exit")
    types = (
        *_TYPES.types, Type(Kind.INT, "long", 8, bits=64), Type(Kind.PTR, "", type=6),
        Type(Kind.FUNC_PROTO, "", type=1, params=(Param("a", 7),)), Type(Kind.FUNC, "reads", type=8, linkage=1),
        *(Type(Kind.DECL_TAG, f"arg:{tag}", type=9, component=0) for tag in tags),
    )  # fmt: skip
    starts = {0: 3, program.functions[1].start: 9}
    return Subject(program.encode("little"), "little", PROGRAM_TYPES["socket_filter"], btf=Btf(types), types=starts)


_OR_FIVE = f"call 7; r6 = r0; call 7; r7 = r0; r1 = 5; if r7 == 77 goto +1; r1 = 0; {_SOON.replace('r7', 'r6')}"


@pytest.mark.parametrize("given", ["r1 = 0", "call 7; r1 = r0; r1 &= 0"])
def test_null_is_not_given_where_it_is_never_looked_for(given: str) -> None:
    """Linux 6.18 accepts it, and the function reads through null."""
    said = "arg#0 is expected to be non-NULL\nCaller passes invalid args into func#1 ('reads')"
    verdict = verify(_reader(given, "nonnull"))
    assert (verdict.errno, verdict.message) == (22, said)
    assert verify(_reader(given)).accepted


def test_a_number_is_not_null_because_another_path_has_null() -> None:
    """Linux 6.18 accepts it: the null is not marked precise, and covers the 5 that the function then reads through."""
    assert verify(_reader(_OR_FIVE)).errno == 22


_READER = (
    ("r1 += 8", (), 13, "dereference of modified ctx ptr R1 off=8 disallowed"),
    ("r1 = r10; r1 += -8", ("nonnull",), 0, ""),
    ("r1 = r10; r1 += -8", ("nullable",), 22, "arg#0 has invalid combination of tags"),
    ("r1 = 5", ("nonnull",), 22, "R1 type=scalar expected=fp"),
)


@pytest.mark.parametrize(("given", "tags", "errno", "said"), _READER)
def test_memory_of_a_global_function(given: str, tags: tuple[str, ...], errno: int, said: str) -> None:
    verdict = verify(_reader(given, *tags))
    assert (verdict.errno, verdict.message.split("\n")[0]) == (errno, said)


class TestGlobalLive:
    pytestmark = needs_linux

    def test_a_global_function_gives_a_number(self) -> None:
        answer = oracle.ask(_global(), Options())
        assert answer.errno == 22
        assert "doesn't return scalar" in answer.log

    def test_memory_of_a_global_function(self) -> None:
        for given, tags, errno, said in _READER:
            answer = oracle.ask(_reader(given, *tags), Options())
            assert answer.errno == errno
            assert said in answer.log


# Types that lie ------------------------------------------------------------------------------------------


def _numbered(number: int) -> Subject:
    return replace(_global(), types={0: 3, 4: number})


LIES = [6, 1, 0, 1 << 30]


@pytest.mark.parametrize("number", LIES)
def test_a_functions_type_is_a_function(number: int) -> None:
    verdict = verify(_numbered(number))
    assert (verdict.errno, verdict.message) == (22, f"invalid type id {number} in func info")


@pytest.mark.parametrize("number", LIES)
class TestLiesLive:
    pytestmark = needs_linux

    def test_a_functions_type_is_a_function(self, number: int) -> None:
        answer = oracle.ask(_numbered(number), Options())
        assert answer.errno == 22
        assert answer.message.startswith(f"invalid type id {number} in func info")


@pytest.mark.parametrize("element", [1, 2])
def test_a_value_may_be_an_array_of_arrays_of_arrays(element: int) -> None:
    types = [
        Type(Kind.TYPEDEF, "void"), Type(Kind.INT, "char", 1, encoding=1, bits=8),
        Type(Kind.STRUCT, "bpf_spin_lock", 4, members=(Member("val", 1, 0),)),
    ]  # fmt: skip
    for number in (element, 3, 4, 5, 6):
        types.append(Type(Kind.ARRAY, "", type=number, count=64))
    many = Map("many", "array", 4, 1 << 24, 1, value_type=7)
    code = _wire("r1 = map_value[fd:0][0]; r0 = *(u8 *)(r1 + 1); exit")
    verdict = verify(Subject(code, "little", PROGRAM_TYPES["sched_cls"], maps=(many,), btf=Btf(tuple(types))))
    assert verdict.accepted is (element == 1)  # the other value is all locks


# Functions on their own ----------------------------------------------------------------------------------


def _timed_twice() -> Subject:
    """The program and a global function, which start a timer with the same callback."""
    start = "r1 = map_value[fd:0][0]; r2 = func[late]; call 170"
    end = "r0 = 0; exit"
    code = f"{start}; r1 = 1; call local g; {end}; g: {start}; {end}; late: call 7; {_BRANCHES}; {end}"
    types = Btf((
        Type(Kind.TYPEDEF, "void"), Type(Kind.INT, "int", 4, encoding=1, bits=32), Type(Kind.INT, "long", 8, bits=64),
        Type(Kind.FUNC_PROTO, "", type=1, params=(Param("a", 1),)), Type(Kind.FUNC, "main", type=3, linkage=1),
        Type(Kind.FUNC, "g", type=3, linkage=1), Type(Kind.FUNC, "late", type=3, linkage=0),
        Type(Kind.STRUCT, "bpf_timer", 16, members=(Member("a", 2, 0), Member("b", 2, 64))),
        Type(Kind.STRUCT, "timed", 16, members=(Member("timer", 7, 0),)),
    ))  # fmt: skip
    timed = Map("timed", "array", 4, 16, 1, timer=0, value_type=8)
    program = assemble(code.replace(";", "\n"))
    starts = {function.start: 4 + at for at, function in enumerate(program.functions)}
    return Subject(program.encode(), "little", PROGRAM_TYPES["sched_cls"], maps=(timed,), btf=types, types=starts)


def test_a_callback_of_two_functions_is_walked_for_each() -> None:
    made, options = _timed_twice(), Options()
    whole = verify(made, options)
    assert whole.accepted
    assert together(made, options, lambda subprog: part(made, options, subprog)) == whole


_BEHIND_THE_END = """
    r6 = *(u32 *)(r1 + 76); r7 = *(u32 *)(r1 + 80); r6 += 20; if r6 > r7 goto short; r0 = 0; exit
    short: {back}; if r6 <= r7 goto there; r0 = 0; exit
    there: r0 = *(u64 *)(r6 + 4096); r0 = 0; exit
"""


@pytest.mark.parametrize("back", ["r6 -= 16", "r6 += -16", "r2 = 16; r6 -= r2"])
def test_a_pointer_behind_the_packets_end_may_come_back(back: str) -> None:
    """Linux 6.18 takes the way for dead, and accepts what stands there."""
    lines = _BEHIND_THE_END.format(back=back).replace(";", "\n")
    code = assemble("\n".join(line.strip() for line in lines.splitlines() if line.strip())).encode()
    verdict = verify(Subject(code, "little", PROGRAM_TYPES["sched_cls"]))
    assert verdict.message.splitlines()[-1] == "R6 offset is outside of the packet"

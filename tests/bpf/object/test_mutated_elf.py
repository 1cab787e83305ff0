"""A damaged object is one error of ours or a program, never an exception of the library below, and never a hang."""

from __future__ import annotations

from elfs import NAMES, ORDERS, Surgeon, example
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from bpf.errors import BadObject, Refused
from bpf.object import load

OBJECTS = {(name, order): example(name, order) for name in NAMES for order in ORDERS}
SECTIONS = (".text", ".rel.text", ".rodata", ".symtab", ".strtab", ".debug_line", ".rel.debug_line", ".BTF", ".BTF.ext")
EDGES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def check(data: bytes) -> None:
    """Load, and hold the loader to its word."""
    try:
        programs = load(data, file="x.o")
    except (BadObject, Refused) as error:
        said = str(error)
    else:
        event("a program")
        assert programs
        for program in programs:
            assert len(program.encode()) == 8 * len(program)
        return
    event("an error")
    assert said.startswith("x.o: ")
    assert "\n" not in said


@given(
    st.sampled_from(sorted(OBJECTS)),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_overwritten(which: tuple[str, str], patches: list[tuple[int, bytes]]) -> None:
    data = bytearray(OBJECTS[which])
    for at, patch in patches:
        at %= len(data)
        data[at : at + len(patch)] = patch
    check(bytes(data))


@given(
    st.sampled_from(sorted(OBJECTS)), st.sampled_from(SECTIONS), st.sampled_from(sorted(Surgeon.SECTION)),
    st.sampled_from(EDGES) | st.integers(0, 4096),
)  # fmt: skip
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_section_headers_changed(which: tuple[str, str], section: str, field: str, value: int) -> None:
    surgeon = Surgeon(OBJECTS[which])
    try:
        surgeon.section(section, field, value & ((1 << 8 * (4 if surgeon.SECTION[field][1] == "I" else 8)) - 1))
    except KeyError:
        return  # this object has no such section
    check(bytes(surgeon.data))


@given(
    st.sampled_from(sorted(OBJECTS)), st.sampled_from(SECTIONS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)  # fmt: skip
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_contents_changed(which: tuple[str, str], section: str, patches: list[tuple[int, int]]) -> None:
    surgeon = Surgeon(OBJECTS[which])
    try:
        for at, byte in patches:
            surgeon.content(section, at, bytes((byte,)))
    except KeyError:
        return
    check(bytes(surgeon.data))


@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_garbage(tail: bytes) -> None:
    check(tail)
    check(b"\x7fELF\x02\x01\x01" + tail)

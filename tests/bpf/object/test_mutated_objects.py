"""Damaged objects with maps, types, CO-RE and externs: one line of ours or a program, whatever the damage.

`--hypothesis-profile=deep` draws 24,000 in all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

from elfs import ORDERS, Surgeon, built
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from bpf.errors import CrossbpfError
from bpf.object import Object, link
from bpf.object.btf_c import c_header
from bpf.object.btf_raw import json_records, raw_lines
from bpf.object.btf_wire import decode, encode
from bpf.object.parts import raw_types
from bpf.object.reader import read

NAMES = ("maps", "old_maps", "data", "externs", "core", "link_a", "types")
SECTIONS = (".BTF", ".BTF.ext", ".maps", "maps", ".rel.maps", ".rel.BTF", ".rel.BTF.ext", "xdp", "syscall", ".relxdp",
            ".relsyscall", ".rel.maps", ".symtab", ".strtab", "license", "version", ".data", ".rodata")  # fmt: skip
EDGES = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0xFF, 0x100, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
EXAMPLES = 4_000 if settings().max_examples >= 2000 else 100
CONFIGURATION: dict[str, int | str] = {
    "LINUX_KERNEL_VERSION": 1, "CONFIG_SMP": "y", "CONFIG_MODULES": "y", "CONFIG_DEFAULT_HOSTNAME": "x",
}  # fmt: skip

thorough = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
which = st.tuples(st.sampled_from(NAMES), st.sampled_from(ORDERS))


@cache
def sizes(name: str, order: str) -> dict[str, int]:
    """The sections of an object that there are, with their sizes in the file."""
    surgeon = Surgeon(built(name, order))
    found = {}
    for section in SECTIONS:
        try:
            found[section] = surgeon.get(surgeon._section(section) + 32, "Q")
        except KeyError:
            continue
    return found


def said(action: Callable[[], object]) -> None:
    """Do it, and hold an error to its word."""
    try:
        action()
    except CrossbpfError as error:
        event(type(error).__name__)
        assert str(error).isprintable()
        assert error.message
    else:
        event("fine")


def everything(data: bytes, order: str) -> None:
    """All that may be asked of an object."""
    target = raw_types(built("core_target", order))

    def whole() -> None:
        opened = Object(data, target=target, kconfig=CONFIGURATION)
        for entry in opened.entries:
            said(lambda entry=entry: [program.encode() for program in opened.programs(entry)])  # type: ignore[misc]
        said(lambda: opened.maps)

    said(whole)
    said(lambda: Object(link([("a.o", data), ("b.o", built("link_b", order))])).maps)


def dumps(data: bytes) -> None:
    """All that may be asked of types."""

    def whole() -> None:
        types = raw_types(data)
        assert decode(encode(types)).types == types.types
        for line in raw_lines(types):
            assert line.replace("\t", "").isprintable()
        json_records(types)
        said(lambda: c_header(types))

    said(whole)


@given(which, st.data())
@thorough
def test_words_of_a_section_changed(which: tuple[str, str], data: st.DataObject) -> None:
    name, order = which
    surgeon = Surgeon(built(name, order))
    content = bytearray(surgeon.data)
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(sorted(sizes(name, order))))
        size = sizes(name, order)[section]
        at = 4 * data.draw(st.integers(0, max(size // 4 - 1, 0)))
        value = data.draw(st.sampled_from(EDGES) | st.integers(0, 64) | st.integers(0, 0xFFFFFFFF))
        start = surgeon.get(surgeon._section(section) + 24, "Q") + at
        content[start : start + 4] = struct.pack(surgeon.mark + "I", value)
    everything(bytes(content), order)


@given(which, st.data())
@thorough
def test_bits_flipped(which: tuple[str, str], data: st.DataObject) -> None:
    name, order = which
    content = bytearray(built(name, order))
    for _ in range(data.draw(st.integers(1, 4))):
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << bit % 8
    everything(bytes(content), order)


@given(which, st.sampled_from(SECTIONS), st.sampled_from(sorted(Surgeon.SECTION)), st.sampled_from(EDGES))
@thorough
def test_section_headers_changed(which: tuple[str, str], section: str, field: str, value: int) -> None:
    name, order = which
    surgeon = Surgeon(built(name, order))
    if section in sizes(name, order):
        everything(surgeon.section(section, field, value), order)


@cache
def bare(name: str, order: str) -> bytes:
    section = read(built(name, order)).named(".BTF")
    assert section is not None
    return section.data


@given(which, st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from(EDGES) | st.integers(0, 80)), max_size=4))
@thorough
def test_types_changed(which: tuple[str, str], patches: list[tuple[int, int]]) -> None:
    data = bytearray(bare(*which))
    for at, value in patches:
        place = 4 * (at % (len(data) // 4))
        struct.pack_into("<I" if which[1] == "little" else ">I", data, place, value)
    dumps(bytes(data))


@given(which, st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
@thorough
def test_bytes_of_types_changed(which: tuple[str, str], patches: list[tuple[int, int]]) -> None:
    data = bytearray(bare(*which))
    for at, value in patches:
        data[at % len(data)] = value
    dumps(bytes(data))


@given(st.binary(max_size=200), st.sampled_from((b"\x9f\xeb\x01\x00", b"\xeb\x9f\x01\x00", b"")))
@thorough
def test_garbage(tail: bytes, head: bytes) -> None:
    dumps(head + tail)

"""Captures: both byte orders, both clocks, and one line for every way to be broken."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.errors import BadInput
from crossbpf.pcap import read, write


def capture(frames: list[bytes], order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for frame in frames:
        out += struct.pack(order + "IIII", 1, 2, len(frame), len(frame) + 9) + frame
    return out


@given(frames=st.lists(st.binary(max_size=40), max_size=5))
def test_what_is_written_is_read(frames: list[bytes]) -> None:
    assert read(write(frames)) == frames


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_byte_orders_and_clocks(order: str, magic: int) -> None:
    assert read(capture([b"one", b"", b"three"], order, magic)) == [b"one", b"", b"three"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is no pcap file"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "pcapng files are converted"),
        (capture([])[:20], "ends inside the file header"),
        (capture([], link=101), "link type 101"),
        (capture([b"abc"])[:-1], "packet 0: has 2 of 3 bytes"),
        (capture([b"abc"])[:30], "packet 0: ends inside a record header"),
    ],
)
def test_what_is_broken(data: bytes, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        read(data, "some.pcap")


@given(data=st.binary(max_size=80))
def test_nothing_else_is_raised(data: bytes) -> None:
    for start in (b"", capture([b"abc"])):
        with contextlib.suppress(BadInput):
            read(start + data)

"""The examples compute what their source says, in both byte orders, and what Python computes for other input."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from functools import cache

import pytest
from elfs import EXAMPLES, NAMES, ORDERS, example
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.object import load
from bpf.plan import PLANS, Unit
from vm.interpreter import Interpreter
from vm.world import Input, Limits, World

EXPECTED = json.loads((EXAMPLES / "expected.json").read_text())
INPUTS = st.binary(max_size=150)


@cache
def interpreter(name: str, order: str, plan: str = "high") -> Interpreter:
    (program,) = load(example(name, order))
    return Interpreter(Unit((program,), plan=PLANS[plan]), program)


def result(name: str, order: str, memory: bytes, plan: str = "high") -> int:
    outcome = interpreter(name, order, plan).run(Input(memory=memory), World(), Limits())
    assert outcome.status == "done", outcome.summary()
    return outcome.r0


def memory_of(name: str) -> bytes:
    file = EXPECTED[name]["memory"]
    return bytes.fromhex((EXAMPLES / file).read_text()) if file else b""


def test_every_example_has_an_answer_and_a_source() -> None:
    assert sorted(EXPECTED) == NAMES
    assert len(NAMES) >= 8
    for record in EXPECTED.values():
        assert record["source"]
        assert record["result"].startswith("0x")


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_published_answer(name: str, order: str, plan: str) -> None:
    assert result(name, order, memory_of(name), plan) == int(EXPECTED[name]["result"], 16)


@pytest.mark.parametrize("order", ORDERS)
class TestAgainstPython:
    @given(INPUTS)
    @settings(max_examples=30, deadline=None)
    def test_crc32(self, order: str, data: bytes) -> None:
        assert result("crc32", order, data) == zlib.crc32(data)

    @given(INPUTS)
    @settings(max_examples=30, deadline=None)
    def test_sha256(self, order: str, data: bytes) -> None:
        assert result("sha256", order, data) == int.from_bytes(hashlib.sha256(data).digest()[:8], "big")

    @given(INPUTS)
    @settings(max_examples=30, deadline=None)
    def test_checksum(self, order: str, data: bytes) -> None:
        padded = data + bytes(len(data) % 2)
        total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        assert result("checksum", order, data) == total ^ 0xFFFF

    @given(st.lists(st.integers(0, 0xFFFF), max_size=40))
    @settings(max_examples=30, deadline=None)
    def test_sort(self, order: str, keys: list[int]) -> None:
        data, expected = (struct.pack(f">{len(keys)}H", *order_of) for order_of in (keys, sorted(keys)))
        fnv = 0xCBF29CE484222325
        for byte in expected:
            fnv = (fnv ^ byte) * 0x100000001B3 % (1 << 64)
        assert result("sort", order, data) == fnv

    @given(st.integers(0, 93))
    @settings(max_examples=30, deadline=None)
    def test_fibonacci(self, order: str, n: int) -> None:
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        assert result("fibonacci", order, bytes((n,))) == a

    @given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
    @settings(max_examples=30, deadline=None)
    def test_matrix(self, order: str, points: list[int]) -> None:
        determinant = 1
        for j, high in enumerate(points):
            for low in points[:j]:
                determinant *= high - low
        assert result("matrix", order, bytes(points)) == determinant % (1 << 64)

    @given(INPUTS)
    @settings(max_examples=30, deadline=None)
    def test_packet_takes_no_garbage(self, order: str, data: bytes) -> None:
        frame = memory_of("packet")
        assert result("packet", order, data) == 0
        assert result("packet", order, frame + data) == int(EXPECTED["packet"]["result"], 16)  # padding after the frame

    @given(st.integers(14 * 8, 62 * 8 - 1))
    @settings(max_examples=60, deadline=None)
    def test_packet_with_one_bit_flipped(self, order: str, bit: int) -> None:
        frame = bytearray(memory_of("packet"))
        frame[bit // 8] ^= 1 << bit % 8
        assert result("packet", order, bytes(frame)) == 0

"""The verifier's scalars in the kernel's words: what its log says of R1 after a few steps, and how numbers are printed.

The sentences are those of the live kernel, Linux 6.18 on x86_64; tests/verifier/test_scalar_live.py asks it again.
"""

# ruff: noqa: E501 -- the kernel's lines

from __future__ import annotations

import pytest

from bpf.isa import Kind
from tests.verifier.scalar_programs import operand, step
from verifier import arith, branch
from verifier.scalar import UNKNOWN, Scalar, constant, settled, within
from verifier.scalar_text import scalar_text, signed_text, unsigned_text
from verifier.tnum import U64

STEPS: dict[str, str] = {
    "and64 0xff": "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))",
    "and64 0xff; sub64 16": "scalar(smin=smin32=-16,smax=smax32=239)",
    "and64 0xff; sub64 16; mul64 -3": "scalar(smin=smin32=-717,smax=smax32=48)",
    "and64 0xff; sub64 16; mul32 -3": "scalar(smin=0,smax=umax=0xffffffff,smin32=-717,smax32=48,var_off=(0x0; 0xffffffff))",
    "and32 0xff00": "scalar(smin=smin32=0,smax=umax=smax32=umax32=0xff00,var_off=(0x0; 0xff00))",
    "and64 0xff; neg64": "scalar(smin=smin32=-255,smax=smax32=0)",
    "and64 0xff; neg32": "scalar(smin=0,smax=umax=0xffffffff,smin32=-255,smax32=0,var_off=(0x0; 0xffffffff))",
    "and64 0xff; add32 -1": "scalar(smin=0,smax=umax=0xffffffff,smin32=-1,smax32=254,var_off=(0x0; 0xffffffff))",
    "or64 0xff": "scalar(smin=0x80000000000000ff,umin=umin32=255,smin32=0x800000ff,var_off=(0xff; 0xffffffffffffff00))",
    "or32 -256": "scalar(smin=umin=umin32=0xffffff00,smax=umax=0xffffffff,smin32=-256,smax32=-1,var_off=(0xffffff00; 0xff))",
    "or64 -256; xor64 3": "scalar(smin=smin32=-256,smax=smax32=-1,umin=0xffffffffffffff00,umin32=0xffffff00,var_off=(0xffffffffffffff00; 0xff))",
    "and64 0xf0; xor32 0xff": "scalar(smin=umin=smin32=umin32=15,smax=umax=smax32=umax32=255,var_off=(0xf; 0xf0))",
    "and64 0xff; mul64 10": "scalar(smin=smin32=0,smax=umax=smax32=umax32=2550,var_off=(0x0; 0xffe))",
    "mul64 4": "scalar(smax=0x7ffffffffffffffc,umax=0xfffffffffffffffc,smax32=0x7ffffffc,umax32=0xfffffffc,var_off=(0x0; 0xfffffffffffffffc))",
    "mul64 6": "scalar(smax=0x7ffffffffffffffe,umax=0xfffffffffffffffe,smax32=0x7ffffffe,umax32=0xfffffffe,var_off=(0x0; 0xfffffffffffffffe))",
    "and64 0xff; lsh64 8": "scalar(smin=smin32=0,smax=umax=smax32=umax32=0xff00,var_off=(0x0; 0xff00))",
    "lsh64 32; arsh64 32": "scalar(smin=0xffffffff80000000,smax=0x7fffffff)",
    "lsh64 32; rsh64 32": "scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))",
    "and64 0xff; lsh32 24": "scalar(smin=0,smax=umax=umax32=0xff000000,smax32=0x7f000000,var_off=(0x0; 0xff000000))",
    "lsh64 3": "scalar(smax=0x7ffffffffffffff8,umax=0xfffffffffffffff8,smax32=0x7ffffff8,umax32=0xfffffff8,var_off=(0x0; 0xfffffffffffffff8))",
    "rsh64 60": "scalar(smin=smin32=0,smax=umax=smax32=umax32=15,var_off=(0x0; 0xf))",
    "rsh32 28": "scalar(smin=smin32=0,smax=umax=smax32=umax32=15,var_off=(0x0; 0xf))",
    "arsh64 60": "scalar(smin=smin32=-8,smax=smax32=7)",
    "arsh32 28": "scalar(smin=0,smax=umax=0xffffffff,smin32=-8,smax32=7,var_off=(0x0; 0xffffffff))",
    "and64 0xff; div64 3": "scalar()",
    "and64 0xff; mod32 3": "scalar()",
    "and64 0xff; sdiv64 3": "scalar()",
    "and64 0xffff; bswap16": "scalar(smin=smin32=0,smax=umax=smax32=umax32=0xffff,var_off=(0x0; 0xffff))",
    "and64 0xff; bswap32": "scalar(smin=0,smax=umax=umax32=0xff000000,smax32=0x7f000000,var_off=(0x0; 0xff000000))",
    "and64 0xff; bswap64": "scalar(smax=0x7f00000000000000,umax=0xff00000000000000,smin32=0,smax32=umax32=0,var_off=(0x0; 0xff00000000000000))",
    "to_be32": "scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))",
    "to_le16": "scalar(smin=smin32=0,smax=umax=smax32=umax32=0xffff,var_off=(0x0; 0xffff))",
    "and64 0xff; mov32_reg": "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))",
    "mov32_reg": "scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))",
    "movsx8_64": "scalar(smin=smin32=-128,smax=smax32=127)",
    "movsx16_64": "scalar(smin=smin32=-32768,smax=smax32=32767)",
    "movsx32_64": "scalar(smin=0xffffffff80000000,smax=0x7fffffff)",
    "movsx8_32": "scalar(smin=0,smax=umax=0xffffffff,smin32=-128,smax32=127,var_off=(0x0; 0xffffffff))",
    "movsx16_32": "scalar(smin=0,smax=umax=0xffffffff,smin32=-32768,smax32=32767,var_off=(0x0; 0xffffffff))",
    "and64 0x7f; add64 0x80; movsx8_64": "scalar(smin=smin32=-128,smax=smax32=-1,umin=0xffffffffffffff80,umin32=0xffffff80,var_off=(0xffffffffffffff80; 0x7f))",
    "and64 0x7f; movsx8_32": "scalar(smin=smin32=0,smax=umax=smax32=umax32=127,var_off=(0x0; 0x7f))",
    "jgt64 10": "scalar(smin=smin32=0,smax=umax=smax32=umax32=10,var_off=(0x0; 0xf))",
    "!jgt64 10": "scalar(umin=11)",
    "jge32 10": "scalar(smax=0x7fffffff00000009,umax=0xffffffff00000009,smin32=0,smax32=umax32=9,var_off=(0x0; 0xffffffff0000000f))",
    "!jge32 10": "scalar(smin=0x800000000000000a,umin=umin32=10)",
    "jslt64 -5; jsgt64 7": "scalar(smin=smin32=-5,smax=smax32=7)",
    "jslt32 -5; jsgt32 7": "scalar(smin32=-5,smax32=7)",
    "jeq64 0": "scalar(umin=1)",
    "!jeq64 0": "0",
    "!jeq32 5": "scalar(smin=0x8000000000000005,smax=0x7fffffff00000005,umin=smin32=umin32=5,umax=0xffffffff00000005,smax32=umax32=5,var_off=(0x5; 0xffffffff00000000))",
    "!jeq32 -5": "scalar(smin=0x80000000fffffffb,smax=0x7ffffffffffffffb,umin=umin32=0xfffffffb,umax=0xfffffffffffffffb,smin32=-5,smax32=-5,umax32=0xfffffffb,var_off=(0xfffffffb; 0xffffffff00000000))",
    "and64 7; jeq64 0": "scalar(smin=umin=smin32=umin32=1,smax=umax=smax32=umax32=7,var_off=(0x0; 0x7))",
    "and64 7; jeq64 7": "scalar(smin=smin32=0,smax=umax=smax32=umax32=6,var_off=(0x0; 0x7))",
    "and64 7; jeq32 7": "scalar(smin=smin32=0,smax=umax=smax32=umax32=6,var_off=(0x0; 0x7))",
    "and64 7; !jset64 4": "scalar(smin=umin=smin32=umin32=4,smax=umax=smax32=umax32=7,var_off=(0x4; 0x3))",
    "jset64 4": "scalar(smax=0x7ffffffffffffffb,umax=0xfffffffffffffffb,smax32=0x7ffffffb,umax32=0xfffffffb,var_off=(0x0; 0xfffffffffffffffb))",
    "!jset64 4": "scalar(smin=0x8000000000000004,umin=umin32=4,smin32=0x80000004,var_off=(0x4; 0xfffffffffffffffb))",
    "!jset64 12": "scalar()",
    "jset32 -2": "scalar(smax=0x7fffffff00000001,umax=0xffffffff00000001,smin32=0,smax32=umax32=1,var_off=(0x0; 0xffffffff00000001))",
    "!jset32 -2147483648": "scalar(smin=0x8000000080000000,umin=umin32=0x80000000,smax32=-1,var_off=(0x80000000; 0xffffffff7fffffff))",
    "jsgt64 100; jgt64 200": "scalar(smin=smin32=0,smax=umax=smax32=umax32=200,var_off=(0x0; 0xff))",
    "jsgt64 100; !jgt64 200": "scalar(smax=-1,umin=0x8000000000000000,var_off=(0x8000000000000000; 0x7fffffffffffffff))",
    "jslt64 -100; jge64 -200": "scalar(smin=0,umax=0x7fffffffffffffff,var_off=(0x0; 0x7fffffffffffffff))",
    "and64 2; jlt64 1": "2",
    "and64 0xc; jle64 4; jge64 12": "8",
    "and64 0xff; mul32 0xfffffc0; jsgt32 -7": "scalar(smin=umin=umin32=0x80000000,smax=umax=umax32=0xffffffc0,smax32=-64,var_off=(0x80000000; 0x7fffffc0))",
    "and64 0xff; mul32 0xfffffc0; !jsgt32 -7": "scalar(smin=smin32=0,smax=umax=smax32=umax32=0x7fffffc0,var_off=(0x0; 0x7fffffc0))",
    "jgt32 0x7fffffff": "scalar(smax=0x7fffffff7fffffff,umax=0xffffffff7fffffff,smin32=0,umax32=0x7fffffff,var_off=(0x0; 0xffffffff7fffffff))",
    "jslt64 0; jgt64 0x10000": "scalar(smin=smin32=0,smax=umax=smax32=umax32=0x10000,var_off=(0x0; 0x1ffff))",
    "jslt64 -0x80000000; jsgt64 0x7fffffff": "scalar(smin=0xffffffff80000000,smax=0x7fffffff)",
    "jslt64 -0x80000000; jsgt64 0x7fffffff; jslt32 0": "scalar(smin=smin32=0,smax=umax=umax32=0x7fffffff,var_off=(0x0; 0x7fffffff))",
    "and64 0xff; add64 0x7fffff80": "scalar(smin=umin=umin32=0x7fffff80,smax=umax=umax32=0x8000007f,var_off=(0x0; 0xffffffff))",
    "and64 0xff; sub64 0x7fffff80": "scalar(smin=0xffffffff80000080,smax=0xffffffff8000017f,umin=0xffffffff80000080,umax=0xffffffff8000017f,smin32=umin32=0x80000080,smax32=umax32=0x8000017f,var_off=(0xffffffff80000000; 0x1ff))",
    "and64 0xff; add32 0x7fffff80": "scalar(smin=umin=umin32=0x7fffff80,smax=umax=umax32=0x8000007f,var_off=(0x0; 0xffffffff))",
    "and64 -16; jgt64 40": "scalar(smin=smin32=0,smax=umax=smax32=umax32=40,var_off=(0x0; 0x30))",
    "and64 -16; !jlt64 40": "scalar(smin=smin32=0,smax=umax=smax32=umax32=39,var_off=(0x0; 0x30))",
}
"""Steps of R1, of which nothing is known at first -> what is printed of it behind them. A comparison fails, or with a `!`
before it holds."""


def after(steps: str) -> Scalar:
    """R1 behind the steps."""
    r1 = UNKNOWN
    for text in steps.split("; "):
        insn = step(text)
        row, other = insn.row, operand(insn, {1: r1})
        if row.kind is Kind.ALU:
            r1 = arith.alu(row.op, row.width, r1, other, row.bits)
        else:
            assert branch.taken(row.op, r1, other, row.width) is None, text
            holds, _, fails, _ = branch.refine(row.op, r1, other, row.width)
            r1 = holds if text[0] == "!" else fails
    return r1


@pytest.mark.parametrize("steps", STEPS)
def test_after_some_steps(steps: str) -> None:
    assert scalar_text(after(steps)) == STEPS[steps]


def test_numbers_are_decimal_where_16_bits_hold_them() -> None:
    signed = {0: "0", -1: "-1", 32767: "32767", 32768: "0x8000", -32768: "-32768", -32769: "0xffffffffffff7fff"}
    assert {x: signed_text(x) for x in signed} == signed
    assert (unsigned_text(65535), unsigned_text(65536)) == ("65535", "0x10000")


def test_what_comes_before_the_ranges() -> None:
    assert scalar_text(UNKNOWN) == "scalar()"
    assert scalar_text(UNKNOWN, "id=3") == "scalar(id=3)"
    assert (
        scalar_text(after("and64 1"), "id=3+4")
        == "scalar(id=3+4,smin=smin32=0,smax=umax=smax32=umax32=1,var_off=(0x0; 0x1))"
    )
    assert scalar_text(constant(-5), "id=3") == "-5"


def test_negative_minima_are_not_merged_with_large_ones() -> None:
    s = after("or64 -256")
    assert (
        scalar_text(s)
        == "scalar(smin=smin32=-256,smax=smax32=-1,umin=0xffffffffffffff00,umin32=0xffffff00,var_off=(0xffffffffffffff00; 0xff))"
    )


def test_constants_are_shared() -> None:
    assert constant(-1) is constant(-1)
    assert constant(-1) == constant(U64)
    assert hash(constant(-1)) == hash(constant(U64))
    assert constant(7).is_const and not UNKNOWN.is_const
    assert arith.alu("add", 64, constant(3), constant(4)) is constant(7)


def test_settling_again_changes_nothing_of_what_is_known_to_be_at_rest() -> None:
    for s in (UNKNOWN, constant(0), constant(-3)):
        assert s.still and settled(*s.fields()) == s


def test_a_state_with_less_knowledge_covers_one_with_more() -> None:
    byte, three = after("and64 0xff"), constant(3)
    assert within(UNKNOWN, byte) and within(byte, three) and within(byte, byte)
    assert not within(byte, UNKNOWN) and not within(three, byte) and not within(byte, constant(256))
    assert not within(after("and64 0xf0"), after("and64 0x0f"))


def test_a_big_endian_program_exchanges_other_bytes() -> None:
    s = after("and64 0xff")
    assert arith.alu("to_be", 64, s, s, 16, "big") == arith.alu("to_le", 64, s, s, 16) == s
    assert arith.alu("to_le", 64, s, s, 16, "big") == arith.alu("bswap", 64, s, s, 16) != s


def test_what_is_left_of_a_sign_is_taken_apart() -> None:
    assert arith.fork("and", after("arsh64 63"), constant(5)) == (constant(-1), constant(0))
    assert arith.fork("and", after("arsh64 63"), UNKNOWN) is None
    assert arith.fork("xor", after("arsh64 63"), constant(5)) is None
    low = arith.fork("or", after("arsh32 31"), constant(5))
    assert low is not None
    assert [arith.alu("or", 32, each, constant(5)) for each in low] == [constant(0xFFFFFFFF), constant(5)]


def test_a_register_that_is_below_itself() -> None:
    said: list[str] = []
    then, other = branch.refine_same("jle", after("and64 1"), 32, said)
    assert scalar_text(then) == "scalar(smin=smin32=0,smax=umax=smax32=umax32=1,var_off=(0x0; 0x1))"
    assert scalar_text(other) == "scalar(var_off=(0x0; 0x1))"
    assert said == [(
        "verifier bug: REG INVARIANTS VIOLATION (false_reg1): range bounds violation u64=[0x0, 0x1] s64=[0x0, 0x1] "
        "u32=[0x1, 0x0] s32=[0x0, 0x1] var_off=(0x0, 0x1)"
    )]  # fmt: skip

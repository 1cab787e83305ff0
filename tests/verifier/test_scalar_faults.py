"""Faults that arithmetic of verifiers has had, planted into a copy of ours: the properties at few bits see each."""

# ruff: noqa: E501 -- a table of one-line faults

from __future__ import annotations

import pytest

from tests.verifier.narrow import Edit, domain
from tests.verifier.test_scalar_exhaustive import check_everything, check_known_bits

UPPER_32 = "            wraps = (umax >> HALF) - (umin >> HALF)\n            if wraps == 0:\n"
FAULTS: dict[str, Edit] = {
    "an immediate is not sign-extended": ("scalar", "    word = x & U64\n", "    word = x & U32\n"),
    "the upper half survives a 32-bit result": ("extend", "    value &= U32\n    mask &= U32\n", "    mask &= U32\n"),
    "a load's range is cut where it wraps": ("extend", "        umin, umax = 0, low\n", "        umin, umax = s.umin & low, s.umax & low\n"),
    "a truncated register keeps its low half's range": ("extend", "if bits < HALF else range32(s)", "if bits < 0 else range32(s)"),
    "mov32 keeps signed bounds": ("extend", "    if smin >= 0 and smax >= 0:\n", "    if smin <= smax:\n"),
    "movsx of a range that wraps": (
        "extend",
        "    smin, smax = s.smin, s.smax\n    if smin >> low == smax >> low:\n",
        "    smin, smax = s.smin, s.smax\n    if smin <= smax:\n",
    ),
    "movsx32 of a range that wraps": (
        "extend",
        "    smin, smax = s.s32min, s.s32max\n    if smin >> low == smax >> low:\n",
        "    smin, smax = s.s32min, s.s32max\n    if smin <= smax:\n",
    ),
    "movsx knows bits that differ": (
        "extend",
        "            return Scalar(value, mask, smin, smax, smin & U64",
        "            return Scalar(value, 0, smin, smax, smin & U64",
    ),
    "rsh keeps the sign": (
        "arith",
        "    return settled(value, mask, S64_MIN, S64_MAX, dst.umin >> count, dst.umax >> count,",
        "    return settled(value, mask, dst.smin >> count, dst.smax >> count, dst.umin >> count, dst.umax >> count,",
    ),
    "rsh takes its bounds crosswise": ("arith", "dst.umin >> count, dst.umax >> count", "dst.umax >> count, dst.umin >> count"),
    "rsh32 shifts the upper half in": (
        "arith",
        "tnum.rsh(dst.value & U32, dst.mask & U32, count)",
        "tnum.rsh(dst.value, dst.mask, count)",
    ),
    "arsh32 copies the wrong sign": ("arith", "dst.mask & U32, count, HALF)", "dst.mask & U32, count, WORD)"),
    "arsh keeps unsigned bounds": (
        "arith",
        "dst.smin >> count, dst.smax >> count, 0, U64",
        "dst.smin >> count, dst.smax >> count, dst.umin >> count, dst.umax >> count",
    ),
    "arsh32 takes the 64-bit range": ("arith", "(dst.s32min >> count, dst.s32max >> count,", "(dst.smin >> count, dst.smax >> count,"),
    "a shift by the width or more": (
        "arith",
        "def _lsh64(dst: Scalar, src: Scalar) -> Scalar:\n    if src.umax >= WORD or",
        "def _lsh64(dst: Scalar, src: Scalar) -> Scalar:\n    if",
    ),
    "lsh shifts the top bit out": ("arith", "if dst.umax <= 1 << (WORD - 1 - count):", "if dst.umax <= 1 << (WORD + 1 - count):"),
    "lsh takes the sign from too low": ("arith", "    if count == HALF:", "    if count >= HALF:"),
    "and with a known low half keeps the old range": (
        "arith",
        "    value &= U32\n    if (dst.mask | src.mask) & U32 == 0:\n        return _exactly32(value)\n",
        "    value &= U32\n    if (dst.mask | src.mask) & U32 == 0:\n        return range32(dst)\n",
    ),
    "or with a known low half keeps the old range": ("arith", "return _exactly32(value & U32)", "return range32(dst)"),
    "and is at most the larger": ("arith", "_as_signed(value, min(dst.umax, src.umax), SIGN64)", "_as_signed(max(dst.umin, src.umin), min(dst.umax, src.umax), SIGN64)"),
    "xor keeps a minimum": ("arith", "r64 = _as_signed(value, value | mask, SIGN64)", "r64 = _as_signed(max(dst.umin, src.umin), U64, SIGN64)"),
    "add32 checks 64-bit overflow": (
        "arith",
        "return zero_extended(value, mask, _added(range32(dst), range32(src), S32_MIN, S32_MAX, U32))",
        "return zero_extended(value, mask, _added(range32(dst), range32(src), S64_MIN, S64_MAX, U32))",
    ),
    "sub32 checks 64-bit overflow": (
        "arith",
        "return zero_extended(value, mask, _subtracted(range32(dst), range32(src), S32_MIN, S32_MAX, U32))",
        "return zero_extended(value, mask, _subtracted(range32(dst), range32(src), S64_MIN, S64_MAX, U32))",
    ),
    "a sum's upper end wraps alone": ("arith", "        if umin > top:", "        if umin <= top:"),
    "sub subtracts the near ends": ("arith", "umin, umax = a[2] - b[3], a[3] - b[2]", "umin, umax = a[2] - b[2], a[3] - b[3]"),
    "a product's corners are its ends": ("arith", "(a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])", "(a[0] * b[0], a[1] * b[1])"),
    "a product that wraps": ("arith", "if umax > top or umin > top:", "if umin > top:"),
    "what is left of a sign is 0 or 1": ("arith", "return constant(-1), constant(0)", "return constant(1), constant(0)"),
    "u32 of u64 without a look at the upper half": ("scalar", UPPER_32, UPPER_32.replace("wraps == 0", "wraps >= 0")),
    "bits of the low half's range reach up": ("scalar", "unknown = UPPER | (1 << (u32", "unknown = (1 << (u32"),
    "a signed range that crosses the sign": ("scalar", "        if low <= high:\n            if low > umin:", "        if low <= high or 1:\n            if low > umin:"),
    "a range that crosses the sign loses the wrong part": ("scalar", "        elif umax < low:\n            smin", "        elif umin < low:\n            smin"),
    "a low half that may be negative": ("scalar", "        if s32min >= 0 and smin >= S32_MIN", "        if smin >= S32_MIN"),
    "the only member is one of two": ("scalar", "    if following <= umax and tnum.following(value, mask, following) > umax:", "    if following <= umax:"),
    "jeq32 narrows 64-bit ranges": ("branch", '"jeq": ((_eq32, False), (_ne32, False))', '"jeq": ((_eq64, False), (_ne32, False))'),
    "jeq that fails narrows the low half": ("branch", '"jeq": ((_eq64, False), (_ne64, False))', '"jeq": ((_eq64, False), (_ne32, False))'),
    "jgt holds for equals": ("branch", "True if amin > bmax else False if amax <= bmin", "True if amin >= bmax else False if amax <= bmin"),
    "jsgt at the maximum": ("branch", "max(a.smin + 1, b.smin)", "max(a.smin + 2, b.smin)"),
    "jle that fails is jlt the other way": ("branch", '"jle": ((_le64, False), (_lt64, True))', '"jle": ((_le64, False), (_lt64, False))'),
    "jset sets all bits": ("branch", "    if x & (x - 1) or x == 0:\n", "    if x == 0:\n"),
    "jset that fails clears the others": ("branch", "_changed(a, a.value & ~x, a.mask & ~x, *UNBOUNDED)", "_changed(a, a.value & x, a.mask & x, *UNBOUNDED)"),
    "jset meets an unknown bit": ("branch", "    if a.value & wanted:", "    if (a.value | a.mask) & wanted:"),
    "jset32 tests upper bits": ("branch", "return _meet(a, b, narrow)", "return _meet(a, b, False)"),
    "jeq32 of bits above": ("branch", "return (a.value ^ b.value) & U32 == 0", "return a.value == b.value"),
    "a carry is known": ("tnum", "((smallest + am + bm) ^ smallest | am | bm) & U64", "(am | bm) & U64"),
    "a borrow is known": ("tnum", "((plain + am) ^ (plain - bm) | am | bm) & U64", "(am | bm) & U64"),
    "a product's bit is added or is not": ("tnum", "(with_v, with_m) if av & bit else union(v, m, with_v, with_m)", "(with_v, with_m)"),
    "a product's quick way forgets carries": ("tnum", "            m |= (m + partial) ^ bv * bit | partial", "            m |= partial"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str) -> None:
    faulty = domain(4, 2, (FAULTS[name],))
    with pytest.raises((AssertionError, ValueError)):
        if FAULTS[name][0] == "tnum":
            check_known_bits(faulty)
        for seed in range(1, 12):
            check_everything(faulty, seed, 150)


def test_without_a_fault_there_is_nothing_to_see() -> None:
    check_everything(domain(4, 2), 1, 400)

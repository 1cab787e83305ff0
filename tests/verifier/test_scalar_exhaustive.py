"""The verifier's scalars at 4 to 6 bits, where every member of what they stand for can be looked at."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from bpf.isa import effects
from tests.verifier.narrow import Domain, bits_around, domain, fields_around, members, signed, tnums
from verifier import tnum

ALU = ("add", "sub", "mul", "and", "or", "xor", "lsh", "rsh", "arsh", "neg", "mov")
SHIFTS = ("lsh", "rsh", "arsh")
UNKNOWN_RESULT = ("div", "mod", "sdiv", "smod")
COMPARISONS = ("jeq", "jne", "jset", "jgt", "jge", "jlt", "jle", "jsgt", "jsge", "jslt", "jsle")

Known = tuple[Any, list[int]]  # a scalar, and members of it


def contained(v: int, m: int, numbers: set[int]) -> bool:
    return all(x & ~m == v for x in numbers) and v & m == 0


def check_known_bits(d: Domain, *, best: bool = True) -> None:
    """Every pair of tnums, every pair of their members. best: and the result is the smallest that has them all."""
    top = (1 << d.word) - 1
    every = [(v, m, [x for x in range(top + 1) if x & ~m == v]) for v, m in tnums(d.word)]
    two: dict[str, Callable[[int, int], int]] = {
        "add": lambda x, y: x + y & top, "sub": lambda x, y: x - y & top, "mul": lambda x, y: x * y & top,
        "and_": lambda x, y: x & y, "or_": lambda x, y: x | y, "xor": lambda x, y: x ^ y,
    }  # fmt: skip
    for name, effect in two.items():
        abstract = getattr(d.tnum, name)
        for av, am, xs in every:
            for bv, bm, ys in every:
                found = {effect(x, y) for x in xs for y in ys}
                v, m = abstract(av, am, bv, bm)
                assert contained(v, m, found), (name, av, am, bv, bm)
                assert not best or name == "mul" or (v, m) == bits_around([*found]), (name, av, am, bv, bm)
    for av, am, xs in every:
        assert d.tnum.neg(av, am) == d.tnum.sub(0, 0, av, am)
        for bv, bm, ys in every:
            common = {*xs} & {*ys}
            assert d.tnum.overlap(av, am, bv, bm) == bool(common)
            if common:
                assert d.tnum.intersect(av, am, bv, bm) == bits_around([*common])
            assert d.tnum.union(av, am, bv, bm) == bits_around([*xs, *ys])
            assert d.tnum.in_(av, am, bv, bm) == ({*ys} <= {*xs})
        for count in range(d.word):
            assert d.tnum.lsh(av, am, count) == bits_around([x << count & top for x in xs])
            assert d.tnum.rsh(av, am, count) == bits_around([x >> count for x in xs])
            assert d.tnum.arsh(av, am, count, d.word) == bits_around([signed(x, d.word) >> count & top for x in xs])
        for x in range(top + 1):
            assert d.tnum.following(av, am, x) == min((y for y in xs if y > x), default=xs[-1])
        for bits in range(1, d.word):
            assert d.tnum.cast(av, am, bits) == bits_around([x & (1 << bits) - 1 for x in xs])
    for low in range(top + 1):
        for high in range(low, top + 1):
            v, m = d.tnum.range_(low, high)
            assert contained(v, m, set(range(low, high + 1))) and m & (m + 1) == 0 and v <= low


def test_known_bits_of_every_pair() -> None:
    check_known_bits(domain(4, 2))


@pytest.mark.deep
@pytest.mark.parametrize(("word", "half"), [(5, 3), (6, 3)])
def test_known_bits_of_every_pair_of_more(word: int, half: int) -> None:
    check_known_bits(domain(word, half))


def scalars(d: Domain, rng: random.Random, count: int) -> list[Known]:
    """Scalars with members, each settled and as it was: around few numbers, and with views that know less.

    All members up to 6 bits, some of them above.
    """
    every = range(1 << d.word)
    found = {(0, d.tnum.U64, *d.scalar.UNBOUNDED): d.scalar.UNKNOWN}
    while len(found) < count:
        core = rng.sample(every, rng.choice((1, 1, 2, 2, 2, 3, 4)))
        special = rng.random()
        if special < 0.1:  # a known low half
            core = [x & ~d.tnum.U32 | core[0] & d.tnum.U32 for x in core]
        elif special < 0.15:
            core = [0, d.tnum.U64]
        views = {
            view: core + rng.sample(every, rng.choice((0, 0, 0, 1, 2, len(every))))
            for view in ("bits", "s", "u", "s32", "u32")
        }
        fields = fields_around(d, views)
        for s in (d.scalar.Scalar(*fields), d.scalar.settled(*fields)):
            found[s.fields()] = s
    some = [(s, members(d, s)) for s in found.values()]
    return some if d.word <= 6 else [(s, rng.sample(xs, min(len(xs), 12))) for s, xs in some]


def check_settling(d: Domain, rng: random.Random, count: int) -> None:
    """Settling loses no member."""
    for s, inside in scalars(d, rng, count):
        found = d.scalar.settled(*s.fields())
        assert all(found.in_(x) for x in inside), (s, found)


def check_operation(d: Domain, op: str, bits: int, a: Known, b: Known) -> None:
    effect = effects.alu(bits)[op]
    found = d.arith.alu(op, bits, a[0], b[0])
    for x in a[1]:
        for y in b[1]:
            assert found.in_(effect(x, y)), (op, bits, a[0], b[0], x, y, found)


def check_comparison(d: Domain, op: str, bits: int, a: Known, b: Known) -> None:
    effect = effects.conditions(bits)[op]
    decided = d.branch.taken(op, a[0], b[0], bits)
    a_then, b_then, a_else, b_else = d.branch.refine(op, a[0], b[0], bits)
    for x in a[1]:
        for y in b[1]:
            holds = bool(effect(x, y))
            assert decided is None or decided == holds, (op, bits, a[0], b[0], x, y)
            here, there = (a_then, b_then) if holds else (a_else, b_else)
            assert here.in_(x) and there.in_(y), (op, bits, a[0], b[0], x, y)


def check_arithmetic(d: Domain, rng: random.Random, count: int, each: int) -> None:
    """Every result of members is a member of the result."""
    known = scalars(d, rng, count)
    constants = [(d.scalar.constant(x), [x]) for x in range(1 << d.word)]
    for bits in (d.word, d.half):
        for op in ALU:
            if op in SHIFTS and bits & (bits - 1):
                continue  # counts are cut to the width, which needs a power of two
            for _ in range(each):
                a = rng.choice(known)
                if op in SHIFTS:
                    b = rng.choice(constants[:bits] if rng.random() < 0.8 else constants)
                else:
                    b = rng.choice(constants if rng.random() < 0.3 else known)
                check_operation(d, op, bits, a, b)
                both = d.arith.fork(op, a[0], b[0])
                if both is not None:
                    for x in a[1]:
                        assert both[0].in_(x) or both[1].in_(x), (op, a[0], both)


def check_parts(d: Domain, rng: random.Random, count: int) -> None:
    """What is cut off and extended."""
    for s, xs in scalars(d, rng, count):
        for x in xs:
            assert d.arith.zext32(s).in_(x & d.tnum.U32), (s, x)
            for low in range(1, d.word):
                assert d.extend.cut(s, low).in_(x & (1 << low) - 1), (s, low, x)
                for bits in (d.word, d.half):
                    if low < bits and low <= d.half:
                        extended = effects.sign_extend(low, bits)(0, x)
                        assert d.arith.sign_extended(s, low, bits).in_(extended), (s, low, bits, x)


def check_comparisons(d: Domain, rng: random.Random, count: int, each: int) -> None:
    """What a comparison decides holds; where it does not decide, both ways keep the members that go there."""
    known = scalars(d, rng, count)
    for bits in (d.word, d.half):
        for op in COMPARISONS:
            effect = effects.conditions(bits)[op]
            for _ in range(each):
                a, b = rng.choice(known), rng.choice(known)
                check_comparison(d, op, bits, a, b)
                a_then, a_else = d.branch.refine_same(op, a[0], bits)
                for x in a[1]:
                    assert (a_then if effect(x, x) else a_else).in_(x), (op, bits, a[0], x)


def check_everything(d: Domain, seed: int, size: int) -> None:
    """All properties, over so many scalars and pairs."""
    rng = random.Random(seed)
    check_settling(d, rng, size)
    check_parts(d, rng, size)
    check_arithmetic(d, rng, size, size // 4)
    check_comparisons(d, rng, size, size // 4)


@pytest.mark.parametrize(("word", "half"), [(4, 2), (6, 3), (8, 4)])
def test_every_result_of_members_is_a_member(word: int, half: int) -> None:
    check_everything(domain(word, half), 1, 300)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("word", "half"), [(4, 2), (5, 3), (6, 3), (6, 4), (8, 4)])
def test_every_result_of_many_members_is_a_member(word: int, half: int, seed: int) -> None:
    check_everything(domain(word, half), seed, 6000)


def single_views(d: Domain) -> list[Known]:
    """Every tnum, every signed and every unsigned range, settled."""
    found = {}
    every = list(range(1 << d.word))
    for v, m in tnums(d.word):
        s = d.scalar.settled(v, m, *d.scalar.UNBOUNDED)
        found[s.fields()] = s
    for low in every:
        for high in every[low:]:
            half = 1 << (d.word - 1)
            for view, numbers in (("u", [low, high]), ("s", [low - half & d.tnum.U64, high - half & d.tnum.U64])):
                views = dict.fromkeys(("bits", "s", "u", "s32", "u32"), every) | {view: numbers}
                s = d.scalar.settled(*fields_around(d, views))
                found[s.fields()] = s
    return [(s, members(d, s)) for s in found.values()]


@pytest.mark.deep
@pytest.mark.parametrize(("word", "half"), [(3, 2), (4, 2)])
def test_every_pair_of_single_views(word: int, half: int) -> None:
    d = domain(word, half)
    known = single_views(d)
    for bits in (word, half) if word == 3 else (word,):
        for a in known:
            for b in known:
                for op in ALU:
                    if op not in (*SHIFTS, "neg", "mov"):
                        check_operation(d, op, bits, a, b)
                for op in COMPARISONS if word == 3 else ():
                    check_comparison(d, op, bits, a, b)


def test_division_says_nothing() -> None:
    d = domain(4, 2)
    for op in UNKNOWN_RESULT:
        for bits in (4, 2):
            assert d.arith.alu(op, bits, d.scalar.constant(6), d.scalar.constant(3)) == d.scalar.UNKNOWN


@cache
def full() -> Domain:
    return domain(64, 32)


def test_the_copy_at_full_width_is_the_original() -> None:
    d = full()
    assert d.tnum.U64 == tnum.U64 and d.arith.alu("add", 64, d.scalar.constant(-1), d.scalar.constant(2)).value == 1


@pytest.mark.parametrize("low", [16, 32, 64])
def test_bytes_exchange_bit_by_bit(low: int) -> None:
    swapped = effects.swap(low)
    for bit in range(64):
        v, m = tnum.swap(1 << bit, 0, low)
        assert (v, m) == (swapped(1 << bit, 0), 0)
        assert tnum.swap(0, 1 << bit, low) == (0, v)

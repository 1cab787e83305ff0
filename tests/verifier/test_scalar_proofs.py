"""The verifier's scalars at 64 bits, proved: the functions themselves, on symbolic numbers, with z3.

What is proved of each: a number (or two) that is in what the function is given is, after the operation, in what it
returns. `settled` is proved by itself and then taken for granted; so are products of tnums and `only_member`.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest

z3 = pytest.importorskip("z3", reason="z3-solver, of the test extra, is not installed")

from tests.verifier.symbolic import WIDTH, Machine, Record, Returned, both, refuted  # noqa: E402
from verifier import arith, branch, extend, scalar, tnum  # noqa: E402
from verifier.tnum import U32, U64  # noqa: E402

FIELDS = ("value", "mask", "smin", "smax", "umin", "umax", "s32min", "s32max", "u32min", "u32max")
COUNTS = (0, 1, 31, 32, 33, 63)


def cases(names: Any, default: Any, *more: Any) -> list[Any]:
    """Parameters, those that are not in `default` marked deep. more: each is combined with these, too."""
    every = [(name, *rest) for name in names for rest in (itertools.product(*more) if more else [()])]
    return [pytest.param(*each, marks=() if each in default else pytest.mark.deep) for each in every]


def number(name: str) -> Any:
    return z3.BitVec(name, WIDTH)


def signed(x: Any, bits: int) -> Any:
    """The low bits of x as a signed number."""
    low = z3.Extract(bits - 1, 0, x)
    return z3.SignExt(WIDTH - bits, low)


def unsigned(x: Any, bits: int) -> Any:
    return x & ((1 << bits) - 1)


def is_word(x: Any) -> Any:
    return z3.And(x >= 0, x <= U64)


def record(*fields: Any) -> Record:
    return Record(**dict(zip(FIELDS, fields, strict=True)), fields=tuple(fields), still=z3.FreshConst(z3.BoolSort()))


def symbolic(name: str) -> Record:
    return record(*(number(f"{name}.{field}") for field in FIELDS))


def well_formed(s: Record) -> Any:
    """That the parts are of their types."""
    return z3.And(
        is_word(s.value), is_word(s.mask), s.value & s.mask == 0, is_word(s.umin), is_word(s.umax),
        s.smin >= -(1 << 63), s.smin < 1 << 63, s.smax >= -(1 << 63), s.smax < 1 << 63,
        s.u32min >= 0, s.u32min <= U32, s.u32max >= 0, s.u32max <= U32,
        s.s32min >= -(1 << 31), s.s32min < 1 << 31, s.s32max >= -(1 << 31), s.s32max < 1 << 31,
    )  # fmt: skip


def in_bits(x: Any, v: Any, m: Any) -> Any:
    return x & ~m == v


def inside(x: Any, s: Record) -> Any:
    """That a 64-bit number, not negative, is one of a scalar's."""
    return z3.And(
        in_bits(x, s.value, s.mask), s.umin <= x, x <= s.umax, s.smin <= signed(x, 64), signed(x, 64) <= s.smax,
        s.u32min <= x & U32, x & U32 <= s.u32max, s.s32min <= signed(x, 32), signed(x, 32) <= s.s32max,
    )  # fmt: skip


def fits(x: Any, s: Record) -> Any:
    """That x is in what is returned, and that this can be settled."""
    return z3.And(inside(x, s), well_formed(s))


def constant(x: Any) -> Record:
    if isinstance(x, int):
        found = scalar.constant(x)
        return record(*found.fields())
    word = unsigned(x, 64)
    low = word & U32
    return record(word, 0, signed(x, 64), signed(x, 64), word, word, signed(x, 32), signed(x, 32), low, low)


def result(op: str, bits: int, x: Any, y: Any) -> Any:
    """What an operation does."""
    a, b = z3.Extract(bits - 1, 0, x), z3.Extract(bits - 1, 0, y)
    found = {
        "add": lambda: a + b, "sub": lambda: a - b, "and": lambda: a & b, "or": lambda: a | b, "xor": lambda: a ^ b,
        "lsh": lambda: a << b, "rsh": lambda: z3.LShR(a, b), "arsh": lambda: a >> b, "neg": lambda: -a,
        "mov": lambda: b,
    }[op]()  # fmt: skip
    return z3.ZeroExt(WIDTH - bits, found)


def compare(op: str, bits: int, x: Any, y: Any) -> Any:
    a, b = z3.Extract(bits - 1, 0, x), z3.Extract(bits - 1, 0, y)
    return {
        "jeq": lambda: a == b, "jne": lambda: a != b, "jset": lambda: a & b != 0,
        "jgt": lambda: z3.UGT(a, b), "jge": lambda: z3.UGE(a, b),
        "jlt": lambda: z3.ULT(a, b), "jle": lambda: z3.ULE(a, b),
        "jsgt": lambda: a > b, "jsge": lambda: a >= b, "jslt": lambda: a < b, "jsle": lambda: a <= b,
    }[op]()  # fmt: skip


def lifted(x: Any) -> Any:
    return z3.BitVecVal(x, WIDTH) if isinstance(x, int) else x


def folds() -> dict[Any, Callable[[Any, Any], Any]]:
    """The one table's effects, as z3 has them."""
    found: dict[Any, Callable[[Any, Any], Any]] = {}
    for bits, effects in ((64, arith._FOLD64), (32, arith._FOLD32)):
        for op in ("add", "sub", "and", "or", "xor", "lsh", "rsh", "arsh"):
            found[effects[op]] = lambda x, y, op=op, bits=bits: result(op, bits, lifted(x), lifted(y))
    return found


def machine(*points: Any) -> Machine:
    """A machine that takes `settled` for granted. points: the numbers that are members of what is looked at."""

    def only_member(value: Any, mask: Any, umin: Any, umax: Any) -> Any:
        only = walker.fresh("only")
        for x in points:
            walker.known.append(z3.Implies(z3.And(in_bits(x, value, mask), umin <= x, x <= umax, only >= 0), x == only))
        walker.known.append(only <= U64)
        return only

    hooks: dict[Any, Callable[..., Any]] = {
        scalar.settled: record, scalar.Scalar: record, scalar.constant: constant, scalar.only_member: only_member,
        branch._changed: lambda s, *fields: record(*fields), branch._settled: lambda s: s, **folds(),
    }  # fmt: skip
    walker = Machine(hooks)
    return walker


def prove(walker: Machine, given: list[Any], ways: list[Returned], claim: Callable[[Any], Any]) -> None:
    """That each value that is returned fits."""
    assert ways
    for way in ways:
        for part in parts(claim(way.value)):
            assert not refuted(*given, *walker.known, way.when, z3.Not(part))


def parts(claim: Any) -> list[Any]:
    """What a claim says, one thing after the other."""
    if z3.is_implies(claim):
        return [z3.Implies(claim.arg(0), part) for part in parts(claim.arg(1))]
    return [part for each in claim.children() for part in parts(each)] if z3.is_and(claim) else [claim]


# --- known bits

BINARY_BITS = {"add": "add", "sub": "sub", "and_": "and", "or_": "or", "xor": "xor"}


@pytest.mark.parametrize("name", cases(BINARY_BITS, [("and_",), ("or_",), ("xor",)]))
def test_known_bits(name: str) -> None:
    x, y, bits = number("x"), number("y"), [number(each) for each in ("av", "am", "bv", "bm")]
    av, am, bv, bm = bits
    given = [is_word(each) for each in (x, y, *bits)] + [in_bits(x, av, am), in_bits(y, bv, bm)]
    claim = result(BINARY_BITS[name], 64, x, y)
    walker = machine()
    prove(walker, given, walker.run(getattr(tnum, name), *bits), lambda found: in_bits(claim, *found))


@pytest.mark.parametrize("name", ["intersect", "union", "overlap", "in_"])
def test_relations_of_known_bits(name: str) -> None:
    x, bits = number("x"), [number(each) for each in ("av", "am", "bv", "bm")]
    av, am, bv, bm = bits
    given = [is_word(each) for each in (x, *bits)] + [av & am == 0, bv & bm == 0]
    a, b = in_bits(x, av, am), in_bits(x, bv, bm)
    claims: dict[str, Callable[[Any], Any]] = {
        "intersect": lambda found: z3.Implies(z3.And(a, b), in_bits(x, *found)),
        "union": lambda found: z3.Implies(z3.Or(a, b), in_bits(x, *found)),
        "overlap": lambda found: z3.Implies(z3.And(a, b), found),
        "in_": lambda found: z3.Implies(z3.And(found, b), a),
    }
    walker = machine()
    prove(walker, given, walker.run(getattr(tnum, name), *bits), claims[name])


@pytest.mark.parametrize("count", COUNTS)
def test_shifts_of_known_bits(count: int) -> None:
    x, v, m = number("x"), number("v"), number("m")
    given = [is_word(x), is_word(v), is_word(m), in_bits(x, v, m)]
    for name, arguments in (("lsh", ()), ("rsh", ()), ("arsh", (64,))):
        claim = result(name, 64, x, z3.BitVecVal(count, WIDTH))
        walker = machine()
        ways = walker.run(getattr(tnum, name), v, m, count, *arguments)
        prove(walker, given, ways, lambda found, claim=claim: in_bits(claim, *found))


@pytest.mark.deep
def test_range_and_following() -> None:
    x, low, high = number("x"), number("low"), number("high")
    walker = machine()
    given = [is_word(low), is_word(high), low <= x, x <= high]
    prove(walker, given, walker.run(tnum.range_, low, high), lambda found: in_bits(x, *found))
    v, m, start = number("v"), number("m"), number("start")
    given = [is_word(each) for each in (x, v, m, start)] + [v & m == 0, in_bits(x, v, m)]
    top = v | m
    prove(
        walker, given, walker.run(tnum.following, v, m, start),
        lambda found: z3.And(in_bits(found, v, m), z3.If(start < top, found > start, found == top),
                             z3.Implies(x > start, found <= x)),
    )  # fmt: skip


# --- settling


@pytest.mark.deep
def test_only_member() -> None:
    x, v, m, umin, umax = (number(each) for each in ("x", "v", "m", "umin", "umax"))
    given = [is_word(each) for each in (x, v, m, umin, umax)]
    given += [v & m == 0, in_bits(x, v, m), umin <= x, x <= umax]
    walker = Machine({})
    ways = walker.run(scalar.only_member, v, m, umin, umax)
    prove(walker, given, ways, lambda found: z3.Or(found == -1, found == x))


@pytest.mark.deep
def test_settling_loses_nothing() -> None:
    x, s = number("x"), symbolic("s")
    walker = machine(x)
    walker.hooks.pop(id(scalar.settled))

    def holds(env: dict[str, Any]) -> Any:
        now = record(*(env[field] for field in FIELDS))
        return z3.And(well_formed(now), inside(x, now))

    walker.holds = holds
    given = [is_word(x), well_formed(s), inside(x, s)]
    ways = walker.run(scalar.settled, *s.fields)
    assert len(walker.owed) == 3  # before the loop, at its break, at its end
    for owed in walker.owed:
        for part in parts(owed):
            assert not refuted(*given, *walker.known, z3.Not(part))
    prove(walker, given, ways, lambda found: fits(x, found))


def test_what_is_within_is_within() -> None:
    x, old, new = number("x"), symbolic("old"), symbolic("new")
    walker = machine()
    given = [is_word(x), well_formed(old), well_formed(new), inside(x, new)]
    prove(walker, given, walker.run(scalar.within, old, new), lambda found: z3.Implies(found, inside(x, old)))


# --- arithmetic


LINEAR = ("add", "sub", "neg", "and", "or", "xor", "mov")


@pytest.mark.parametrize(("op", "bits"), cases(LINEAR, [("and", 64), ("mov", 64)], (64, 32)))
def test_arithmetic(op: str, bits: int) -> None:
    x, y, a, b = number("x"), number("y"), symbolic("a"), symbolic("b")
    claim = result(op, bits, x, y)
    given = [is_word(x), is_word(y), well_formed(a), well_formed(b), inside(x, a), inside(y, b)]
    whole = result(op, 64, x, y)
    walker = machine(whole)
    ways = walker.run(arith._OPERATIONS[op, bits], a, b)
    prove(walker, given, ways, lambda found: fits(claim, found))


@pytest.mark.deep
def test_ranges_of_products() -> None:
    x, y, *ends = z3.Ints("x y a0 a1 a2 a3 b0 b1 b2 b3")
    a, b = tuple(ends[:4]), tuple(ends[4:])
    product = x * y
    for bits in (64, 32):
        least, most, top = -(1 << bits - 1), (1 << bits - 1) - 1, (1 << bits) - 1
        for way in Machine({}).run(arith._multiplied, a, b, least, most, top):
            smin, smax, umin, umax = way.value
            signs = [a[0] <= x, x <= a[1], b[0] <= y, y <= b[1], z3.Not(z3.And(smin == least, smax == most))]
            for claim in (smin <= product, product <= smax, smin >= least, smax <= most):
                assert not refuted(*signs, z3.Not(claim), logic="QF_NIA")
            least_is_zero = [a[2] >= 0, b[2] >= 0]
            wholes = [
                *least_is_zero,
                a[2] <= x,
                x <= a[3],
                b[2] <= y,
                y <= b[3],
                z3.Not(z3.And(umin == 0, umax == top)),
            ]
            for claim in (umin <= product, product <= umax, umax <= top):
                assert not refuted(*wholes, z3.Not(claim), logic="QF_NIA")


def product_step(bit: int) -> None:
    """One bit of a's: a sum that is in the tnum still is when b is added, or is not, as that bit of x says."""
    x, y, total = number("x"), number("y"), number("total")
    av, am, bv, bm, v, m = (number(each) for each in ("av", "am", "bv", "bm", "v", "m"))
    tree = ast.parse(inspect.getsource(tnum.mul)).body[0]
    found = [node for node in ast.walk(tree) if isinstance(node, ast.While)]
    quick, whole = sorted(found, key=lambda node: node.lineno)
    given = [is_word(each) for each in (x, y, av, am, bv, bm, v, total)]
    given += [in_bits(x, av, am), in_bits(y, bv, bm), (av | am) & (1 << bit) != 0, v & m == 0]
    after = unsigned(total + z3.If(x & (1 << bit) != 0, y << bit, z3.BitVecVal(0, WIDTH)), 64)
    env = {"av": av, "am": am, "bv": bv, "bm": bm, "v": v, "m": m, "bit": 1 << bit, "both": bv | bm}
    for loop, known in ((quick, [z3.Or(av == 0, bv == 0), v == 0]), (whole, [is_word(m)])):
        assert [ast.unparse(each) for each in loop.body[:2]] == ["bit = rest & -rest", "rest ^= bit"]
        walker = Machine({}, lambda now: unsigned(in_and(after, now), 64) == 0)
        walker.stack.append(tnum.mul)
        end = walker.block(loop.body[2:], (env, True), [])
        assert end is not None
        before = unsigned(in_and(total, env), 64) == 0
        for claim in (*walker.owed, z3.Implies(end[1], unsigned(in_and(after, end[0]), 64) == 0)):
            assert not refuted(*given, *known, before, z3.Not(claim))


def in_and(x: Any, env: dict[str, Any]) -> Any:
    """The bits in which x is no member."""
    return (x & ~env["m"]) ^ env["v"]


@pytest.mark.deep
@pytest.mark.parametrize("bits", [64, 32])
def test_products(bits: int) -> None:
    """With products of known bits and of ranges taken for granted, which the tests above are for."""
    product, a, b = number("product"), symbolic("a"), symbolic("b")
    walker = machine(product)

    def bits_of_products(*_: Any) -> tuple[Any, Any]:
        v, m = walker.fresh("v"), walker.fresh("m")
        walker.known.extend([is_word(v), is_word(m), v & m == 0, in_bits(product, v, m)])
        return v, m

    def ranges(_a: Any, _b: Any, least: int, most: int, top: int) -> tuple[Any, ...]:
        smin, smax, umin, umax = found = tuple(walker.fresh("end") for _ in range(4))
        at, width = product & top, 64 if top == U64 else 32
        walker.known.extend([umin >= 0, umin <= at, at <= umax, umax <= top, smin >= least, smax <= most])
        walker.known.extend([smin <= signed(product, width), signed(product, width) <= smax])
        return found

    hooks = {tnum.mul: bits_of_products, arith._multiplied: ranges,
             arith._FOLD64["mul"]: lambda x, y: product, arith._FOLD32["mul"]: lambda x, y: product & U32}  # fmt: skip
    walker.hooks |= {id(what): hook for what, hook in hooks.items()}
    given = [is_word(product), well_formed(a), well_formed(b)]
    ways = walker.run(arith._OPERATIONS["mul", bits], a, b)
    prove(walker, given, ways, lambda found: fits(unsigned(product, bits), found))


def test_a_step_of_a_product_of_known_bits() -> None:
    product_step(5)


@pytest.mark.deep
@pytest.mark.parametrize("bit", range(64))
def test_each_step_of_a_product_of_known_bits(bit: int) -> None:
    product_step(bit)


@pytest.mark.deep
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("op", ["lsh", "rsh", "arsh"])
def test_shifts(op: str, bits: int) -> None:
    x, a = number("x"), symbolic("a")
    given = [is_word(x), well_formed(a), inside(x, a)]
    for count in range(bits):
        walker = machine()
        ways = walker.run(arith._OPERATIONS[op, bits], a, constant(count))
        claim = result(op, bits, x, z3.BitVecVal(count, WIDTH))
        prove(walker, given, ways, lambda found, claim=claim: fits(claim, found))


# --- parts


@pytest.mark.deep
@pytest.mark.parametrize("size", [8, 16, 32])
def test_parts(size: int) -> None:
    x, s = number("x"), symbolic("s")
    given = [is_word(x), well_formed(s), inside(x, s)]
    walker = machine()
    prove(walker, given, walker.run(extend.cut, s, size), lambda found: fits(unsigned(x, size), found))
    prove(walker, given, walker.run(extend.zext32, s), lambda found: fits(unsigned(x, 32), found))
    for bits in (64, 32):
        if size < bits:
            claim = unsigned(signed(x, size), bits)
            ways = walker.run(extend.sign_extended, s, size, bits)
            prove(walker, given, ways, lambda found, claim=claim: fits(claim, found))


# --- comparisons


@pytest.mark.parametrize(("op", "bits"), cases(branch._WAYS64, [("jle", 64)], (64, 32)))
def test_comparisons(op: str, bits: int) -> None:
    x, y, a, b = number("x"), number("y"), symbolic("a"), symbolic("b")
    given = [is_word(x), is_word(y), well_formed(a), well_formed(b), inside(x, a), inside(y, b)]
    holds = compare(op, bits, x, y)
    walker = machine()
    for way in walker.run(branch.taken, op, a, b, bits):
        for outcome, when in decided(way.value):
            wrong = z3.Not(holds) if outcome else holds
            assert not refuted(*given, both(way.when, when), wrong)
    ways = branch._WAYS32 if bits == 32 else branch._WAYS64
    for way, so in zip(ways[op], (holds, z3.Not(holds)), strict=True):
        found = walker.run(branch._way, way, a, b)
        prove(walker, [*given, so], found, lambda pair: z3.And(fits(x, pair[0]), fits(y, pair[1])))


def decided(value: Any) -> list[tuple[bool, Any]]:
    """The outcomes that a walked function names, with their conditions."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [(value, True)]
    if isinstance(value, z3.BoolRef):
        return [(True, value), (False, z3.Not(value))]
    return [(True, z3.And(z3.Not(value.none), value.value)), (False, z3.And(z3.Not(value.none), z3.Not(value.value)))]

"""Known bits: what is known of a number, bit by bit.

A tnum is a pair (value, mask) of unsigned ints: a bit that is set in mask may be 0 or 1, the others are as in value,
and value has none of mask's. Each function takes the pairs' parts one after the other and gives a pair that contains
every result that members of its arguments can have. Precision is Linux 6.18's (kernel/bpf/tnum.c): the same pairs.

All widths follow from the first line, so that the tests can run the same code over every member of a narrow one.
"""

from __future__ import annotations

WORD, HALF = 64, 32  # bits of a register and of its subregister
U64, U32 = (1 << WORD) - 1, (1 << HALF) - 1
SIGN64, SIGN32 = 1 << (WORD - 1), 1 << (HALF - 1)
SPAN64, SPAN32 = 1 << WORD, 1 << HALF
S64_MIN, S64_MAX = -SIGN64, SIGN64 - 1
S32_MIN, S32_MAX = -SIGN32, SIGN32 - 1
UPPER = U64 ^ U32  # the bits above the subregister

Bits = tuple[int, int]
ANY: Bits = (0, U64)


def add(av: int, am: int, bv: int, bm: int) -> Bits:
    """Sums. Where the carries of the smallest and of the largest sum differ, a bit is unknown."""
    smallest = av + bv
    unknown = ((smallest + am + bm) ^ smallest | am | bm) & U64
    return smallest & ~unknown & U64, unknown


def sub(av: int, am: int, bv: int, bm: int) -> Bits:
    """Differences; borrows as in `add`."""
    plain = av - bv
    unknown = ((plain + am) ^ (plain - bm) | am | bm) & U64
    return plain & ~unknown & U64, unknown


def neg(v: int, m: int) -> Bits:
    """Two's complements."""
    return sub(0, 0, v, m)


def and_(av: int, am: int, bv: int, bm: int) -> Bits:
    """Conjunctions."""
    ones = av & bv
    return ones, (av | am) & (bv | bm) & ~ones


def or_(av: int, am: int, bv: int, bm: int) -> Bits:
    """Disjunctions."""
    ones = av | bv
    return ones, (am | bm) & ~ones


def xor(av: int, am: int, bv: int, bm: int) -> Bits:
    """Exclusive disjunctions."""
    unknown = am | bm
    return (av ^ bv) & ~unknown, unknown


def mul(av: int, am: int, bv: int, bm: int) -> Bits:
    """Products, as long multiplication over a's bits: an unknown bit adds b or does not, and the sum is either."""
    if bm == 0 and bv & (bv - 1) == 0:  # the sums of a power of two meet in no bit
        return av * bv & U64, am * bv & U64
    v = m = 0
    rest = av | am
    if av == 0 or bv == 0:  # no bit of the sum is known to be 1: the step below comes down to this
        both = bv | bm
        while rest:
            bit = rest & -rest
            rest ^= bit
            partial = both * bit
            m |= (m + partial) ^ bv * bit | partial
        return 0, m & U64
    while rest:
        bit = rest & -rest
        rest ^= bit
        with_v, with_m = add(v, m, bv * bit & U64, bm * bit & U64)
        v, m = (with_v, with_m) if av & bit else union(v, m, with_v, with_m)
        if m == U64:
            break
    return v, m


def lsh(v: int, m: int, count: int) -> Bits:
    """Shifts to the left by a count below WORD."""
    return v << count & U64, m << count & U64


def rsh(v: int, m: int, count: int) -> Bits:
    """Logical shifts to the right."""
    return v >> count, m >> count


def arsh(v: int, m: int, count: int, bits: int) -> Bits:
    """Arithmetic shifts of a `bits` wide number to the right: an unknown sign is copied as unknown."""
    sign, full = 1 << (bits - 1), (1 << bits) - 1
    return ((v ^ sign) - sign >> count) & full, ((m ^ sign) - sign >> count) & full


def swap(v: int, m: int, bits: int) -> Bits:
    """The low `bits` with their bytes reversed, zero above."""
    size, low = bits // 8, (1 << bits) - 1
    return (
        int.from_bytes((v & low).to_bytes(size, "little"), "big"),
        int.from_bytes((m & low).to_bytes(size, "little"), "big"),
    )


def intersect(av: int, am: int, bv: int, bm: int) -> Bits:
    """What is in both; without meaning where nothing is (see `overlap`)."""
    unknown = am & bm
    return (av | bv) & ~unknown, unknown


def union(av: int, am: int, bv: int, bm: int) -> Bits:
    """What is in either, and no more than bits can tell."""
    unknown = (av ^ bv) | am | bm
    return av & bv & ~unknown, unknown


def overlap(av: int, am: int, bv: int, bm: int) -> bool:
    """Whether some number is in both."""
    return (av ^ bv) & ~(am | bm) == 0


def in_(av: int, am: int, bv: int, bm: int) -> bool:
    """Whether all of b is in a."""
    return bm & ~am == 0 and bv & ~am == av


def following(v: int, m: int, x: int) -> int:
    """The smallest member above x; the largest of all where none is."""
    if x >= v | m:
        return v | m
    if x < v:
        return v
    wrong = (x ^ v) & ~m & U64  # known bits in which x is no member
    if wrong == 0:
        return (x | ~m) + 1 & m | v
    low = (1 << wrong.bit_length()) - 1
    if v & (low ^ low >> 1):  # in the highest of them x is too small: its own bits above, the smallest below
        return x & m & ~low | v
    return (x | ~m | low) + 1 & m | v


def range_(low: int, high: int) -> Bits:
    """The smallest tnum around the unsigned numbers from low to high: their common leading bits are known."""
    unknown = (1 << (low ^ high).bit_length()) - 1
    return low & ~unknown & U64, unknown


def cast(v: int, m: int, bits: int) -> Bits:
    """The low `bits`, zero above."""
    low = (1 << bits) - 1
    return v & low, m & low


def text(v: int, m: int) -> str:
    """As the kernel's log has it."""
    if m == 0:
        return str(v) if v <= 0xFFFF else f"{v:#x}"
    return f"({v:#x}; {m:#x})"

"""What is known of a number in a register: its bits, and its ranges as a signed and an unsigned, 64- and 32-bit number.

The five views tell each other what they know in `settled`, with the deductions of Linux 6.18 (kernel/bpf/verifier.c,
reg_bounds_sync) in its order and number: not everything that could be deduced is, and logs show the difference.
"""

# ruff: noqa: PLR1730 -- min() and max() take three times as long as an if

from __future__ import annotations

from verifier import tnum
from verifier.tnum import (
    HALF,
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    SIGN32,
    SIGN64,
    SPAN32,
    SPAN64,
    U32,
    U64,
    UPPER,
)

ROUNDS = 3  # how often the views are asked for more, as Linux does


class Scalar:
    """A set of 64-bit numbers, never changed and therefore shared.

    value, mask     known bits (see tnum)
    smin .. umax    signed (Python ints from -2**63) and unsigned (0 .. 2**64 - 1) range of the 64-bit number, inclusive
    s32min .. u32max  the same of its low 32 bits
    still           whether settling is known to change nothing; no part of what it says
    """

    __slots__ = ("mask", "s32max", "s32min", "smax", "smin", "still", "u32max", "u32min", "umax", "umin", "value")

    def __init__(
        self, value: int, mask: int, smin: int, smax: int, umin: int, umax: int,
        s32min: int, s32max: int, u32min: int, u32max: int,
    ) -> None:  # fmt: skip
        self.value = value
        self.mask = mask
        self.smin = smin
        self.smax = smax
        self.umin = umin
        self.umax = umax
        self.s32min = s32min
        self.s32max = s32max
        self.u32min = u32min
        self.u32max = u32max
        self.still = False

    @property
    def is_const(self) -> bool:
        """Whether all its bits are known."""
        return self.mask == 0

    def fields(self) -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """The arguments that make it."""
        return (self.value, self.mask, self.smin, self.smax, self.umin, self.umax,
                self.s32min, self.s32max, self.u32min, self.u32max)  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Scalar) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash((self.value, self.mask, self.smin, self.umax))

    def __repr__(self) -> str:
        return f"Scalar{self.fields()}"

    def in_(self, x: int) -> bool:
        """Whether the unsigned 64-bit number x is one of them."""
        low = x & U32
        return (
            x & ~self.mask == self.value
            and self.umin <= x <= self.umax
            and self.smin <= (x - SPAN64 if x >= SIGN64 else x) <= self.smax
            and self.u32min <= low <= self.u32max
            and self.s32min <= (low - SPAN32 if low >= SIGN32 else low) <= self.s32max
        )


UNBOUNDED = (S64_MIN, S64_MAX, 0, U64, S32_MIN, S32_MAX, 0, U32)
UNKNOWN = Scalar(0, U64, *UNBOUNDED)
UNKNOWN.still = True

_constants: dict[int, Scalar] = {}
_KEPT = 4096  # constants; what comes later is made anew


def constant(x: int) -> Scalar:
    """The number x alone: a negative one stands for its two's complement."""
    found = _constants.get(x)
    if found is not None:
        return found
    word = x & U64
    if word != x:
        found = constant(word)
    else:
        low = x & U32
        signed = x - SPAN64 if x >= SIGN64 else x
        signed32 = low - SPAN32 if low >= SIGN32 else low
        found = Scalar(x, 0, signed, signed, x, x, signed32, signed32, low, low)
        found.still = True
    if len(_constants) < _KEPT:
        _constants[x] = found
    return found


def settled(
    value: int, mask: int, smin: int, smax: int, umin: int, umax: int,
    s32min: int, s32max: int, u32min: int, u32max: int,
) -> Scalar:  # fmt: skip
    """The scalar of these parts after each of its views has told the others what it knows.

    Parts that contradict each other (nothing is in all of them) give some scalar, or a broken one: see `branch.sane`.
    """
    if mask != U64:
        smin, smax, umin, umax = within_bits64(value, mask, smin, smax, umin, umax)
        s32min, s32max, u32min, u32max = within_bits32(value & U32, mask & U32, s32min, s32max, u32min, u32max)
        if umin >= umax or mask & (mask + 1):
            only = only_member(value, mask, umin, umax)
            if only >= 0:
                return constant(only)
    if umax <= S32_MAX and ((smin >= 0 and smax <= S32_MAX) or (smin == S64_MIN and smax == S64_MAX)):
        # a small number: what follows gives all views the same range
        low, high = umin, umax
        if u32min > low:
            low = u32min
        if s32min > low:
            low = s32min
        if smin > low:
            low = smin
        if u32max < high:
            high = u32max
        if s32max < high:
            high = s32max
        if smax < high:
            high = smax
        if low <= high:
            return _small(value, mask, low, high)
    for _ in range(ROUNDS):
        before = (smin, smax, umin, umax, s32min, s32max, u32min, u32max)

        # what the 64-bit ranges say of the low half, wherever they span no more than one wrap of it
        if umin != 0 or umax != U64:
            low, high = umin & U32, umax & U32
            low_signed = low - SPAN32 if low >= SIGN32 else low
            high_signed = high - SPAN32 if high >= SIGN32 else high
            wraps = (umax >> HALF) - (umin >> HALF)
            if wraps == 0:
                if low > u32min:
                    u32min = low
                if high < u32max:
                    u32max = high
                narrows = low_signed <= high_signed
            else:
                narrows = wraps & U32 == 1 and low_signed < 0 <= high_signed
            if narrows:
                if low_signed > s32min:
                    s32min = low_signed
                if high_signed < s32max:
                    s32max = high_signed
        if smin != S64_MIN or smax != S64_MAX:
            low, high = smin & U32, smax & U32
            low_signed = low - SPAN32 if low >= SIGN32 else low
            high_signed = high - SPAN32 if high >= SIGN32 else high
            wraps = (smax >> HALF) - (smin >> HALF)
            if wraps == 0:
                if low <= high:
                    if low > u32min:
                        u32min = low
                    if high < u32max:
                        u32max = high
                narrows = low_signed <= high_signed
            else:
                narrows = wraps & U32 == 1 and low_signed < 0 <= high_signed
            if narrows:
                if low_signed > s32min:
                    s32min = low_signed
                if high_signed < s32max:
                    s32max = high_signed

        # signed and unsigned ranges of the low half; one that crosses no sign is the other's too
        low_signed = u32min - SPAN32 if u32min >= SIGN32 else u32min
        high_signed = u32max - SPAN32 if u32max >= SIGN32 else u32max
        if low_signed <= high_signed:
            if low_signed > s32min:
                s32min = low_signed
            if high_signed < s32max:
                s32max = high_signed
        low, high = s32min & U32, s32max & U32
        if low <= high:
            if low > u32min:
                u32min = low
            if high < u32max:
                u32max = high
        elif u32max < low:
            s32min = u32min - SPAN32 if u32min >= SIGN32 else u32min
            if high < u32max:
                u32max = high
        elif high < u32min:
            s32max = u32max - SPAN32 if u32max >= SIGN32 else u32max
            if low > u32min:
                u32min = low

        # the same of all 64 bits; a signed range that crosses the sign is two unsigned ones, and one may be excluded
        low_signed = umin - SPAN64 if umin >= SIGN64 else umin
        high_signed = umax - SPAN64 if umax >= SIGN64 else umax
        if low_signed <= high_signed:
            if low_signed > smin:
                smin = low_signed
            if high_signed < smax:
                smax = high_signed
        low, high = smin & U64, smax & U64
        if low <= high:
            if low > umin:
                umin = low
            if high < umax:
                umax = high
        elif umax < low:
            smin = umin - SPAN64 if umin >= SIGN64 else umin
            if high < umax:
                umax = high
        elif high < umin:
            smax = umax - SPAN64 if umax >= SIGN64 else umax
            if low > umin:
                umin = low

        # what the low half says of the 64-bit ranges
        low = umin & UPPER | u32min
        if low > umin:
            umin = low
        high = umax & UPPER | u32max
        if high < umax:
            umax = high
        low = smin & ~U32 | u32min
        if low > smin:
            smin = low
        high = smax & ~U32 | u32max
        if high < smax:
            smax = high
        if s32min >= 0 and smin >= S32_MIN and smax <= S32_MAX:
            # a sign-extended low half that is not negative; what was known better before is forgotten, as Linux does
            smin = umin = s32min
            smax, umax = s32max, s32max & U64
            unknown = (1 << (umin ^ umax).bit_length()) - 1
            value |= umin & ~unknown
            mask &= unknown
            value &= ~mask

        if before == (smin, smax, umin, umax, s32min, s32max, u32min, u32max):
            break

    # what the unsigned ranges say of the bits, and the bits of all ranges again
    unknown = (1 << (umin ^ umax).bit_length()) - 1
    value |= umin & ~unknown
    mask &= unknown
    value &= ~mask
    unknown = UPPER | (1 << (u32min ^ u32max).bit_length()) - 1
    value |= u32min & ~unknown
    mask &= unknown
    value &= ~mask
    if mask != U64:
        smin, smax, umin, umax = within_bits64(value, mask, smin, smax, umin, umax)
        s32min, s32max, u32min, u32max = within_bits32(value & U32, mask & U32, s32min, s32max, u32min, u32max)
        if umin >= umax or mask & (mask + 1):
            only = only_member(value, mask, umin, umax)
            if only >= 0:
                return constant(only)
    return Scalar(value, mask, smin, smax, umin, umax, s32min, s32max, u32min, u32max)


def _small(value: int, mask: int, low: int, high: int) -> Scalar:
    """The end of `settled` for numbers below 2**31."""
    unknown = (1 << (low ^ high).bit_length()) - 1
    value |= low & ~unknown
    mask &= unknown
    value &= ~mask
    most = value | mask
    if value > low:
        low = value
    if most < high:
        high = most
    if low >= high or mask & (mask + 1):
        only = only_member(value, mask, low, high)
        if only >= 0:
            return constant(only)
    return Scalar(value, mask, low, high, low, high, low, high, low, high)


def only_member(value: int, mask: int, umin: int, umax: int) -> int:
    """The member of a tnum that an unsigned range leaves alone; -1 if it leaves more, or none that Linux would see."""
    following = tnum.following(value, mask, umin)
    if umin & ~mask == value:
        return umin if following > umax else -1
    if following == value | mask:
        return following
    if following <= umax and tnum.following(value, mask, following) > umax:
        return following
    return -1


def within_bits64(value: int, mask: int, smin: int, smax: int, umin: int, umax: int) -> tuple[int, int, int, int]:
    """64-bit ranges, narrowed to what the bits allow."""
    most = value | mask
    if value > umin:
        umin = value
    if most < umax:
        umax = most
    least = value
    if mask >= SIGN64:
        least -= SIGN64
        most -= SIGN64
    elif value >= SIGN64:
        least -= SPAN64
        most -= SPAN64
    return max(smin, least), min(smax, most), umin, umax


def within_bits32(value: int, mask: int, smin: int, smax: int, umin: int, umax: int) -> tuple[int, int, int, int]:
    """The same of 32-bit ranges; value and mask are of the low half."""
    most = value | mask
    if value > umin:
        umin = value
    if most < umax:
        umax = most
    least = value
    if mask >= SIGN32:
        least -= SIGN32
        most -= SIGN32
    elif value >= SIGN32:
        least -= SPAN32
        most -= SPAN32
    return max(smin, least), min(smax, most), umin, umax


def within(old: Scalar, new: Scalar) -> bool:
    """Whether old's ranges and bits cover all of new's: a state with old that was found safe says so of new."""
    return old is new or (
        old.umin <= new.umin
        and old.umax >= new.umax
        and old.smin <= new.smin
        and old.smax >= new.smax
        and old.u32min <= new.u32min
        and old.u32max >= new.u32max
        and old.s32min <= new.s32min
        and old.s32max >= new.s32max
        and new.mask & ~old.mask == 0
        and new.value & ~old.mask == old.value
    )

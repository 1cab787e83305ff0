"""What each operation computes, as small functions on unsigned integers.

Operands are unsigned 64-bit values (a 32-bit immediate is sign-extended first); a 32-bit operation masks what it
reads and returns a value below 2**32, which is the zero extension that RFC 9669 section 4.1 asks for.
"""

from __future__ import annotations

from collections.abc import Callable

from bpf.isa.opcodes import FROM_ARENA

Binary = Callable[[int, int], int]

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1


def signed(value: int, bits: int) -> int:
    """The low `bits` of value read as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _truncated_quotient(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return -quotient if (a < 0) != (b < 0) else quotient


def alu(bits: int) -> dict[str, Binary]:
    """The two-operand operations at one width: name -> f(dst, src). Division by zero: RFC 9669 section 4.1."""
    mask = (1 << bits) - 1
    count = bits - 1

    def sdiv(d: int, s: int) -> int:
        a, b = signed(d, bits), signed(s, bits)
        return _truncated_quotient(a, b) & mask if b else 0

    def smod(d: int, s: int) -> int:
        a, b = signed(d, bits), signed(s, bits)
        return (a - b * _truncated_quotient(a, b)) & mask if b else d & mask

    return {
        "add": lambda d, s: (d + s) & mask,
        "sub": lambda d, s: (d - s) & mask,
        "mul": lambda d, s: (d * s) & mask,
        "div": lambda d, s: (d & mask) // (s & mask) if s & mask else 0,
        "mod": lambda d, s: (d & mask) % (s & mask) if s & mask else d & mask,
        "sdiv": sdiv,
        "smod": smod,
        "or": lambda d, s: (d | s) & mask,
        "and": lambda d, s: d & s & mask,
        "xor": lambda d, s: (d ^ s) & mask,
        "lsh": lambda d, s: (d << (s & count)) & mask,
        "rsh": lambda d, s: (d & mask) >> (s & count),
        "arsh": lambda d, s: (signed(d, bits) >> (s & count)) & mask,
        "neg": lambda d, s: -d & mask,
        "mov": lambda d, s: s & mask,
    }


def sign_extend(bits: int, into: int) -> Binary:
    """movsx: the low `bits` of src, sign-extended to `into` bits, zero above."""
    mask = (1 << into) - 1
    return lambda d, s: signed(s, bits) & mask


def truncate(bits: int) -> Binary:
    """A conversion to the byte order that the program already has: it only cuts (RFC 9669 section 4.2)."""
    mask = (1 << bits) - 1
    return lambda d, s: d & mask


def swap(bits: int) -> Binary:
    """The low `bits` of dst with their bytes reversed, zero above."""
    size = bits // 8
    mask = (1 << bits) - 1
    return lambda d, s: int.from_bytes((d & mask).to_bytes(size, "little"), "big")


def conditions(bits: int) -> dict[str, Binary]:
    """The comparisons at one width: name -> f(dst, src), true when the jump is taken."""
    mask = (1 << bits) - 1
    flip = 1 << (bits - 1)  # flipping the sign bit turns signed order into unsigned order
    return {
        "jeq": lambda d, s: (d ^ s) & mask == 0,
        "jne": lambda d, s: (d ^ s) & mask != 0,
        "jgt": lambda d, s: d & mask > s & mask,
        "jge": lambda d, s: d & mask >= s & mask,
        "jlt": lambda d, s: d & mask < s & mask,
        "jle": lambda d, s: d & mask <= s & mask,
        "jset": lambda d, s: d & s & mask != 0,
        "jsgt": lambda d, s: (d & mask) ^ flip > (s & mask) ^ flip,
        "jsge": lambda d, s: (d & mask) ^ flip >= (s & mask) ^ flip,
        "jslt": lambda d, s: (d & mask) ^ flip < (s & mask) ^ flip,
        "jsle": lambda d, s: (d & mask) ^ flip <= (s & mask) ^ flip,
    }


def loaded(bits: int, sign: bool) -> Binary:
    """What a load of `bits` puts into a register: f(_, raw)."""
    if sign:
        return lambda _, raw: signed(raw, bits) & M64
    return lambda _, raw: raw


def address_space_cast(base: int, s: int, imm: int) -> int:
    """A pointer of the arena in the other address space: the upper half of the arena's addresses, `base`, comes to it.

    Here both spaces hold whole addresses. On the way to the arena's space a null pointer stays null.
    """
    low = s & M32
    return base | low if low or imm == FROM_ARENA else 0


def stored(bits: int) -> Binary:
    """What a store of `bits` puts into memory: f(_, register)."""
    mask = (1 << bits) - 1
    return lambda _, value: value & mask


def atomics(bits: int) -> dict[str, Callable[[int, int, int], int]]:
    """New memory value of each atomic operation: name -> f(old, src, r0). RFC 9669 section 5.3."""
    mask = (1 << bits) - 1
    return {
        "add": lambda old, s, r0: (old + s) & mask,
        "or": lambda old, s, r0: (old | s) & mask,
        "and": lambda old, s, r0: old & s & mask,
        "xor": lambda old, s, r0: (old ^ s) & mask,
        "xchg": lambda old, s, r0: s & mask,
        "cmpxchg": lambda old, s, r0: s & mask if old == r0 & mask else old,
    }

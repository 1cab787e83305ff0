"""Formats of bpf_snprintf, which the verifier reads: are they whole, and are there numbers enough?

Source: bpf_bprintf_prepare of Linux 6.18 (kernel/bpf/helpers.c).
"""

from __future__ import annotations

from bpf.program import Map
from bpf.spec.errno import EINVAL
from verifier.env import Env
from verifier.rejection import Rejection

_FORMAT, _LENGTH = 3, 5  # the registers of the format and of the numbers' length
_SPACE = b"\t\n\v\f\r "
_ENDS = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" + _SPACE + b"\0"  # what may follow %p and %s


def check(env: Env) -> None:
    """The format that R3 points to fits R5 bytes of 64-bit numbers. Raises Rejection."""
    regs = env.state.frames[-1].regs
    length = regs[_LENGTH].num.value
    if length % 8:
        raise Rejection(EINVAL, "", env.pc, reason=f"{length} bytes of numbers, which have 8 each")
    pointer = regs[_FORMAT]
    assert isinstance(pointer.of, Map)  # arguments.py has found a string in a map that never changes
    text = pointer.of.initial[pointer.off + pointer.num.value :].partition(b"\0")[0]
    if not fits(text, length // 8):
        raise Rejection(EINVAL, "Invalid format string", env.pc)


def fits(text: bytes, numbers: int) -> bool:
    """Whether a format is right, and wants at most so many numbers."""
    if any(not (0x20 <= byte < 0x7F or byte in _SPACE) for byte in text):
        return False
    end = len(text)
    text += bytes(3)
    at = 0
    while at < end:
        if text[at] != ord("%"):
            at += 1
        elif text[at + 1] == ord("%"):
            at += 2
        else:
            numbers -= 1
            at = _conversion(text, at + 1)
            if numbers < 0 or at < 0:
                return False
    return True


def _conversion(text: bytes, at: int) -> int:
    """Where a conversion ends, -1 where it is none."""
    while text[at] in b"0+- ":
        at += 1
    if text[at] in b"123456789":
        while text[at] in b"0123456789":
            at += 1
    if text[at] == ord("p"):
        return _pointer(text, at + 1)
    if text[at] == ord("s"):
        return at + 1 if text[at + 1] in _ENDS else -1
    if text[at] == ord("c"):
        return at + 1
    longs = 0
    while longs < 2 and text[at] == ord("l"):
        longs, at = longs + 1, at + 1
    return at + 1 if text[at] in b"diuxX" else -1


def _pointer(text: bytes, at: int) -> int:
    """The same behind %p."""
    if text[at] in b"ku" and text[at + 1] == ord("s"):
        return at + 2 if text[at + 2] in _ENDS else -1
    if text[at] in _ENDS:
        return at
    if text[at] in b"KxsSB":
        return at + 1
    return at + 2 if text[at] in b"iI" and text[at + 1] in b"46" else -1

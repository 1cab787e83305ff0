"""Meaningful programs with a few fields changed: nearer to what people get wrong than random slots are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from random import Random

from bpf.isa.table import BY_OPCODE
from verifier.raw import SLOT, Raw, slots
from verifier.subject import Subject

_OPCODES = tuple(BY_OPCODE)
_NUMBERS = (0, 1, -1, 2, 7, 8, 16, 31, 32, 63, 64, 255, 512, -8, -16, 0x7FFFFFFF, -0x80000000, 0xFFFF)
_OFFSETS = (0, 1, -1, 2, 3, 4, 8, -8, -16, -4, -512, 32767, -32768)


def subject(rng: Random, made: Subject, changes: int = 3) -> Subject:
    """A little-endian program with up to so many changes; its length stays, so its functions' types stay right."""
    raws = slots(made.code, "little")
    for _ in range(rng.randrange(1, changes + 1)):
        at = rng.randrange(len(raws))
        raws[at] = _changed(rng, raws[at], raws)
    code = b"".join(struct.pack("<BBhi", raw.code, raw.dst | raw.src << 4, raw.off, raw.imm) for raw in raws)
    assert len(code) == len(raws) * SLOT
    return replace(made, code=code)


def _changed(rng: Random, raw: Raw, raws: list[Raw]) -> Raw:
    what = rng.randrange(9)
    if what == 0:
        return raw._replace(dst=rng.randrange(11))
    if what == 1:
        return raw._replace(src=rng.randrange(11))
    if what in (2, 3):
        return raw._replace(imm=rng.choice((*_NUMBERS, raw.imm + 1, -(raw.imm + 1), raw.imm ^ 1 << rng.randrange(31))))
    if what in (4, 5):
        return raw._replace(off=rng.choice((*_OFFSETS, min(raw.off + 1, 32767), max(raw.off - 1, -32768))))
    if what == 6:  # another operation of the same sort
        alike = [code for code in _OPCODES if code & 7 == raw.code & 7]
        return raw._replace(code=rng.choice(alike) if alike else raw.code)
    if what == 7:
        return rng.choice(raws)
    return raw._replace(code=rng.choice(_OPCODES))


def of(profile: Callable[[Random], Subject]) -> Callable[[Random], Subject]:
    """The programs of a profile, changed."""
    return lambda rng: subject(rng, profile(rng))

"""The verifier's scalars at other widths: the very same source, with other numbers of bits, and with faults if wanted.

A register may have at most twice the bits of its subregister: Linux looks at what is above as if it were one, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import verifier

ROOMS = ("tnum", "scalar", "extend", "arith", "branch")  # each imports only those before it
_WIDTHS = "WORD, HALF = 64, 32"
_PACKAGE = "narrow"


class Domain(NamedTuple):
    """The rooms of scalars at one width."""

    word: int
    half: int
    tnum: Any
    scalar: Any
    extend: Any
    arith: Any
    branch: Any


Edit = tuple[str, str, str]  # room, text that it has once, text that it gets


def domain(word: int, half: int, edits: tuple[Edit, ...] = ()) -> Domain:
    """The scalars of `word` bits whose subregister has `half`."""
    modules = {_PACKAGE: ModuleType(_PACKAGE)}
    sys.modules[_PACKAGE] = modules[_PACKAGE]
    try:
        for room in ROOMS:
            module = ModuleType(f"{_PACKAGE}.{room}")
            modules[module.__name__] = sys.modules[module.__name__] = module
            exec(_code(room, word, half, tuple(edit for edit in edits if edit[0] == room)), module.__dict__)
            setattr(modules[_PACKAGE], room, module)
    finally:
        for name in modules:
            sys.modules.pop(name, None)
    return Domain(word, half, *(modules[f"{_PACKAGE}.{room}"] for room in ROOMS))


@cache
def _code(room: str, word: int, half: int, edits: tuple[Edit, ...]) -> CodeType:
    text = (Path(verifier.__file__).parent / f"{room}.py").read_text()
    if room == "tnum":
        assert text.count(_WIDTHS) == 1
        text = text.replace(_WIDTHS, f"WORD, HALF = {word}, {half}")
    for _, old, new in edits:
        assert text.count(old) == 1, (room, old)
        text = text.replace(old, new)
    return compile(text.replace("from verifier", f"from {_PACKAGE}"), f"{room} of {word} bits", "exec")


def members(d: Domain, s: Any) -> list[int]:
    """The numbers of a scalar."""
    return [x for x in range(1 << d.word) if s.in_(x)]


def tnums(bits: int) -> Iterator[tuple[int, int]]:
    """All known-bits pairs of a width."""
    for mask in range(1 << bits):
        for value in range(1 << bits):
            if value & mask == 0:
                yield value, mask


def bits_around(numbers: list[int]) -> tuple[int, int]:
    """The smallest tnum that has them all."""
    mask = 0
    for x in numbers:
        mask |= x ^ numbers[0]
    return numbers[0] & ~mask, mask


def signed(x: int, bits: int) -> int:
    """x as a two's complement number."""
    return x - (1 << bits) if x >> (bits - 1) else x


def fields_around(d: Domain, views: Mapping[str, list[int]]) -> tuple[int, ...]:
    """The parts of a scalar whose views (bits, s, u, s32, u32) are each as narrow as their own numbers allow."""
    low = (1 << d.half) - 1
    s, u = [signed(x, d.word) for x in views["s"]], views["u"]
    s32, u32 = [signed(x & low, d.half) for x in views["s32"]], [x & low for x in views["u32"]]
    return (
        *bits_around(views["bits"]),
        min(s), max(s), min(u), max(u), min(s32), max(s32), min(u32), max(u32),
    )  # fmt: skip

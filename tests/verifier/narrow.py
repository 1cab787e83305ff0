"""The verifier's scalars at other widths: the very same source, with other numbers of bits, and with faults if wanted.

A register may have at most twice the bits of its subregister: Linux looks at what is above as if it were one, too.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import verifier

ROOMS = ("tnum", "scalar", "extend", "arith", "branch")  # each imports only those before it
_WIDTHS = "WORD, HALF = 64, 32"
_numbers = itertools.count()


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
    package = f"narrow{next(_numbers)}"
    home = Path(verifier.__file__).parent
    modules: dict[str, ModuleType] = {package: ModuleType(package)}
    sys.modules[package] = modules[package]
    try:
        for room in ROOMS:
            text = (home / f"{room}.py").read_text()
            if room == "tnum":
                assert text.count(_WIDTHS) == 1
                text = text.replace(_WIDTHS, f"WORD, HALF = {word}, {half}")
            for where, old, new in edits:
                if where == room:
                    assert text.count(old) == 1, (room, old)
                    text = text.replace(old, new)
            text = text.replace("from verifier", f"from {package}")
            module = ModuleType(f"{package}.{room}")
            modules[module.__name__] = sys.modules[module.__name__] = module
            exec(compile(text, f"{room} of {word} bits", "exec"), module.__dict__)
            setattr(modules[package], room, module)
    finally:
        for name in modules:
            sys.modules.pop(name, None)
    return Domain(word, half, *(modules[f"{package}.{room}"] for room in ROOMS))


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

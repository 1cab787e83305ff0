"""Programs that the tests of this folder load."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bpf.errors import NotHere
from bpf.program import Map, Program
from bpf.text import assemble
from crossbpf import cc
from crossbpf.loading import read_programs

SOURCE = Path(__file__).resolve().parents[1] / "data" / "objects" / "runtime.c"

COUNTS = Map("counts", "array", 4, 8, 4)
_COUNT = """
r1 = 1
*(u32 *)(r10 - 4) = r1
r2 = r10
r2 += -4
r1 = map[idx:{}]
call 1
if r0 == 0 goto out
r1 = 1
lock *(u64 *)(r0 + 0) += r1
r0 = *(u64 *)(r0 + 0)
out:
exit
"""


def counter(*maps: Map, number: int = 0, name: str = "count", section: str = "xdp") -> Program:
    """A program that counts in element 1 of a map, and returns the count."""
    return replace(assemble(_COUNT.format(number), name=name), maps=maps or (COUNTS,), section=section)


def text(words: str, name: str = "prog", section: str = "", maps: tuple[Map, ...] = ()) -> Program:
    """A program from instructions that semicolons part."""
    return replace(assemble(words.replace(";", "\n"), name=name), section=section, maps=maps)


@cache
def built() -> tuple[Program, ...]:
    """The programs of runtime.c: count, jump, last; skips where there is no compiler."""
    try:
        cc.find()
    except NotHere as error:
        pytest.skip(str(error))
    return read_programs(str(SOURCE))[0]


def returning(name: str = "p", section: str = "", code: int = 0) -> Program:
    """A program that does nothing but return."""
    return text(f"r0 = {code}; exit", name, section)

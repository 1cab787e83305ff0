"""Objects for the tests of this folder: the prebuilt examples, C compiled on the spot, and surgery on ELF headers."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest

from bpf.errors import NotHere
from bpf.plan import PLANS, Unit
from bpf.program import Program
from crossbpf import cc
from vm.interpreter import Interpreter
from vm.outcome import Outcome
from vm.world import Input, Limits, World

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.c"))
SUFFIX = {"little": ".bpfel.o", "big": ".bpfeb.o"}
ORDERS = tuple(SUFFIX)
PROGRAMS = EXAMPLES.parent / "tests" / "data" / "objects"


def example(name: str, order: str) -> bytes:
    """The prebuilt object of an example."""
    return (EXAMPLES / (name + SUFFIX[order])).read_bytes()


def compiled(source: str, order: str, folder: Path, *cflags: str) -> bytes:
    """C text as an object; the test is skipped where there is no compiler."""
    try:
        cc.find()
    except NotHere as error:
        pytest.skip(str(error))
    path = folder / "test.c"
    path.write_text(source)
    return cc.compile_c(path, order, cflags=cflags)


@cache
def built(name: str, order: str, *cflags: str) -> bytes:
    """The object of a program in tests/data/objects; the test is skipped where there is no compiler."""
    try:
        cc.find()
    except NotHere as error:
        pytest.skip(str(error))
    return cc.compile_c(PROGRAMS / f"{name}.c", order, cflags=cflags)


def outcome(program: Program, memory: bytes = b"", plan: str = "high") -> Outcome:
    """What a program does with a copy of memory."""
    run = Interpreter(Unit((program,), plan=PLANS[plan]), program).run(Input(memory), World(), Limits())
    assert run.status == "done", run.summary()
    return run


class Surgeon:
    """Changes fields of an ELF file in place. Offsets: System V ABI, chapter 4 (64-bit)."""

    HEADER: ClassVar = {
        "type": (16, "H"), "machine": (18, "H"), "shoff": (40, "Q"), "shnum": (60, "H"), "shstrndx": (62, "H"),
    }  # fmt: skip
    SECTION: ClassVar = {
        "name": (0, "I"), "type": (4, "I"), "flags": (8, "Q"), "offset": (24, "Q"), "size": (32, "Q"),
        "link": (40, "I"), "info": (44, "I"), "entsize": (56, "Q"),
    }  # fmt: skip

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.mark = "<" if data[5] == 1 else ">"

    def get(self, at: int, code: str) -> int:
        value: int = struct.unpack_from(self.mark + code, self.data, at)[0]
        return value

    def put(self, at: int, code: str, value: int) -> None:
        struct.pack_into(self.mark + code, self.data, at, value)

    def header(self, field: str, value: int) -> bytes:
        """The file with a field of the ELF header changed."""
        at, code = self.HEADER[field]
        self.put(at, code, value)
        return bytes(self.data)

    def _section(self, name: str) -> int:
        shoff, count, strings = (self.get(*self.HEADER[field]) for field in ("shoff", "shnum", "shstrndx"))
        names = self.get(shoff + 64 * strings + 24, "Q")
        wanted = name.encode()
        for index in range(count):
            at = shoff + 64 * index
            start = names + self.get(at, "I")
            if bytes(self.data[start : start + len(wanted) + 1]) == wanted + b"\0":
                return at
        raise KeyError(name)

    def section(self, name: str, field: str, value: int) -> bytes:
        """The file with a field of a section header changed."""
        at, code = self.SECTION[field]
        self.put(self._section(name) + at, code, value)
        return bytes(self.data)

    def content(self, name: str, offset: int, patch: bytes) -> bytes:
        """The file with bytes of a section changed."""
        start = self.get(self._section(name) + 24, "Q") + offset
        self.data[start : start + len(patch)] = patch
        return bytes(self.data)

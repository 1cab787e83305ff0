"""How it is said what a program is given, what it answers and what it leaves."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.programs.frames import address, ethernet, tcp


@dataclass(frozen=True, slots=True)
class S:
    """Numbers packed in the byte order of the program."""

    form: str
    values: tuple[Any, ...]

    def __init__(self, form: str, *values: Any) -> None:
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "values", values)

    def bytes(self, order: str) -> bytes:
        return struct.pack((">" if order == "big" else "<") + self.form, *self.values)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. after: the packet afterwards, where it is another; given, left: fields of the context;
    printed: lines.

    A field in network order is given as bytes.
    """

    r0: int
    packet: bytes = b""
    after: bytes | None = None
    given: Mapping[str, int | bytes] = field(default_factory=dict)
    left: Mapping[str, int | bytes] = field(default_factory=dict)
    printed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """A program and its runs in one world.

    type      program type
    elements  map -> what it holds at the start; maps: what it holds in the end (a tuple: of each CPU, or a list)
    data      section -> the first bytes of that global data in the end
    entry     the function that is entered, "" for the object's first
    live      "" where the live kernel does the same, else why it cannot say: words of the answer
    cpu       which CPU runs it
    """

    type: str
    runs: tuple[Run, ...]
    elements: Mapping[str, Sequence[tuple[Any, Any]]] = field(default_factory=dict)
    maps: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, S] = field(default_factory=dict)
    entry: str = ""
    live: str = ""
    cpu: int = 0


PASS, DROP, TX = 2, 1, 3  # XDP
OK, SHOT, PIPE = 0, 2, 3  # tc
NO_TEST_RUN = "BPF_PROG_TEST_RUN does not run"


def port(number: int) -> bytes:
    """A port as packets have it."""
    return struct.pack(">H", number)


def network(text: str, length: int) -> S:
    return S("I4s", length, address(text))


def on_cpu(cpu: int, value: Any, other: Any = 0) -> tuple[Any, ...]:
    """A per-CPU value that one CPU has written."""
    return tuple(value if number == cpu else other for number in range(4))


SHORT = ethernet(b"\x45")
WEB = ethernet(tcp(40000, 80, 2))

"""The live kernel's verifier as a judge: the verdict on a program and what its log says of registers."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
import sys
from typing import Any, NamedTuple

import pytest

from bpf.text import assemble
from engines import syscall
from tests.live_kernel import live

_release = tuple(map(int, re.findall(r"\d+", platform.release())[:2])) if sys.platform == "linux" else ()
KNOWN = _release == (6, 18) and platform.machine() == "x86_64"
needs_linux = [
    live,
    pytest.mark.skipif(not KNOWN, reason=f"the rules are those of Linux 6.18 on x86_64, this is {platform.release()}"),
]
SLEEPABLE = syscall.SLEEPABLE
_FIGURES = re.compile(r"(processed \d+ insns|verification time|stack depth|mark_precise|max_states)")


class Answer(NamedTuple):
    """What the kernel says. errno: 0 where it takes the program; lines: of the log, without figures."""

    errno: int
    lines: list[str]

    @property
    def reason(self) -> str:
        """The last line, "" where there is none."""
        return self.lines[-1] if self.lines else ""

    def register(self, number: int) -> str:
        """What the log says of a register behind the last instruction that shows it: `scalar()`, `pkt(r=0)`."""
        found = re.findall(rf"\bR{number}(?:_\w+)?=((?:\w|\(.*?\))+)", "\n".join(self.lines))
        return found[-1] if found else ""


def code(text: str) -> bytes:
    """The wire form of part of a program."""
    return assemble(text.rstrip("; ") + "; r0 = 0; exit", order=sys.byteorder).encode()[:-16]


def kfunc(number: int) -> bytes:
    """The call of one of the kernel's functions, by its number in the kernel's types."""
    return struct.pack("=BBhi", 0x85, 0x20 if sys.byteorder == "little" else 0x02, 0, number)


_log = ctypes.create_string_buffer(1 << 18)


def load(program: bytes | str, kind: int, attach: int = 0, *, level: int = 1, **more: Any) -> Answer:
    """Ask the kernel. program: wire form, or assembly; more: further fields of the system call."""
    wire = assemble(program, order=sys.byteorder).encode() if isinstance(program, str) else program
    insns, license_ = ctypes.create_string_buffer(wire, len(wire)), ctypes.create_string_buffer(b"GPL")
    addresses = [ctypes.addressof(one) for one in (insns, license_, _log)]
    attr = syscall._ProgLoad(kind, len(wire) // 8, addresses[0], addresses[1], level, len(_log), addresses[2])
    attr.expected_attach_type = attach
    for name, value in more.items():
        setattr(attr, name, value)
    _log[0] = b"\0"
    number = 0
    try:
        os.close(syscall.bpf(syscall.PROG_LOAD, attr))
    except OSError as error:
        number = error.errno or 0
    return Answer(number, [one for one in _log.value.decode().splitlines() if one and not _FIGURES.match(one)])

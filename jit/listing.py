"""Machine code as text, by Capstone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import capstone

from jit.image import Image
from jit.target import Target


@dataclass(frozen=True, slots=True)
class Native:
    """One machine instruction: address, bytes, text, and the slot it belongs to (-1: the JIT's own code)."""

    address: int
    code: bytes
    text: str
    pc: int


@cache
def _decoder(target: Target) -> Any:
    arch, modes = target.capstone
    mode = 0
    for name in modes:
        mode |= getattr(capstone, name)
    return capstone.Cs(getattr(capstone, arch), mode)


def decode(target: Target, code: bytes, address: int) -> Iterator[tuple[int, bytes, str]]:
    """(address, bytes, text) of each instruction; what Capstone does not know is shown as .byte, four at a time."""
    decoder = _decoder(target)
    at = 0
    while at < len(code):
        for found, size, mnemonic, operands in decoder.disasm_lite(code[at:], address + at):
            yield found, code[found - address : found - address + size], f"{mnemonic} {operands}".strip()
            at = found - address + size
        if at < len(code):
            piece = code[at : at + 4]
            yield address + at, piece, ".byte " + ", ".join(f"0x{byte:02x}" for byte in piece)
            at += len(piece)


def listing(image: Image, start: int = 0, end: int | None = None) -> Iterator[Native]:
    """The instructions of image.code[start:end] in order."""
    end = len(image.code) if end is None else end
    for address, code, text in decode(image.target, image.code[start:end], image.base + start):
        yield Native(address, code, text, image.pc_at(address))

"""The `.data` files of the public BPF conformance suite: a program, its memory, and what must come of it.

A file is made of sections, each headed by a line that starts with `--`:

    -- asm                  assembly, in the mnemonic form (bpf/text reads it)
    -- raw                  instead of it: instructions as numbers, the 8 bytes of a slot read as little-endian
    -- mem                  bytes of the memory that R1 points to, hexadecimal
    -- result               R0 at exit, an unsigned 64-bit number
    -- error                instead of it: a message, when the program must be refused or fail
    -- no register offset   a mark without content
    -- c                    the C source that the program came from, for people

Text before the first section, and after a `#`, is comment. Where a file has both, raw is run and asm says what it
means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bpf.errors import BadInput, CrossbpfError
from bpf.order import Order
from bpf.program import Program, program
from bpf.text import assemble

_SECTIONS = ("asm", "raw", "mem", "result", "error", "no register offset", "c")
_M64 = (1 << 64) - 1
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")
_BYTE = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,2}")

_Lines = list[tuple[int, str]]  # (1-based line number, content)


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One conformance test.

    text      its assembly, raw its code in little-endian wire form; at least one of them is not None
    memory    the bytes that R1 points to
    result    R0 at exit, unsigned; None when the file has only an error
    error     the message of a program that must fail
    text_line the line of the file that text starts at
    """

    path: Path
    name: str
    text: str | None = None
    raw: bytes | None = None
    memory: bytes = b""
    result: int | None = None
    error: str | None = None
    no_register_offset: bool = False
    text_line: int = 1

    def program(self, order: Order = "little") -> Program:
        """The program, of byte order `order`. Raises BadText or BadProgram naming the file and the line."""
        if self.raw is None:
            assert self.text is not None
            padding = "\n" * (self.text_line - 1)  # so that messages and Program.lines have the file's line numbers
            return assemble(padding + self.text, order=order, name=self.name, file=str(self.path))
        try:
            return program(self.raw, name=self.name).in_order(order)
        except CrossbpfError as error:
            raise error.at(file=str(self.path)) from None


def read(path: str | Path) -> SuiteTest:
    """The test in the file at path. Raises BadInput."""
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError:
        raise BadInput("is not text", file=str(path), remedy="a conformance test is a UTF-8 text file") from None
    try:
        return parse(path, content)
    except BadInput as error:
        raise error.at(file=str(path)) from None


def parse(path: Path, content: str) -> SuiteTest:
    """The test that a file at `path` with this content is. Raises BadInput naming the line."""
    sections = _split(content)
    if not any(line for name in ("asm", "raw") for _, line in sections.get(name, [])):
        raise BadInput("no program", remedy="a test has a section `-- asm` or `-- raw`")
    if "result" not in sections and "error" not in sections:
        raise BadInput("no expectation", remedy="a test has a section `-- result` or `-- error`")
    text = raw = result = error = None
    asm = sections.get("asm")
    if asm is not None:
        text = "".join(f"{line}\n" for _, line in asm)
    if "raw" in sections:
        raw = b"".join((value & _M64).to_bytes(8, "little") for value in _numbers(sections["raw"])) or None
    if "result" in sections:
        values = _numbers(sections["result"])
        if len(values) != 1:
            raise BadInput(f"result is {len(values)} numbers, must be one")
        result = values[0] & _M64
    if "error" in sections:
        lines = (line.strip() for _, line in sections["error"])
        error = "\n".join(line for line in lines if line and not line.startswith("#"))
    memory = bytes(
        int(word, 16) for _, word in _words(sections.get("mem", []), _BYTE, "a byte in hexadecimal, such as 7f or 0x7f")
    )
    text_line = asm[0][0] if asm else 1
    return SuiteTest(path, path.stem, text, raw, memory, result, error, "no register offset" in sections, text_line)


def _split(content: str) -> dict[str, _Lines]:
    """The lines of each section. Raises BadInput for a section that is unknown or comes twice."""
    sections: dict[str, _Lines] = {}
    current: _Lines = []
    for at, line in enumerate(content.split("\n"), 1):
        if not line.startswith("--"):
            current.append((at, line.rstrip("\r")))
            continue
        name = " ".join(_uncomment(line[2:]).split())
        if name not in _SECTIONS:
            remedy = f"sections are {', '.join(_SECTIONS)}"
            raise BadInput(f"unknown section {name[:60]!r}", place=f"line {at}", remedy=remedy)
        if name in sections:
            raise BadInput(f"second section {name!r}", place=f"line {at}")
        current = sections[name] = []
    return sections


def _uncomment(line: str) -> str:
    return line.partition("#")[0].strip()


def _words(lines: _Lines, form: re.Pattern[str], what: str) -> list[tuple[int, str]]:
    """The whitespace-separated words of a section, each of which must be of the form."""
    words = [(at, word) for at, line in lines for word in _uncomment(line).split()]
    for at, word in words:
        if not form.fullmatch(word):
            raise BadInput(f"{word[:60]!r} is not {what}", place=f"line {at}")
    return words


def _numbers(lines: _Lines) -> list[int]:
    """The numbers of a section: hexadecimal with 0x, else decimal; at most 64 bits wide."""
    values = []
    for at, word in _words(lines, _NUMBER, "a number of at most 64 bits"):
        value = int(word, 16 if "x" in word.lower() else 10)
        if not -(1 << 63) <= value <= _M64:
            raise BadInput(f"{word} does not fit 64 bits", place=f"line {at}")
        values.append(value)
    return values

"""From what a user names on the command line to programs: C, ELF, assembly, conformance files, wire bytes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bpf.errors import BadInput, CrossbpfError, Refused
from bpf.object.elf import Object
from bpf.program import Program, program
from bpf.spec.conventions import PLAIN, SUITE, Convention
from bpf.text import assemble
from crossbpf.cc import compile_c
from fuzz.suite import datafile

OBJECT, DATA, TEXT, HEX, BINARY, C = "object", "data", "text", "hex", "binary", "c"
_SUFFIXES = {".c": C, ".o": OBJECT, ".elf": OBJECT, ".data": DATA, ".s": TEXT, ".bpf": TEXT, ".asm": TEXT, ".hex": HEX,
             ".bin": BINARY}  # fmt: skip


_LITTLE, _BIG = ".bpfel.o", ".bpfeb.o"


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """How C files are compiled. See crossbpf/cc.py."""

    cc: str | None = None
    cflags: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A program as a user gave it.

    file        its name, "<stdin>" for standard input
    kind        one of this module's kinds
    program_in  the program in a byte order; raises Refused for an object of the other one
    convention  how it is entered
    memory      the memory that the file itself brings (conformance files)
    test        the conformance test that it is
    """

    file: str
    kind: str
    program_in: Callable[[str], Program]
    convention: Convention = PLAIN
    memory: bytes = b""
    test: datafile.SuiteTest | None = None

    def any_order(self) -> Program:
        """The program in the byte order that it has: little-endian unless it is a big-endian object."""
        try:
            return self.program_in("little")
        except Refused:
            return self.program_in("big")


def read_bytes(name: str) -> bytes:
    """The bytes of a file, `-` being standard input. Raises BadInput."""
    if name == "-":
        return sys.stdin.buffer.read()
    path = Path(name)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput("no such file", file=name) from None
    except IsADirectoryError:
        raise BadInput("is a directory", file=name, remedy="name a file in it") from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=name) from None


def write_bytes(name: str, data: bytes) -> None:
    """Write a file. Raises BadInput."""
    try:
        Path(name).write_bytes(data)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", file=name) from None


def hex_bytes(text: str, file: str) -> bytes:
    """Bytes written in hex: with or without 0x, spaces, commas, newlines and # comments between them."""
    words = re.sub(r"#.*", "", text).replace(",", " ").split()
    digits = "".join(word[2:] if word.lower().startswith("0x") else word for word in words)
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise BadInput("not hex bytes", file=file, remedy="write two hex digits a byte") from None


def memory_bytes(argument: str | None, option: str = "--mem") -> bytes:
    """The memory or packet a user gives: a file (.mem and .hex hold hex text, others raw bytes), or hex digits."""
    if argument is None:
        return b""
    if Path(argument).is_file():
        data = read_bytes(argument)
        if Path(argument).suffix in (".mem", ".hex"):
            return hex_bytes(data.decode("latin-1"), argument)
        return data
    if re.fullmatch(r"(0x)?([0-9a-fA-F]{2}[\s,]*)+", argument):
        return hex_bytes(argument, option)
    raise BadInput(f"{argument!r} is neither a file nor hex bytes", file=option)


def _sniff(data: bytes) -> str:
    """What unnamed input is."""
    if data.startswith(b"\x7fELF"):
        return OBJECT
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return BINARY
    if re.search(r"(?m)^-- ", text):
        return DATA
    if re.fullmatch(r"(?:(?:0x)?[0-9a-fA-F]{2,16}[\s,]*|#[^\n]*\n?|\s+)+", text) and re.search(
        r"[0-9a-fA-F]{16}", text
    ):
        return HEX
    if "\0" in text:
        return BINARY
    return TEXT


def sources_in(directory: str) -> list[str]:
    """The programs in a directory, by name: objects where there are any, else all files of a known kind.

    Of the objects NAME.bpfel.o and NAME.bpfeb.o, which are one program, only the first is named: `read_source` finds
    the other.
    """
    names = sorted(str(path) for path in Path(directory).iterdir() if path.is_file() and path.suffix in _SUFFIXES)
    objects = [name for name in names if _SUFFIXES[Path(name).suffix] == OBJECT]
    found = [name for name in objects or names if not (name.endswith(_BIG) and _other(name) in names)]
    if not found:
        raise BadInput("no programs in this directory", file=directory, remedy="programs end in " + " ".join(_SUFFIXES))
    return found


def _other(name: str) -> str:
    """The name of the object that is the same program in the other byte order, "" for other names."""
    for mine, other in ((_LITTLE, _BIG), (_BIG, _LITTLE)):
        if name.endswith(mine):
            return name.removesuffix(mine) + other
    return ""


def memory_beside(name: str) -> bytes:
    """The memory that lies beside a program: the hex text of NAME.mem, or nothing."""
    stem = name.removesuffix(_LITTLE).removesuffix(_BIG).removesuffix(Path(name).suffix)
    path = Path(stem + ".mem")
    return hex_bytes(path.read_text("latin-1"), str(path)) if path.is_file() else b""


def read_source(
    name: str,
    *,
    options: CompileOptions | None = None,
    order: str = "little",
    entry: str | None = None,
    paired: bool = False,
) -> Source:
    """Open a program by its file name.

    order: byte order of .bin and hex input. entry: which function of an object or C file. paired: take the object of
    the other byte order along (NAME.bpfel.o and NAME.bpfeb.o).
    Raises BadInput, or the error of whatever reads it, with the file's name in it.
    """
    file = "<stdin>" if name == "-" else name
    if Path(name).suffix == ".c":
        return _c_source(name, options or CompileOptions(), entry)
    data = read_bytes(name)
    kind = _SUFFIXES.get(Path(name).suffix) or _sniff(data)
    try:
        if kind == OBJECT:
            return _object_source(file, data, entry, paired)
        if kind == DATA:
            test = datafile.parse(Path(file), data.decode("utf-8", "replace"))
            test.program("little")
            return Source(file, kind, test.program, SUITE, test.memory, test)
        if kind == TEXT:
            found = assemble(_text(data, file), name=Path(name).stem, file=file)
        else:
            raw = hex_bytes(data.decode("latin-1"), file) if kind == HEX else data
            found = program(raw, name=Path(name).stem, order=order)
    except CrossbpfError as error:
        raise error.at(file=file) from None
    return Source(file, kind, found.in_order)


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput(
            "is not text", file=file, remedy="assembly is UTF-8 text; raw instructions end in .bin"
        ) from None


def _load(data: bytes, file: str, entry: str | None) -> Program:
    """The entry of an object: the function named, or its first global one. Raises BadObject, Refused."""
    try:
        opened = Object(data)
        chosen = opened.choose(name=entry)[0]
        return replace(opened.program(chosen), section=chosen.section)
    except CrossbpfError as error:
        raise error.at(file=file) from None


def _in_order(found: dict[str, Program], order: str) -> Program:
    if order not in found:
        raise Refused(f"the object is {'-'.join(found)}-endian")
    return found[order]


def _object_source(file: str, data: bytes, entry: str | None, paired: bool) -> Source:
    found = {program.order: program for program in (_load(data, file, entry),)}
    other = _other(file)
    if paired and Path(other).is_file():
        twin = _load(read_bytes(other), other, entry)
        found.setdefault(twin.order, twin)
    return Source(file, OBJECT, lambda order: _in_order(found, order))


def _c_source(name: str, options: CompileOptions, entry: str | None) -> Source:
    @cache
    def compiled(order: str) -> Program:
        data = compile_c(name, order, cc=options.cc, cflags=options.cflags, includes=options.includes)
        return _in_order({order: _load(data, name, entry)}, order)

    compiled("little")  # so that a file which does not compile is an error at once
    return Source(name, C, compiled)

"""From what a user names on the command line to programs: C, ELF, assembly, conformance files, wire bytes."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bpf.errors import BadInput, CrossbpfError, Refused
from bpf.isa import decode_all
from bpf.object import Object, link
from bpf.object.btf import Btf
from bpf.object.parts import raw_types
from bpf.order import Order
from bpf.program import Program, as_given, program
from bpf.spec.conventions import PLAIN, SUITE, Convention
from bpf.text import assemble
from crossbpf.cc import compile_c
from fuzz.suite import datafile

OBJECT, DATA, TEXT, HEX, BINARY, C = "object", "data", "text", "hex", "binary", "c"
_SUFFIXES = {".c": C, ".o": OBJECT, ".elf": OBJECT, ".data": DATA, ".s": TEXT, ".bpf": TEXT, ".asm": TEXT, ".hex": HEX,
             ".bin": BINARY}  # fmt: skip


KERNEL_TYPES = "/sys/kernel/btf/vmlinux"
_LITTLE, _BIG = ".bpfel.o", ".bpfeb.o"


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """How C files are compiled (see crossbpf/cc.py) and objects loaded.

    link     more files of the same program
    btf      the types of the machine to run for: a file, or "kernel"; None: the object's own
    kconfig  NAME=VALUE, or files of such lines
    ksyms    NAME=ADDRESS, or files like /proc/kallsyms; machine: a file that describes what is in the kernel
    as_given what is malformed stays, for the verifier to say (see bpf.object.Object)
    """

    cc: str | None = None
    cflags: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    btf: str | None = None
    kconfig: tuple[str, ...] = ()
    ksyms: tuple[str, ...] = ()
    machine: str | None = None
    as_given: bool = False


@dataclass(frozen=True)
class Source:
    """A program as a user gave it.

    file        its name, "<stdin>" for standard input
    kind        one of this module's kinds
    program_in  the program in a byte order; raises Refused for an object of the other one
    convention  how it is entered
    memory      the memory that the file itself brings (conformance files)
    test        the conformance test that it is
    tails_in    the programs that its prog arrays hold, in a byte order: what a Unit has behind the program
    """

    file: str
    kind: str
    program_in: Callable[[Order], Program]
    convention: Convention = PLAIN
    memory: bytes = b""
    test: datafile.SuiteTest | None = None
    tails_in: Callable[[Order], tuple[Program, ...]] = lambda order: ()

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
    order: Order = "little",
    entry: str | Sequence[str] | None = None,
    paired: bool = False,
) -> Source:
    """Open a program by its file name.

    order: byte order of .bin and hex input. entry: which function of an object or C file; of several the
    others come behind the first, as those do that prog arrays hold. paired: take the object of
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
            return _object_source(file, data, entry, options or CompileOptions(), paired=paired)
        if kind == DATA:
            test = datafile.parse(Path(file), data.decode("utf-8", "replace"))
            test.program("little")
            return Source(file, kind, test.program, SUITE, test.memory, test)
        if kind == TEXT:
            found = assemble(_text(data, file), name=Path(name).stem, file=file)
        else:
            raw = hex_bytes(data.decode("latin-1"), file) if kind == HEX else data
            named: dict[str, Any] = {"name": Path(name).stem, "order": order}
            found = (
                as_given(*decode_all(raw, order), **named) if options and options.as_given else program(raw, **named)
            )
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


def read_types(name: str) -> Btf:
    """The types in an object file, a C file or a raw BTF file; "kernel": the running kernel's.

    Raises BadInput, BadObject, and NotHere without a compiler.
    """
    file = KERNEL_TYPES if name == "kernel" else name
    try:
        return _types(compile_c(file, "little") if file.endswith(".c") else read_bytes(file))
    except CrossbpfError as error:
        raise error.at(file=file) from None


_types = lru_cache(maxsize=2)(raw_types)  # a C file is loaded in both byte orders, and a kernel's types take a second


def kernel_configuration(given: Sequence[str]) -> dict[str, int | str]:
    """What --kconfig says: NAME=VALUE, or a file of such lines, which may be compressed as /proc/config.gz is."""
    found: dict[str, int | str] = {}
    for one in given:
        lines = [one]
        if "=" not in one:
            data = read_bytes(one)
            try:
                lines = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8").splitlines()
            except (OSError, EOFError, zlib.error, UnicodeDecodeError):
                raise BadInput("is no file of NAME=VALUE lines", file=one) from None
        for line in lines:
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                found[name.strip()] = value.strip()
    return found


def _load(data: bytes, file: str, entry: str | Sequence[str] | None, options: CompileOptions) -> tuple[Program, ...]:
    """The entries of an object, the functions named or its first global one, and what its prog arrays hold.

    Raises BadObject, Refused.
    """
    try:
        opened = open_object(data, file, options)
        names = [entry] if entry is None or isinstance(entry, str) else entry
        return opened.programs(*(opened.choose(name=name)[0] for name in names))
    except CrossbpfError as error:
        raise error.at(file=file) from None


def open_object(data: bytes, file: str, options: CompileOptions) -> Object:
    """An object with what options say belongs to it. Raises BadObject, BadInput."""
    target = read_types(options.btf) if options.btf is not None else None
    parts = link([(file, data), *_linked(data, options)])
    from crossbpf.machine import symbols  # which reads files as this module does

    return Object(
        parts, target=target, kconfig=kernel_configuration(options.kconfig), symbols=symbols(options),
        as_given=options.as_given,
    )  # fmt: skip


def _linked(data: bytes, options: CompileOptions) -> Iterator[tuple[str, bytes]]:
    """The other files of a program, in the byte order of the first."""
    order: Order = "big" if data[5:6] == b"\x02" else "little"
    for name in options.link:
        if Path(name).suffix == ".c":
            yield name, compile_c(name, order, cc=options.cc, cflags=options.cflags, includes=options.includes)
            continue
        wrong, other = _LITTLE if order == "big" else _BIG, _other(name)
        chosen = other if name.endswith(wrong) and Path(other).is_file() else name
        yield chosen, read_bytes(chosen)


def _in_order(found: dict[Order, tuple[Program, ...]], order: Order) -> tuple[Program, ...]:
    if order not in found:
        raise Refused(f"the object is {'-'.join(found)}-endian")
    return found[order]


def _source(file: str, kind: str, programs_in: Callable[[Order], tuple[Program, ...]]) -> Source:
    return Source(file, kind, lambda order: programs_in(order)[0], tails_in=lambda order: programs_in(order)[1:])


def _object_source(
    file: str, data: bytes, entry: str | Sequence[str] | None, options: CompileOptions, *, paired: bool
) -> Source:
    programs = _load(data, file, entry, options)
    found = {programs[0].order: programs}
    other = _other(file)
    if paired and Path(other).is_file():
        twins = _load(read_bytes(other), other, entry, options)
        found.setdefault(twins[0].order, twins)
    return _source(file, OBJECT, lambda order: _in_order(found, order))


def _c_source(name: str, options: CompileOptions, entry: str | Sequence[str] | None) -> Source:
    @cache
    def compiled(order: Order) -> tuple[Program, ...]:
        data = compile_c(name, order, cc=options.cc, cflags=options.cflags, includes=options.includes)
        programs = _load(data, name, entry, options)
        return _in_order({programs[0].order: programs}, order)

    compiled("little")  # so that a file which does not compile is an error at once
    return _source(name, C, compiled)

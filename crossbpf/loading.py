"""From a file to the programs that a load takes: all of an object's, or the one that a text or wire form is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from bpf.errors import BadInput, BadObject, CrossbpfError
from bpf.object import Entry, Object
from bpf.order import Order
from bpf.program import Map, Program
from crossbpf.cc import compile_c
from crossbpf.inputs import C, CompileOptions, Source, open_object, read_bytes, read_source
from runtime import Caller, Loaded
from runtime.permission import ROOT
from runtime.types import UNSPEC, named, of_section
from vm.world import World


@dataclass(frozen=True, slots=True)
class Read:
    """What a load takes of a file: programs that share their maps, or, where there are none, maps alone.

    portable  whether programs are of no byte order
    maps      of an object without programs, else ()
    """

    programs: tuple[Program, ...]
    portable: bool = False
    maps: tuple[Map, ...] = ()
    order: Order = "little"

    def refuse_none(self, file: str) -> None:
        """Raise BadObject where there is no program."""
        if not self.programs:
            raise BadObject("no program, only maps", file=file, remedy="`crossbpf prog loadall` makes them")


def read_programs(
    file: str, *, options: CompileOptions | None = None, order: Order = "little", first: bool = False
) -> tuple[tuple[Program, ...], bool]:
    """(programs that share their maps, whether they are of no byte order). Those in prog arrays come along.

    first: only the first program of an object. Raises CrossbpfError, also where there is no program.
    """
    found = read_file(file, options=options, order=order, first=first)
    found.refuse_none(file)
    return found.programs, found.portable


def read_file(
    file: str, *, options: CompileOptions | None = None, order: Order = "little", first: bool = False
) -> Read:
    """What a load takes of a file; see read_programs. Raises CrossbpfError."""
    opened = _opened(file, options or CompileOptions(), order)
    if isinstance(opened, Source):
        return Read((opened.any_order(),), opened.kind != C)
    try:
        if not opened.entries and opened.maps:
            return Read((), maps=opened.all_maps(), order=opened.order)
        entries = _entries(opened)
        return Read(opened.programs(*entries[:1] if first else entries))
    except CrossbpfError as error:
        raise error.at(file=file) from None


def read_apart(
    file: str, *, options: CompileOptions, order: Order, name: str | None = None
) -> list[Program | CrossbpfError]:
    """The programs of a file, each on its own: instead of one that cannot be read the error that says why.

    name: only that one, also where its section starts with `?`; None: those that a load takes.
    Raises CrossbpfError for a file that cannot be opened, or that has no program of that name.
    """
    opened = _opened(file, options, order)
    if isinstance(opened, Source):
        only = opened.any_order()
        return [only] if name in (None, only.name) else _none(file, name, [only.name])
    try:
        offered = _entries(opened)
    except CrossbpfError as error:
        raise error.at(file=file) from None
    entries = offered if name is None else [one for one in opened.entries if one.name == name]
    if not entries:
        return _none(file, name, [one.name for one in offered])
    found: list[Program | CrossbpfError] = []
    for entry in entries:
        try:
            found.append(opened.program(entry))
        except CrossbpfError as error:
            found.append(error.at(file=file))
    return found


def _none(file: str, name: str | None, names: list[str]) -> NoReturn:
    raise BadInput(f"no program named {name!r}", file=file, remedy=f"it has: {', '.join(names)}")


def _opened(file: str, options: CompileOptions, order: Order) -> Object | Source:
    suffix = Path(file).suffix
    data = b""
    if suffix == ".c":
        data = compile_c(file, order, cc=options.cc, cflags=options.cflags, includes=options.includes)
    elif file != "-":
        data = read_bytes(file)
    if suffix == ".c" or data.startswith(b"\x7fELF"):
        try:
            return open_object(data, file, options)
        except CrossbpfError as error:
            raise error.at(file=file) from None
    source = read_source(file, options=options, order=order)
    if source.test is not None:
        raise BadInput("a conformance test is not loaded", file=file, remedy="run it with `crossbpf conform`")
    return source


def _entries(opened: Object) -> list[Entry]:
    """The programs of an object: functions in a section with a name of its own, else all. `?name` is not loaded."""
    opened.choose()  # or there is none at all
    marked = [one for one in opened.entries if not one.section.startswith(".text")]
    wanted = [one for one in marked or opened.entries if not one.section.startswith("?")]
    return wanted or list(opened.entries)


def in_section(programs: tuple[Program, ...], word: str) -> tuple[Program, ...]:
    """Programs without a section in the one that a user names as their type: tcx/egress, xdp/devmap."""
    if of_section(word, old=False) == UNSPEC:
        return programs
    return tuple(program if program.section else replace(program, section=word) for program in programs)


def load(
    file: str, *, type: str = "", caps: frozenset[str] | None = None, kernel: str | None = None,
    order: Order = "little",
    options: CompileOptions | None = None, verify: bool = True, world: World | None = None,
) -> Loaded:  # fmt: skip
    """Load the programs of a file (see `crossbpf prog load --help`), in memory: what it gives runs them.

    type: of all programs, else what their sections say. caps: the caller's capabilities, None for all. kernel: a
    release; what came later is refused. order: byte order to compile C for, and of wire forms. verify: whether the
    verifier must accept them. Raises CrossbpfError.
    """
    found = read_file(file, options=options, order=order)
    programs = in_section(found.programs, type)
    caller = ROOT if caps is None else Caller(caps)
    try:
        return Loaded(
            programs,
            kind=named(type) if type else "",
            caller=caller,
            kernel=kernel,
            portable=found.portable,
            verify=verify,
            world=world,
            maps=found.maps,
            order=found.order,
        )
    except CrossbpfError as error:
        raise error.at(file=file) from None

"""The live Linux kernel as an engine: its verifier decides, its JIT compiles, BPF_PROG_TEST_RUN runs.

A `plain` program is carried by a wrapper (engines/wrapper.py), a program of a type is loaded as one (`packet`: a socket
filter). The kernel chooses every address; an Outcome says how far each region lies from where the plan has it
(Outcome.moved).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from bpf.errors import NotHere, Refused
from bpf.plan import STUB_SIZE, Unit
from bpf.spec.conventions import PLAIN
from bpf.text import assemble
from engines import syscall, test_run
from engines.base import Abilities, Engine, Options, Prepared
from engines.wrapper import (
    CALLEE_SAVED,
    FRAME_TOP,
    MAPS,
    MASK,
    MEMORY,
    PACKET,
    R0,
    SAVED,
    Wrapped,
    bind,
    wrap,
    wrap_packet,
)
from vm.contexts import data_offset
from vm.memory import Cell, lay_out
from vm.outcome import Moved, Outcome
from vm.step import Step
from vm.world import Input, Limits, World

M64 = (1 << 64) - 1
ETHERNET = 14  # ETH_HLEN
KEPT = 16  # loaded programs that a Prepared keeps
_STEP = re.compile(r"^(\d+): \([0-9a-f]{2}\) ", re.MULTILINE)
_FIGURES = ("processed ", "verification time ", "stack depth ", "cur state", "old state", " ")
_HAVE_A_PLACE = (errno.EACCES, errno.EINVAL)  # the others are about the whole program, and may take seconds


@cache
def unavailable() -> str:
    """Why programs cannot be loaded on this machine; "" where they can."""
    try:
        descriptor, _ = syscall.load(assemble("r0 = 0; exit", order=sys.byteorder).encode())
    except NotHere as error:
        return str(error)
    except OSError as error:
        return f"bpf() is not permitted or cannot load programs of type syscall here: {_errno(error)}"
    os.close(descriptor)
    return ""


def _errno(error: OSError) -> str:
    return f"{error.strerror} (errno {error.errno})"


def final_message(log: str) -> str:
    """What the verifier said last, without its figures and states."""
    lines = [line for line in log.splitlines() if line and not line.startswith(_FIGURES)]
    return "; ".join(lines)


class Loaded:
    """A program in the kernel with its maps, in the order of the wrapper; closed with the object."""

    def __init__(self, wrapped: Wrapped, contents: Sequence[bytes | None]) -> None:
        """contents: per map of the unit, what a read-only one holds for good. Raises Refused."""
        self.wrapped = wrapped
        self.sizes = [map_.value_size for map_ in wrapped.program.maps]
        descriptors: list[int] = []
        weakref.finalize(self, _close, descriptors)
        try:
            for n, map_ in enumerate(wrapped.program.maps):
                descriptors.append(syscall.create_array(map_.name, map_.value_size, readonly=map_.readonly))
                if map_.readonly:
                    syscall.write_value(descriptors[n], contents[n] or b"")
                    syscall.freeze(descriptors[n])
        except OSError as error:
            raise Refused(f"a map of {self.sizes[len(descriptors) - 1]} bytes: {_errno(error)}") from None
        self.maps = tuple(descriptors)
        self.code = bind(wrapped.program, self.maps)
        try:
            self.descriptor, _ = syscall.load(self.code, name=wrapped.program.name, kind=wrapped.kind)
        except syscall.LoadError as error:
            raise self._refusal(error) from None
        descriptors.append(self.descriptor)

    def log(self, level: int) -> str:
        """The verifier's log at a level of bpf(): 1 steps up to an error, 2 all with states; in the wrapper's slots."""
        try:
            descriptor, log = syscall.load(self.code, log_level=level, kind=self.wrapped.kind)
        except syscall.LoadError as error:
            return error.log
        os.close(descriptor)
        return log

    def info(self) -> syscall.ProgramInfo:
        """Machine code, translated instructions and figures, as the kernel shows them; of the wrapper too."""
        return syscall.program_info(self.descriptor)

    def _refusal(self, error: syscall.LoadError) -> Refused:
        """The verifier's last words, with slots of the user's program."""
        message = final_message(error.log) or error.strerror or ""
        message = re.sub(r"\binsn (\d+)", lambda match: self._place(int(match[1])) or match[0], message)
        steps = _STEP.findall(self.log(syscall.LOG_STEPS)) if error.errno in _HAVE_A_PLACE else ()
        return Refused(f"{message} (errno {error.errno})", place=self._place(int(steps[-1])) if steps else "")

    def _place(self, number: int) -> str:
        slot = self.wrapped.slot(number)
        return "" if slot is None else f"insn {slot}"


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


class LinuxPrepared(Prepared):
    """A program for the kernel. The length of the memory is part of it, so it is loaded once for each."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._loaded: dict[object, Loaded] = {}

    def loaded(self, entry: Input, world: World) -> Loaded:
        """The program in the kernel that runs this input. Raises Refused with the verifier's message."""
        context = self._unit.convention.context
        for register in entry.registers:
            if context:
                raise Refused(f"R{register} has a value at entry, which only the kernel gives it here")
            if register in CALLEE_SAVED:
                raise Refused(f"R{register} has a value at entry, which no function of the kernel's starts with")
        unit = self._unit
        contents = tuple(
            self._content(map_.name, map_.initial, map_.value_size, world) if map_.readonly else None
            for map_ in unit.maps
        )
        arguments = dict(sorted(entry.registers.items()))
        kind = unit.convention.type
        test_run.check(unit.convention, entry)
        framed = context and (kind is None or kind.data)
        if framed and (entry.network != ETHERNET or len(entry.packet) < ETHERNET + entry.metadata):
            raise Refused(f"a packet is a frame with a link-layer header of {ETHERNET} bytes there")
        length = 0 if context else len(entry.memory)
        key = (length, tuple(arguments.items()), contents)
        if key not in self._loaded:
            while len(self._loaded) >= KEPT:
                del self._loaded[next(iter(self._loaded))]
            wrapped = wrap_packet(unit) if context else wrap(unit, length, arguments)
            self._loaded[key] = Loaded(wrapped, contents)
        return self._loaded[key]

    @staticmethod
    def _content(name: str, initial: bytes, size: int, world: World) -> bytes:
        return world.values.get(name, initial)[:size].ljust(size, b"\0")

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """One TEST_RUN. Helpers see the machine, not the world; R6-R9 are shown where they have a value."""
        unit = self._unit
        loaded = self.loaded(entry, world)
        for map_, descriptor in zip(unit.maps, loaded.maps, strict=False):
            if not map_.readonly:
                syscall.write_value(descriptor, self._content(map_.name, map_.initial, map_.value_size, world))
        context = unit.convention.context
        if entry.memory and not context:
            syscall.write_value(loaded.maps[len(unit.maps)], entry.memory)
        syscall.write_value(loaded.maps[-1], bytes(loaded.sizes[-1]))
        given: test_run.Given | None = None
        try:
            if unit.convention.view is not None:
                given = test_run.run(loaded.descriptor, unit, entry)
            else:
                syscall.test_run(loaded.descriptor, entry.packet if context else b"")
        except OSError as error:
            raise Refused(f"BPF_PROG_TEST_RUN: {_errno(error)}") from None
        values = [
            syscall.read_value(descriptor, size) for descriptor, size in zip(loaded.maps, loaded.sizes, strict=True)
        ]
        cells = lay_out(unit, entry, world)
        outcome = _outcome(
            unit, cells, values, unit.packet_start(len(entry.packet)) + data_offset(unit.convention, entry)
        )
        if given is None:
            return outcome
        r0 = outcome.r0 >> 32 << 32 | given.retval
        return replace(outcome, r0=r0, context=given.context, packet=given.packet)

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """The kernel shows no steps."""
        raise Refused("the live kernel cannot be traced")


def _outcome(unit: Unit, cells: Sequence[Cell], values: Sequence[bytes], data: int) -> Outcome:
    """The Outcome of what the maps hold after a run: the unit's, memory's if there is any, the record.

    data: where the plan has the packet's data.
    """
    record = [int.from_bytes(values[-1][at : at + 8], sys.byteorder) for at in range(0, len(values[-1]), 8)]
    registers: list[int | None] = [record[R0], *[None] * 9]
    for n, register in enumerate(CALLEE_SAVED):
        if record[MASK] >> register & 1:
            registers[register] = record[SAVED + n]
    by_name = {f"map {map_.name}": value for map_, value in zip(unit.maps, values, strict=False)}
    if len(values) > len(unit.maps) + 1:
        by_name["memory"] = values[-2]
    regions = {
        cell.region.name: _pages(cell, by_name[cell.region.name]) for cell in cells if cell.region.name in by_name
    }
    return Outcome("done", record[R0], tuple(registers), regions, moved=_moved(unit, cells, record, data))


def _pages(cell: Cell, value: bytes) -> bytes:
    """A value where its region has it: whole pages, zero around it."""
    return (bytes(cell.region.start - cell.region.first_page) + value).ljust(cell.region.mapped, b"\0")


def _moved(unit: Unit, cells: Sequence[Cell], record: Sequence[int], data: int) -> Moved:
    """How far the kernel's addresses are from the plan's: memory, values, map handles, the entered function's frame."""
    pairs = [(record[FRAME_TOP], unit.plan.stack)] if record[FRAME_TOP] else []
    pairs += [(record[PACKET], data)] if record[PACKET] else []
    named = [(record[MEMORY], cell.region.start) for cell in cells if cell.region.name == "memory"]
    pairs += [(record[MEMORY], unit.context)] if unit.context else named
    for n, region in enumerate(unit.map_regions):
        pairs.append((record[MAPS + 2 * n], region.start))
        pairs.append((record[MAPS + 2 * n + 1], unit.plan.handles + n * STUB_SIZE))
    return Moved(sys.byteorder, frozenset((actual - planned) & M64 for actual, planned in pairs))


SWITCHES: Mapping[str, str] = {"trace_printk": "would switch on a trace event of this machine"}
"""Helpers that change the machine as soon as a program that calls them is loaded."""


class LinuxEngine(Engine):
    """The kernel that this process runs on. Loads and runs; attaches nothing."""

    name = machine = "linux"  # its JIT is not ours: no program is aimed at it
    abilities = Abilities(
        orders=frozenset({sys.byteorder}),
        plans=False,
        conventions=frozenset({"plain", "suite", "packet", *test_run.TYPES}),
        shows=frozenset({"registers", "regions", "context", "packet"}),
        native=True,
    )

    def prepare(self, unit: Unit, options: Options | None = None) -> LinuxPrepared:
        """See Engine. The verifier speaks at the first run, which gives it the memory's length."""
        if unit.order != sys.byteorder:
            raise Refused(
                f"a {unit.order}-endian program does not run on this machine, which is {sys.byteorder}-endian"
            )
        if unit.arena is not None:
            raise Refused(f"map {unit.arena.name}: an arena lies elsewhere in the kernel, none is made there")
        unit.constants(unit.programs[0])
        for pc, insn in enumerate(unit.programs[0].insns):
            if insn is not None and insn.row.op == "call_helper":
                helper = unit.convention.helpers[insn.imm]
                if PLAIN.helpers.get(insn.imm) != helper:
                    raise Refused(f"helper {insn.imm} {helper.name} is not the kernel's", place=f"insn {pc}")
                if helper.name in SWITCHES:
                    raise Refused(f"{helper.name} {SWITCHES[helper.name]}", place=f"insn {pc}")
        if reason := unavailable():
            raise Refused(reason)
        return LinuxPrepared(unit)

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
from bpf.program import Map
from bpf.spec.attach import ATTACH_TYPES, TAKES
from bpf.spec.helpers import KERNEL
from bpf.spec.kfuncs import BY_NAME, NEW
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from engines import live_maps, syscall, test_run
from engines.base import Abilities, Engine, Options, Prepared
from engines.syscall import SOCKET_FILTER
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
ATTACHED = {PROGRAM_TYPES[name].number: ATTACH_TYPES[only[0]] for name, only in TAKES.items() if len(only) == 1}
"""Program type -> how it is attached, where a load must say so."""
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

    def __init__(self, wrapped: Wrapped, contents: Sequence[bytes | None], others: Sequence[Wrapped] = ()) -> None:
        """contents: per map of the unit, what read-only global data hold for good. others: its other programs.

        Raises Refused.
        """
        self.wrapped = wrapped
        maps = wrapped.program.maps
        descriptors: list[int] = []
        weakref.finalize(self, _close, descriptors)
        try:
            self.live = live_maps.make(maps, sys.byteorder, descriptors)
        except OSError as error:
            raise Refused(f"a map that the kernel does not make: {_errno(error)}") from None
        others_made: dict[str, int] = {}
        for map_, content in zip(maps, (*contents, *[None] * len(maps)), strict=False):
            if map_.name in self.live:
                continue
            try:
                others_made[map_.name] = self._make(map_, content)
                descriptors.append(others_made[map_.name])
            except OSError as error:
                raise Refused(f"a map of {map_.value_size} bytes: {_errno(error)}") from None
        self.maps = tuple(
            self.live[map_.name].descriptor if map_.name in self.live else others_made[map_.name] for map_ in maps
        )
        self.code = bind(wrapped.program, self.maps)
        try:
            self.descriptor = self._load(wrapped, self.code)
        except syscall.LoadError as error:
            raise self._refusal(error) from None
        descriptors.append(self.descriptor)
        self.programs = [self.descriptor]
        for number, other in enumerate(others, 1):
            try:
                descriptor = self._load(other, bind(other.program, self.maps))
            except syscall.LoadError as error:
                raise Refused(f"program {number}: {final_message(error.log)} (errno {error.errno})") from None
            descriptors.append(descriptor)
            self.programs.append(descriptor)
        self._members: dict[int, tuple[int, ...]] = {}

    @staticmethod
    def _make(map_: Map, content: bytes | None) -> int:
        """A descriptor of a prog array, or of global data. Raises OSError."""
        if map_.kind == "prog_array":
            return syscall.create_prog_array(map_.name, map_.max_entries)
        made = syscall.create_array(map_.name, map_.value_size, readonly=map_.readonly)
        if map_.readonly:
            syscall.write_value(made, content or b"")
            syscall.freeze(made)
        return made

    @staticmethod
    def _load(wrapped: Wrapped, code: bytes) -> int:
        kind, prog = wrapped.kind, wrapped.program
        attach = ATTACHED.get(kind, 0)
        return syscall.load(code, name=prog.name, kind=kind, functions=wrapped.functions, attach=attach)[0]

    def fill_programs(self, array: int, members: tuple[int, ...]) -> None:
        """Put programs into the prog array of that number, -1 for none, as far as they are not there already."""
        there = self._members.get(array, (-1,) * len(members))
        for index, (old, new) in enumerate(zip(there, members, strict=True)):
            if new != old:
                syscall.set_program(self.maps[array], index, None if new < 0 else self.programs[new])
        self._members[array] = members

    def fill(self, world: World) -> None:
        """Have the maps hold what the world's hold. Raises Refused."""
        try:
            for name, live in self.live.items():
                live.fill(world.maps[name], self.live)
        except OSError as error:
            raise Refused(f"a map that cannot be filled: {_errno(error)}") from None

    def values(self) -> list[bytes]:
        """The bytes of global data, memory and record; of other maps none. Raises OSError."""
        return [
            syscall.read_value(descriptor, map_.value_size) if map_.is_data else b""
            for descriptor, map_ in zip(self.maps, self.wrapped.program.maps, strict=True)
        ]

    def log(self, level: int) -> str:
        """The verifier's log at a level of bpf(): 1 steps up to an error, 2 all with states; in the wrapper's slots."""
        try:
            descriptor, log = syscall.load(
                self.code, log_level=level, kind=self.wrapped.kind, functions=self.wrapped.functions,
                attach=ATTACHED.get(self.wrapped.kind, 0),
            )  # fmt: skip
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
        world.open_maps(unit)
        contents = tuple(self._content(map_, world) if map_.readonly and map_.is_data else None for map_ in unit.maps)
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
            others = [wrap_packet(unit, number) for number in range(1, len(unit.programs))] if context else []
            if any(map_.kind == "ringbuf" for map_ in unit.maps):
                return Loaded(wrapped, contents, others)  # positions in a ring buffer only grow
            self._loaded[key] = Loaded(wrapped, contents, others)
        return self._loaded[key]

    @staticmethod
    def _content(map_: Map, world: World) -> bytes:
        return bytes(world.maps[map_.name].values[: map_.value_size])

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """One TEST_RUN. Helpers see the machine, not the world; R6-R9 are shown where they have a value."""
        unit = self._unit
        loaded = self.loaded(entry, world)
        for n, (map_, descriptor) in enumerate(zip(unit.maps, loaded.maps, strict=False)):
            if map_.kind == "prog_array":
                loaded.fill_programs(n, unit.members(map_, world.programs))
            elif map_.is_data and not map_.readonly:
                syscall.write_value(descriptor, self._content(map_, world))
        loaded.fill(world)
        context = unit.convention.context
        if entry.memory and not context:
            syscall.write_value(loaded.maps[len(unit.maps)], entry.memory)
        syscall.write_value(loaded.maps[-1], bytes(loaded.wrapped.program.maps[-1].value_size))
        packet = entry.packet if context else bytes(ETHERNET) if loaded.wrapped.kind == SOCKET_FILTER else b""
        by_cpu = any(live.per_cpu for live in loaded.live.values())
        given: test_run.Given | None = None
        try:
            with live_maps.on_cpu(world.cpu if by_cpu else None):
                if unit.convention.view is not None:
                    given = test_run.run(loaded.descriptor, unit, entry, world)
                else:
                    syscall.test_run(loaded.descriptor, packet)
        except OSError as error:
            raise Refused(f"BPF_PROG_TEST_RUN: {_errno(error)}") from None
        data = unit.packet_start(len(entry.packet)) + data_offset(unit.convention, entry)
        outcome = _outcome(unit, lay_out(unit, entry, world), loaded.values(), data)
        outcome = replace(outcome, maps={name: live.read(loaded.live) for name, live in loaded.live.items()})
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
    by_name = {f"map {map_.name}": value for map_, value in zip(unit.maps, values, strict=False) if map_.is_data}
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
        if record[MAPS + 2 * n]:
            pairs.append((record[MAPS + 2 * n], region.start))
        pairs.append((record[MAPS + 2 * n + 1], unit.plan.handles + n * STUB_SIZE))
    return Moved(sys.byteorder, frozenset((actual - planned) & M64 for actual, planned in pairs))


_EVENT = "would switch on a trace event of this machine"
_SIGNAL = "would send this process a signal"
SWITCHES: Mapping[str, str] = {
    "trace_printk": _EVENT,
    "trace_vprintk": _EVENT,
    "send_signal": _SIGNAL,
    "send_signal_thread": _SIGNAL,
    "probe_write_user": "would change the memory of this process",
    "override_return": "would change what a function of this machine returns",
    "clone_redirect": "would send the packet through a device of this machine",
}
"""Helpers that change the machine, some as soon as a program that calls them is loaded."""


class LinuxEngine(Engine):
    """The kernel that this process runs on. Loads and runs; attaches nothing."""

    name = machine = "linux"  # its JIT is not ours: no program is aimed at it
    abilities = Abilities(
        orders=frozenset({sys.byteorder}),
        plans=False,
        conventions=frozenset({"plain", "suite", "packet", *test_run.TYPES}),
        shows=frozenset({"registers", "regions", "maps", "context", "packet"}),
        native=True,
    )

    def prepare(self, unit: Unit, options: Options | None = None) -> LinuxPrepared:
        """See Engine. The verifier speaks at the first run, which gives it the memory's length."""
        if unit.order != sys.byteorder:
            raise Refused(
                f"a {unit.order}-endian program does not run on this machine, which is {sys.byteorder}-endian"
            )
        for map_ in unit.maps:
            live_maps.check(map_)
        unit.constants(unit.whole)
        for pc, insn in enumerate(unit.whole.insns):
            if insn is not None and insn.row.op == "call_helper":
                helper = unit.convention.helpers[insn.imm]
                if KERNEL.get(insn.imm) != helper:
                    raise Refused(f"helper {insn.imm} {helper.name} is not the kernel's", place=f"insn {pc}")
                if helper.name in SWITCHES:
                    raise Refused(f"{helper.name} {SWITCHES[helper.name]}", place=f"insn {pc}")
            if insn is not None and insn.row.op == "call_kfunc" and insn.imm == BY_NAME[NEW].number:
                raise Refused("objects need the program's BTF, which is not handed over", place=f"insn {pc}")
        if reason := unavailable():
            raise Refused(reason)
        return LinuxPrepared(unit)

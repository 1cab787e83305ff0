"""The process that runs compiled code on its own CPU: its memory, its code, a run (see native_serve.py).

It handles no signals but the faults of probe loads: code that crashes kills it, and whoever has started it sees how.
Code pages are never writable and executable at once, data pages never executable.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import mmap
import os
import pickle
import signal
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from bpf.order import Order
from bpf.plan import ALLOWANCE, FRAME, PAGE, POISON, TAIL_CALLS, Region
from bpf.spec.kfuncs import FIRST as FIRST_KFUNC
from engines.native_rescue import Rescuer
from jit import host
from jit.image import Rescue
from vm.cpus import ALONE, Turn
from vm.helpers import Calling, Exit, Place, entered, expire, implementation
from vm.maps.bound import Bound, Named
from vm.memory import Cell, Memory, OutOfReach
from vm.services import CALL_TARGET, SERVICES, Packet, Trap, answer
from vm.world import World

LENGTH = struct.Struct("<Q")
M64 = (1 << 64) - 1
_GRACE = 2.0  # seconds after the limit of a run at which a child without a parent ends itself

_USER_BITS = 47  # bits of an address that a process can have
READ, WRITE, EXEC = 1, 2, 4  # PROT_*, which the module mmap has only where there is mmap()
_FIXED_NOREPLACE = 0x100000  # Linux since 4.17; elsewhere the address is a hint, and what comes back is looked at


class Unavailable(Exception):
    """Memory at one of the plan's addresses is not to be had in this process."""


@dataclass(frozen=True, slots=True)
class Load:
    """Put code in place.

    pieces  (address, room, bytes), mapped read-execute
    enter   address of the trampoline
    record  address of the exit record, a page; the shared block lies in the page behind it, at `block`
    counters  address and size of the region of may_goto's counters
    flush   whether the CPU must be told of new code
    rescues, homes, saved, order   see Rescuer
    """

    pieces: Sequence[tuple[int, int, bytes]]
    enter: int
    block: int
    record: int
    counters: tuple[int, int]
    flush: bool
    rescues: Sequence[Rescue]
    homes: Sequence[str]
    saved: Mapping[str, int]
    order: Order


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What it takes to call functions of the program for a helper.

    homes      registers of R0-R10; entered, checked: see HostCode
    later      the entry slots that timers may call after the run
    functions  (where the code of a program ends, the entry slots that helpers may call for it), in order
    """

    homes: Sequence[str]
    entered: Sequence[str]
    checked: Sequence[str]
    functions: Sequence[tuple[int, frozenset[int]]]
    later: frozenset[int]


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    words    word of the block -> what it holds
    helpers  number -> (name, arguments)
    saved    bytes of the exit record; may_goto, tail_calls: see Limits
    maps     name and region of each map, whose first handle lies at `handles`
    """

    cells: Sequence[Cell]
    words: Mapping[int, int]
    helpers: Mapping[int, tuple[str, int]]
    world: World
    order: Order
    alignment: int
    bias: int
    seconds: float
    record: int
    saved: int
    packet: Packet
    may_goto: int
    maps: Sequence[Named]
    handles: int
    tail_calls: int
    callbacks: Callbacks


@dataclass(slots=True)
class Call:
    """What the helper calls of a run gave so far."""

    made: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    exit: int | None = None
    fault: tuple[str, int, int, str] | None = None  # kind, return address, address, detail


def send(pipe: IO[bytes], message: object) -> None:
    """Write a message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


@dataclass(slots=True)
class Seat:
    """A run, its memory and its maps. turn: what it has to do with those on other CPUs."""

    wanted: Run
    memory: Memory
    maps: Bound
    turn: Turn = ALONE
    calls: Call = field(default_factory=Call)

    def place(self) -> Place:
        """Where its helpers act."""
        wanted = self.wanted
        return Place(wanted.world, self.memory, wanted.order, self.maps, wanted.packet, self.turn)


@contextlib.contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """The process ends itself when this takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


class Host:
    """The process as a machine: the memory that it has mapped, the code that it can enter."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        self._libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self._libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._mapped: dict[int, int] = {}
        self._regions: dict[int, Region] = {}
        self._load: Load | None = None
        self._rescuer: Rescuer | None = None
        self._kept: dict[int, bytearray] = {}  # regions at addresses that no process can have
        self.seat: Seat | None = None  # whose run goes on
        self._callback = ctypes.CFUNCTYPE(ctypes.c_int)(self._called)

    # Memory ----------------------------------------------------------------------------------------

    def _map(self, address: int, size: int) -> memoryview:
        """Fresh zeroed pages at an address, read-write."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | (_FIXED_NOREPLACE if sys.platform == "linux" else 0)
        got = self._libc.mmap(address, size, READ | WRITE, flags, -1, 0)
        if got != address:
            if got not in (None, M64):
                self._libc.munmap(got, size)
            raise Unavailable(f"address 0x{address:x} is not free in the process")
        self._mapped[address] = size
        return self.view(address, size)

    def view(self, address: int, size: int) -> memoryview:
        """Mapped memory at an address."""
        return memoryview((ctypes.c_char * size).from_address(address)).cast("B")

    def fixed(self) -> tuple[Region, Region]:
        """What belongs to a run besides its regions: the exit record with the block behind it; may_goto's counters."""
        assert self._load is not None
        return Region("record", self._load.record, 2 * PAGE), Region("counters", *self._load.counters)

    def _unmap(self, address: int) -> None:
        self._libc.munmap(address, self._mapped.pop(address))

    def _protect(self, address: int, protection: int) -> None:
        if self._libc.mprotect(address, self._mapped[address], protection):
            raise Unavailable(f"memory cannot be protected: {os.strerror(ctypes.get_errno())}")

    def load(self, wanted: Load) -> None:
        """Replace whatever is mapped by this code. Raises Unavailable."""
        old = self._load
        layout = [(address, room) for address, room, _ in wanted.pieces]
        if old is None or layout != [(address, room) for address, room, _ in old.pieces]:
            for address in list(self._mapped):
                self._unmap(address)
            self._regions.clear()
            for address, room in layout:
                self._map(address, room)
            self._map(wanted.record, 2 * PAGE)
            self._map(*wanted.counters)
        for address, room, code in wanted.pieces:
            self._protect(address, READ | WRITE)
            self.view(address, room)[:] = code.ljust(room, b"\0")
            self._protect(address, READ | EXEC)
            if wanted.flush:
                self._flush(address, len(code))
        self._load = wanted
        if self._rescuer is not None:
            self._rescuer.close()
        self._rescuer = Rescuer(wanted.rescues, wanted.homes, wanted.saved, wanted.order) if wanted.rescues else None
        self._block = (ctypes.c_uint64 * (host.BLOCK_SIZE // host.WORD)).from_address(wanted.block)
        self._enter = ctypes.CFUNCTYPE(None)(wanted.enter)

    def _flush(self, address: int, size: int) -> None:
        """Have instruction fetches see what was written."""
        if sys.platform == "darwin":
            self._libc.sys_icache_invalidate(ctypes.c_void_p(address), ctypes.c_size_t(size))
        else:
            library = ctypes.CDLL(ctypes.util.find_library("gcc_s") or "libgcc_s.so.1")
            library.__clear_cache(ctypes.c_void_p(address), ctypes.c_void_p(address + size))

    def allocate(self, region: Region) -> memoryview:
        """A region of the run, writable until its content is there."""
        start = region.first_page
        if start >> _USER_BITS:
            self._kept[start] = bytearray(region.mapped)
            return memoryview(self._kept[start])
        if region in self.fixed():
            return self.view(start, region.mapped)
        if start in self._regions:
            if self._regions[start].mapped == region.mapped:
                self._protect(start, READ | WRITE)
                return self.view(start, region.mapped)
            self._unmap(start)
        buffer = self._map(start, region.mapped)
        self._regions[start] = region
        return buffer

    # Running ---------------------------------------------------------------------------------------

    def only(self, cells: Sequence[Cell]) -> None:
        """Take out the regions that are not those of these cells."""
        self._kept.clear()
        starts = {cell.region.first_page for cell in cells}
        for start in [start for start in self._regions if start not in starts]:
            self._unmap(start)
            del self._regions[start]

    def set_up(self, wanted: Run) -> Seat:
        """All memory as it is when a run starts."""
        self.only(wanted.cells)
        memory = Memory(wanted.cells, self.allocate)
        if self._rescuer is not None:
            self._rescuer.memory = memory
        for cell in wanted.cells:
            if cell.region.readonly and cell.region.first_page not in self._kept:
                self._protect(cell.region.first_page, READ)
        record = self.view(wanted.record, wanted.saved)
        record[:] = b"\xee" * wanted.saved
        self.view(wanted.record + ALLOWANCE, 8)[:] = wanted.may_goto.to_bytes(8, wanted.order)
        tails = bytes(8) + wanted.tail_calls.to_bytes(8, wanted.order)
        self.view(wanted.record + TAIL_CALLS, 16)[:] = tails
        for word, value in wanted.words.items():
            self._block[word] = value
        self._block[host.CALLBACK] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        return Seat(wanted, memory, Bound(wanted.maps, wanted.handles, wanted.world, memory))

    def run(self, wanted: Run) -> dict[str, Any]:
        """One run to its end."""
        self.seat = seat = self.set_up(wanted)
        with in_time(wanted.seconds):
            report = self.to_its_end(seat)
        told = {"printed": list(wanted.world.printed), "sent": [tuple(sent) for sent in wanted.world.sent]}
        return report | told | {"maps": seat.maps.contents(), "world": wanted.world.snapshot()}

    def to_its_end(self, seat: Seat) -> dict[str, Any]:
        """Run what is set up, and its timers; what came of it but for what it has in common with others."""
        self._enter()
        block, calls, wanted = list(self._block), seat.calls, seat.wanted
        saved = bytes(self.view(wanted.record, wanted.saved))
        if wanted.world.timers and calls.fault is None and calls.exit is None:
            self._expire(wanted, seat.place())
        return {
            "block": block, "record": saved, "regions": seat.memory.contents(), "calls": calls.made,
            "exit": calls.exit, "fault": calls.fault,
        }  # fmt: skip

    def _called(self) -> int:
        assert self.seat is not None
        return self._helper(self.seat.wanted, self.seat.place())

    def _helper(self, wanted: Run, place: Place) -> int:
        """A helper call: 0 to go on, 1 to end the run."""
        assert self.seat is not None
        block, calls = self._block, self.seat.calls
        back, sp = block[host.RETURN], block[host.CALL_SP]
        if sp % wanted.alignment != wanted.bias:
            calls.fault = ("abi", back, 0, f"is 0x{sp:x} at a helper call: not aligned to {wanted.alignment}")
            return 1
        number, arguments = block[host.NUMBER], list(block[host.ARGUMENTS : host.ARGUMENTS + 5])
        try:
            if number == CALL_TARGET:
                number = block[host.AX]
                if number not in wanted.helpers or number >= FIRST_KFUNC:
                    raise Trap("call target", number)
            elif number in SERVICES:
                block[host.ANSWER] = answer(number, wanted.packet, place.memory, arguments)
                return 0
            name, count = wanted.helpers[number]
            calls.made.append((name, tuple(arguments[:count])))
            place.turn.step()
            given = implementation(name)(place, arguments)
            result = given if isinstance(given, int | Exit) else self._call_back(wanted, given, back)
        except (OutOfReach, Trap) as bad:
            calls.fault = (bad.kind, back, bad.address, "")
            return 1
        if isinstance(result, Exit):
            calls.exit = result.r0
            return 1
        if result is None:
            return 1
        place.turn.step()
        block[host.ANSWER] = result & M64
        return 0

    def _call_back(self, wanted: Run, helper: Calling, back: int) -> int | Exit | None:
        """Call what a helper wants called, until it has its result; None where the run ends before."""
        known = wanted.callbacks
        functions = next((entries for end, entries in known.functions if back <= end), frozenset())
        return self._each_call(wanted, helper, back, host.KEPT, functions)

    def _expire(self, wanted: Run, place: Place) -> None:
        """After a run: what its timers do."""
        if self._block[host.FINAL_SP] != self._block[host.HOST_SP]:
            return  # the run has broken the convention, which its report says
        try:
            self._each_call(wanted, expire(place), 0, host.SAVED, wanted.callbacks.later)
        except (OutOfReach, Trap) as bad:
            assert self.seat is not None
            self.seat.calls.fault = (bad.kind, 0, bad.address, "")

    def _each_call(
        self, wanted: Run, helper: Calling, back: int, words: int, functions: frozenset[int]
    ) -> int | Exit | None:
        """As _call_back. words: where in the block the callee-saved registers are that a function starts with.

        A function that ends the run leaves the trampoline as one that returns does.
        """
        assert self.seat is not None
        block, calls, known = self._block, self.seat.calls, wanted.callbacks
        kept = dict(zip(known.checked, block[words : words + len(known.checked)], strict=True))
        kept[known.homes[10]] = kept[known.homes[10]] - FRAME & M64
        host_sp = block[host.HOST_SP]
        r0: int | None = None
        while True:
            try:
                invoke = helper.send(r0)  # type: ignore[arg-type]
            except StopIteration as end:
                result: int | Exit = end.value
                return result
            if invoke.function not in functions:
                raise Trap("call target", invoke.function)
            values = {**kept, **dict(zip(known.homes[:6], (POISON, *entered(invoke)), strict=True))}
            for at, name in enumerate(known.entered):
                block[host.ENTRY + at] = values.get(name, 0)
            block[host.TARGET] = invoke.function
            self._enter()
            nested, block[host.HOST_SP] = block[host.HOST_SP], host_sp
            if calls.fault is not None or calls.exit is not None:
                return None
            saved = block[host.SAVED : host.SAVED + len(known.checked)]
            if block[host.FINAL_SP] != nested or [values[name] for name in known.checked] != list(saved):
                calls.fault = ("abi", back, 0, "or a callee-saved register is not restored by a callback")
                return None
            r0 = block[host.RESULT]

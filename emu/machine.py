"""One guest machine: a target under a plan, set up once and reused for thousands of programs."""

from __future__ import annotations

import ctypes
import gc
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bpf.errors import NotHere, Refused
from bpf.plan import (
    ALLOWANCE,
    FRAME,
    MAX_FUNCTIONS,
    MAX_HELPERS,
    PAGE,
    POISON,
    RECORD_WORDS,
    STUB_SIZE,
    TABLES,
    TAIL_CALLS,
    Plan,
    Region,
)
from emu import unicorn as edge
from emu.unicorn import Registers, constant, unicorn
from emu.watchdog import WATCHDOG
from jit.image import Image
from jit.target import Target
from vm.memory import Cell, Memory

CODE_SIZE = 64 << 20
NATIVE_STACK = 256 << 10
TABLE_SIZE = 1 << 20
_NESTED = 1024  # bytes of the guest's stack that a helper takes which calls back
_PATTERN = 0xC0FF_EE00_0000_0000  # what registers hold that belong to nobody: pattern + index
_NO_RECORD = b"\xee" * (8 * RECORD_WORDS)  # the exit record of a run that has not stored one
_M64 = (1 << 64) - 1


@dataclass(slots=True)
class Stop:
    """How the guest came to a halt.

    pc       the program counter
    error    Unicorn's error number, 0 for none
    access   (access type, address, size) of the memory access that failed
    timeout  whether the watchdog stopped it
    """

    pc: int
    error: int = 0
    access: tuple[int, int, int] | None = None
    timeout: bool = False


@dataclass(slots=True)
class _Mapped:
    region: Region
    buffer: memoryview
    shared: bool


def _as_mapped(region: Region) -> tuple[int, bool, bool]:
    """What a mapping cannot be changed in."""
    return region.mapped, region.readonly, region.writeonly


def _pages(region: Region) -> set[int]:
    """The numbers of its pages."""
    return set(range(region.first_page >> 12, region.first_page + region.mapped >> 12))


def _no_helper(number: int) -> None:
    """Nobody answers a helper call."""


def _no_code(address: int) -> None:
    """Nobody looks at a native instruction."""


def _pointer(memory: memoryview) -> int:
    """Where the host has it."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Machine:
    """A Unicorn engine with the plan's fixed regions mapped: exit page, stubs, entries, code, native stack, harness,
    counters.

    Code pages are never writable to the guest, data pages never executable; code runs in user mode, and every run
    starts from the same state of the CPU. `on_helper(number)` is called when a helper's stub is reached; what it
    returns is the program's result of the call, None ends the run.
    A traced machine calls `on_code(address)` before every native instruction of the code region.
    `programs` counts the images that have been loaded.
    """

    def __init__(self, target: Target, plan: Plan, *, traced: bool = False) -> None:
        self.target = target
        self.plan = plan
        self.owner: object = None  # whose Memory is mapped now
        self.on_helper: Callable[[int], int | None] = _no_helper
        self.on_code: Callable[[int], None] = _no_code
        self._mapped: dict[int, _Mapped] = {}
        self._unread: set[int] = set()  # numbers of pages that can only be written
        self._stale = False  # whether the TLB holds one that has been read, which is a fault
        self._image: Image | None = None
        self._keep: list[memoryview] = []
        self._code_length = 0
        self._access: tuple[int, int, int] | None = None
        self._allow_stub = False
        self.depth = 0  # callbacks that are running
        self.programs = 0
        facts = target.emulation
        self.uc = self._open()
        for name, value in facts.setup.items():
            self.uc.reg_write(edge.register(facts, name), value)
        self._map_fixed()
        self._hook(traced=traced)
        known = dict.fromkeys((*target.homes, *target.callee_saved))
        if target.link:
            known.pop(target.link, None)  # R0's home on s390x; it holds the return address at entry
        self._entry = Registers(self.uc, facts, (*known, target.sp, *((target.link,) if target.link else ())))
        self._slots = {name: index for index, name in enumerate(self._entry.names)}
        self._final = Registers(self.uc, facts, (facts.pc, target.sp, target.result, *target.callee_saved))
        self._call = Registers(self.uc, facts, (target.sp, *target.arguments, *((target.link,) if target.link else ())))
        destroyed = (r for r in target.caller_saved if r != target.result)
        self._after = Registers(self.uc, facts, (target.result, *destroyed))
        poison = {target.homes[number]: POISON + number for number in range(1, 6)}
        self._poisoned = [poison.get(name, _PATTERN + 0x100 + index) for index, name in enumerate(self._after.names)][
            1:
        ]
        self._homes = Registers(self.uc, facts, target.homes[:11])
        nested = (*target.callee_saved, *target.homes[:6], target.sp, *((target.link,) if target.link else ()))
        self._nested = Registers(self.uc, facts, tuple(dict.fromkeys(nested)))
        self._ax = Registers(self.uc, facts, target.homes[11:12])
        self._enter_user_mode()
        self._clean: Any = self.uc.context_save()
        self._self_test()
        self._allow_stub = True

    # Set-up ----------------------------------------------------------------------------------------

    def _open(self) -> Any:
        facts = self.target.emulation
        mode = 0
        for name in facts.mode:
            mode |= constant("unicorn_const", name)
        uc = unicorn.Uc(constant("unicorn_const", facts.arch), mode)
        if facts.cpu:
            uc.ctl_set_cpu_model(constant(facts.module, facts.cpu))
        # Virtual TLB with an identity map: without it x86 cuts addresses to 52 bits and ppc64 and s390x fault.
        uc.ctl_set_tlb_mode(constant("unicorn_const", "UC_TLB_VIRTUAL"))
        return uc

    def _map_fixed(self) -> None:
        plan, code = self.plan, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
        data = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        stubs = self._map(plan.stubs, MAX_HELPERS * STUB_SIZE, code)
        stubs[:] = self.target.return_stub.ljust(STUB_SIZE, b"\0") * MAX_HELPERS
        self._map(plan.exit, PAGE, code)
        self._entries = self._map(plan.entries, MAX_FUNCTIONS * STUB_SIZE, code)
        self._code = self._map(plan.code, CODE_SIZE, code)
        self._stack = self._map(plan.native - NATIVE_STACK, NATIVE_STACK, data)
        self.harness = self._map(plan.harness, TABLES + TABLE_SIZE, data)
        self._map(plan.counters.start, plan.counters.size, data)

    def _map(self, address: int, size: int, protection: int) -> memoryview:
        view = memoryview(mmap.mmap(-1, size))
        self.uc.mem_map_ptr(address, size, protection, _pointer(view))
        self._keep.append(view)
        return view

    def _hook(self, *, traced: bool) -> None:
        uc, plan = self.uc, self.plan

        def fill(_: Any, address: int, access: int, entry: Any, __: Any) -> bool:
            entry.paddr = address
            entry.perms = unicorn.UC_PROT_ALL
            if address >> 12 in self._unread:
                # Unicorn looks at a mapping's own protection only where the TLB knows nothing of it.
                if access == unicorn.UC_MEM_WRITE:
                    entry.perms = unicorn.UC_PROT_WRITE
                else:
                    self._stale = True
            return True

        def stub(_: Any, address: int, size: int, __: Any) -> None:
            self._helper(address)

        def invalid(_: Any, access: int, address: int, size: int, value: int, __: Any) -> bool:
            self._access = (access, address & _M64, size)
            return False

        uc.hook_add(unicorn.UC_HOOK_TLB_FILL, fill)
        uc.hook_add(unicorn.UC_HOOK_CODE, stub, begin=plan.stubs, end=plan.stubs + MAX_HELPERS * STUB_SIZE - 1)
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, invalid)
        facts = self.target.emulation
        for name in facts.traps:
            uc.hook_add(unicorn.UC_HOOK_INSN, self._trap, None, 1, 0, constant(facts.module, name))
        if traced:
            uc.hook_add(
                unicorn.UC_HOOK_CODE, lambda _, address, size, __: self.on_code(address),
                begin=plan.code, end=plan.code + CODE_SIZE - 1,
            )  # fmt: skip

    def _trap(self, *_: object) -> int:
        """An instruction that Unicorn would pass over: stop behind it."""
        self.uc.emu_stop()
        return 0

    def _enter_user_mode(self) -> None:
        """Run the target's `user_code`, if it needs one. The code is gone afterwards."""
        facts, plan = self.target.emulation, self.plan
        if facts.user_code:
            size = len(facts.user_code)
            self._code[:size] = facts.user_code
            self.uc.reg_write(edge.register(facts, self.target.arguments[0]), plan.exit)
            self.start(plan.code, 1.0)
            self._code[:size] = bytes(size)
            self.uc.ctl_remove_cache(plan.code, plan.code + size)

    def _self_test(self) -> None:
        """Run one return instruction, so that a Unicorn that does not do what it should says so in one line."""
        self.prepare_entry([0] * RECORD_WORDS, self.plan.stack)
        stop = self.start(self.plan.stub(0), 1.0)
        if stop.error or stop.pc != self.plan.exit:
            raise NotHere(f"Unicorn does not run {self.target.name} code here", remedy=f"use unicorn {edge.VERSION}")

    # What a run needs ------------------------------------------------------------------------------

    def memory(self, cells: Sequence[Cell], shared: Mapping[int, memoryview] = MappingProxyType({})) -> Memory:
        """The cells' regions, mapped, with their first contents. Earlier Memory objects of this machine end.

        shared: first page -> memory of another machine that a region has in common with it.
        """
        wanted = {cell.region.first_page: cell.region for cell in cells if cell.region.mapped}
        for start, old in list(self._mapped.items()):
            new = wanted.get(start)
            same = new is not None and _as_mapped(new) == _as_mapped(old.region)
            if not same or shared.get(start) is not (old.buffer if old.shared else None):
                self.uc.mem_unmap(start, old.region.mapped)
                self._unread -= _pages(old.region)
                del self._mapped[start]
        return Memory(cells, lambda region: self._allocate(region, shared.get(region.first_page)))

    def _allocate(self, region: Region, shared: memoryview | None) -> memoryview:
        found = self._mapped.get(region.first_page)
        if found is None:
            protection = 0 if region.writeonly else unicorn.UC_PROT_READ
            protection |= 0 if region.readonly else unicorn.UC_PROT_WRITE
            self._unread |= _pages(region) if region.writeonly else set()
            view = memoryview(mmap.mmap(-1, region.mapped)) if shared is None else shared
            self.uc.mem_map_ptr(region.first_page, region.mapped, protection, _pointer(view))
            found = self._mapped[region.first_page] = _Mapped(region, view, shared is not None)
        return found.buffer

    def load(self, image: Image) -> None:
        """Put an image's code in place; nothing happens when it is there already."""
        if self._image is image:
            return
        size = len(image.code)
        if size > CODE_SIZE:
            raise Refused(f"{size} bytes of machine code: at most {CODE_SIZE} fit")
        self._code[:size] = image.code
        if size < self._code_length:  # no stale code behind the new
            self._code[size : self._code_length] = bytes(self._code_length - size)
        self._entries[:] = image.entries.ljust(len(self._entries), b"\0")
        # Unicorn does not see writes from outside to code that it has translated.
        self.uc.ctl_remove_cache(image.base, image.base + max(size, self._code_length))
        self.uc.ctl_remove_cache(image.entry_base, image.entry_base + len(self._entries))
        self._code_length = size
        self._image = image
        self.programs += 1

    def prepare_entry(self, registers: Sequence[int], frame: int, may_goto: int = 0, tail_calls: int = 0) -> None:
        """A clean CPU; R0-R9, R10 = frame, patterns in the callee-saved registers, sp and the return address.

        may_goto, tail_calls: see Limits.
        """
        self.uc.context_restore(self._clean)
        if self._stale:
            self.uc.ctl(unicorn.UC_CTL_TLB_FLUSH, unicorn.UC_CTL_IO_WRITE)  # the binding has no name for it
            self._stale = False
        target, plan, slots = self.target, self.plan, self._slots
        self.harness[: 8 * RECORD_WORDS] = _NO_RECORD
        self.harness[ALLOWANCE : ALLOWANCE + 8] = may_goto.to_bytes(8, target.order)
        self.harness[TAIL_CALLS : TAIL_CALLS + 16] = bytes(8) + tail_calls.to_bytes(8, target.order)
        values = [_PATTERN + index for index in range(len(slots))]
        sp = (plan.native - target.save_area - 64) & -target.alignment
        for number, value in enumerate((*registers, frame)):
            slot = slots.get(target.homes[number])
            if slot is not None:
                values[slot] = value
        if target.link:
            values[slots[target.link]] = plan.exit
            sp += target.bias
        else:
            sp += target.bias - target.alignment
            at = sp - (plan.native - NATIVE_STACK)
            self._stack[at : at + 8] = plan.exit.to_bytes(8, target.order)
        values[slots[target.sp]] = sp
        self._entry.write(values)
        self._expected = [values[slots[name]] for name in target.callee_saved]
        self._sp = sp if target.link else sp + 8

    def start(self, address: int, seconds: float) -> Stop:
        """Run from an address until the exit page, an error or the time limit."""
        timeout = False
        WATCHDOG.arm(self.uc, seconds)
        try:
            pc, error = self._through(address)
        finally:
            timeout = WATCHDOG.disarm(self.uc)
        # The watchdog may fire when the guest has just stopped by itself.
        return Stop(pc, error, self._access, timeout and not error and pc != self.plan.exit)

    def go_on(self, address: int) -> Stop:
        """As start, inside a run: from a helper's stub, under the run's time limit."""
        pc, error = self._through(address)
        return Stop(pc, error, self._access, WATCHDOG.fired(self.uc) and not error and pc != self.plan.exit)

    def _through(self, address: int) -> tuple[int, int]:
        """Run from an address, through faults that the image's exception table knows: where it stops, and the error."""
        uc, facts = self.uc, self.target.emulation
        while True:
            error, self._access = 0, None
            try:
                uc.emu_start(address, self.plan.exit)
            except unicorn.UcError as failure:
                error = failure.errno
            pc = self._final.read()[0]
            if self._access is None or self._access[0] not in edge.READS or self._image is None or WATCHDOG.fired(uc):
                return pc, error
            rescue = self._image.rescue_at(pc)
            if rescue is None:
                return pc, error
            uc.reg_write(edge.register(facts, self.target.homes[rescue.dst]), 0)
            address = rescue.end

    @contextmanager
    def nested(self) -> Iterator[Callable[[Sequence[int]], None]]:
        """At a stub, for a helper that calls functions; afterwards the CPU is what it was.

        What it gives sets the CPU up for one more call, with R1-R5: everything is preserved but R0-R5, R10 is a frame
        lower, and sp far enough below what its owner may use.
        """
        target, saved, expected = self.target, self.uc.context_save(), (self._expected, self._sp)
        _, sp, _, *preserved = self._final.read()
        values = dict.fromkeys(self._nested.names, _PATTERN)
        values |= zip(target.callee_saved, preserved, strict=True)
        values[target.homes[10]] = self.homes()[10] - FRAME & _M64
        values[target.sp] = sp = (sp - target.bias - _NESTED & -target.alignment) + target.bias
        if target.link:
            values[target.link] = self.plan.exit
        at = sp - (self.plan.native - NATIVE_STACK)
        returns = self.plan.exit.to_bytes(8, target.order)

        def enter(arguments: Sequence[int]) -> None:
            values.update(zip(target.homes[1:6], arguments, strict=True))
            self._nested.write(list(values.values()))
            if not target.link:
                self._stack[at : at + 8] = returns
            self._expected = [values[name] for name in target.callee_saved]
            self._sp = sp if target.link else sp + 8

        self.depth += 1
        try:
            yield enter
        finally:
            self.depth -= 1
            self.uc.context_restore(saved)
            self._expected, self._sp = expected

    def result(self) -> int:
        """The C result register after a run."""
        return self._final.values[2]

    def broken_convention(self) -> str:
        """What the program did not put back before it returned, or ""."""
        _, sp, _, *saved = self._final.values
        if sp != self._sp:
            return f"{self.target.sp} is 0x{sp:x} after the run, expected 0x{self._sp:x}"
        for name, value, expected in zip(self.target.callee_saved, saved, self._expected, strict=True):
            if value != expected:
                return f"callee-saved {name} is 0x{value:x} after the run, expected 0x{expected:x}"
        return ""

    def record(self) -> tuple[int, ...]:
        """R0-R9 as the exit record holds them."""
        order = self.target.order
        data = bytes(self.harness[: 8 * RECORD_WORDS])
        return tuple(int.from_bytes(data[at : at + 8], order) for at in range(0, len(data), 8))

    def homes(self) -> list[int]:
        """R0-R10 as their homes hold them now."""
        return self._homes.read()

    def ax(self) -> int:
        """What AX's home holds now."""
        return self._ax.read()[0]

    # Helper calls ----------------------------------------------------------------------------------

    def _helper(self, address: int) -> None:
        if not self._allow_stub:
            return
        number, inside = divmod(address - self.plan.stubs, STUB_SIZE)
        result = None if inside else self.on_helper(number)  # a jump into the middle of a stub calls nobody
        if result is None:
            self.uc.emu_stop()
        else:
            self._after.write([result, *self._poisoned])

    def helper_arguments(self) -> list[int]:
        """R1-R5 at a stub."""
        return self._call.read()[1:6]

    def misaligned(self) -> str:
        """At a stub, after helper_arguments: how sp breaks the calling convention, or ""."""
        sp = self._call.values[0]
        if sp % self.target.alignment != self.target.bias:
            return f"{self.target.sp} is 0x{sp:x} at a helper call: not aligned to {self.target.alignment}"
        return ""

    def return_address(self) -> int:
        """At a stub, after helper_arguments: where it returns to."""
        if self.target.link:
            return self._call.values[6]
        at = self._call.values[0] - (self.plan.native - NATIVE_STACK)
        return int.from_bytes(self._stack[at : at + 8], self.target.order)


RECYCLE = 50_000
"""Programs after which a machine is replaced: each leaves half a kilobyte behind in Unicorn."""

_MACHINES: dict[tuple[str, str, int], Machine] = {}


def machine(target: Target, plan: Plan, *, cpu: int = 0, recycle: int = RECYCLE) -> Machine:
    """The process's machine for a target, a plan and a CPU; a new one after `recycle` programs."""
    key = (target.name, plan.name, cpu)
    found = _MACHINES.get(key)
    if found is None or found.programs >= recycle:
        if found is not None:
            del _MACHINES[key], found
            gc.collect()  # hooks put the old engine into a reference cycle of a gigabyte of address space
        found = _MACHINES[key] = Machine(target, plan)
    return found


_TRACERS: dict[tuple[str, str], list[Machine]] = {}


@contextmanager
def tracer(target: Target, plan: Plan, on_code: Callable[[int], None]) -> Iterator[Machine]:
    """A traced machine with this on_code, one's own for a while; then it waits for the next user."""
    idle = _TRACERS.setdefault((target.name, plan.name), [])
    host = idle.pop() if idle else Machine(target, plan, traced=True)
    host.on_code = on_code
    try:
        yield host
    finally:
        host.on_helper, host.on_code, host.owner = _no_helper, _no_code, None
        if host.programs < RECYCLE:
            idle.append(host)

"""One guest machine: a target under a plan, set up once and reused for thousands of programs."""

from __future__ import annotations

import ctypes
import gc
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bpf.errors import NotHere, Refused
from bpf.plan import MAX_FUNCTIONS, MAX_HELPERS, PAGE, POISON, RECORD_WORDS, STUB_SIZE, TABLES, Plan, Region
from emu import unicorn as edge
from emu.unicorn import Registers, constant, unicorn
from emu.watchdog import WATCHDOG
from jit.image import Image
from jit.target import Target
from vm.memory import Cell, Memory

CODE_SIZE = 64 << 20
NATIVE_STACK = 256 << 10
TABLE_SIZE = 1 << 20
_PATTERN = 0xC0FF_EE00_0000_0000  # what registers hold that belong to nobody: pattern + index
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
    backing: mmap.mmap = field(repr=False)


def _host_memory(size: int) -> tuple[mmap.mmap, memoryview, int]:
    """Anonymous memory of the host: the object that owns it, a view, its address."""
    backing = mmap.mmap(-1, size)
    return backing, memoryview(backing), ctypes.addressof(ctypes.c_char.from_buffer(backing))


class Machine:
    """A Unicorn engine with the plan's fixed regions mapped: exit page, stubs, entries, code, native stack, harness.

    Code pages are never writable to the guest, data pages never executable. `on_helper(number)` is called when a
    helper's stub is reached; what it leaves in `result` is returned to the program.
    `on_code(address)`, if given, is called before every native instruction of the code region.
    """

    def __init__(self, target: Target, plan: Plan, on_code: Callable[[int], None] | None = None) -> None:
        self.target = target
        self.plan = plan
        self.owner: object = None  # whose Memory is mapped now
        self.on_helper: Callable[[int], int | None] = lambda number: None
        self._mapped: dict[int, _Mapped] = {}
        self._image: Image | None = None
        self._keep: list[mmap.mmap] = []
        self._code_length = 0
        self._access: tuple[int, int, int] | None = None
        self._allow_stub = True
        facts = target.emulation
        self.uc = self._open()
        for name, value in facts.setup.items():
            self.uc.reg_write(edge.register(facts, name), value)
        self._map_fixed()
        self._hook(on_code)
        known = dict.fromkeys((*target.homes, *target.callee_saved))
        if target.link:
            known.pop(target.link, None)  # R0's home on s390x; it holds the return address at entry
        self._entry = Registers(self.uc, facts, (*known, target.sp, *((target.link,) if target.link else ())))
        self._slots = {name: index for index, name in enumerate(self._entry.names)}
        self._final = Registers(self.uc, facts, (facts.pc, target.sp, target.result, *target.callee_saved))
        self._call = Registers(self.uc, facts, (target.sp, *target.arguments, *((target.link,) if target.link else ())))
        self._after = Registers(self.uc, facts, (target.result, *(r for r in target.caller_saved if r != target.result)))
        poison = {target.homes[number]: POISON + number for number in range(1, 6)}
        self._poisoned = [
            poison.get(name, _PATTERN + 0x100 + index) for index, name in enumerate(self._after.names)
        ][1:]
        self._homes = Registers(self.uc, facts, target.homes[:11])
        self._self_test()

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

    def _map(self, address: int, size: int, protection: int) -> memoryview:
        backing, view, pointer = _host_memory(size)
        self.uc.mem_map_ptr(address, size, protection, pointer)
        self._keep.append(backing)
        return view

    def _hook(self, on_code: Callable[[int], None] | None) -> None:
        uc, plan = self.uc, self.plan

        def fill(_: Any, address: int, access: int, entry: Any, __: Any) -> bool:
            entry.paddr = address
            entry.perms = unicorn.UC_PROT_ALL
            return True

        def stub(_: Any, address: int, size: int, __: Any) -> None:
            self._helper(address)

        def invalid(_: Any, access: int, address: int, size: int, value: int, __: Any) -> bool:
            self._access = (access, address & _M64, size)
            return False

        uc.hook_add(unicorn.UC_HOOK_TLB_FILL, fill)
        uc.hook_add(unicorn.UC_HOOK_CODE, stub, begin=plan.stubs, end=plan.stubs + MAX_HELPERS * STUB_SIZE - 1)
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, invalid)
        if on_code is not None:
            uc.hook_add(
                unicorn.UC_HOOK_CODE, lambda _, address, size, __: on_code(address),
                begin=plan.code, end=plan.code + CODE_SIZE - 1,
            )  # fmt: skip

    def _self_test(self) -> None:
        """Run one return instruction, so that a Unicorn that does not do what it should says so in one line."""
        try:
            self.prepare_entry([0] * 10, self.plan.stack)
            self._allow_stub = False
            stop = self.start(self.plan.stub(0), 1.0)
        finally:
            self._allow_stub = True
        if stop.error or stop.pc != self.plan.exit:
            raise NotHere(f"Unicorn does not run {self.target.name} code here", remedy=f"use unicorn {edge.VERSION}")

    # What a run needs ------------------------------------------------------------------------------

    def memory(self, cells: Sequence[Cell]) -> Memory:
        """The cells' regions, mapped, with their first contents. Earlier Memory objects of this machine end."""
        wanted = {cell.region.first_page: cell.region for cell in cells if cell.region.mapped}
        for start, old in list(self._mapped.items()):
            new = wanted.get(start)
            if new is None or (new.mapped, new.readonly) != (old.region.mapped, old.region.readonly):
                self.uc.mem_unmap(start, old.region.mapped)
                del self._mapped[start]
        return Memory(cells, self._allocate)

    def _allocate(self, region: Region) -> memoryview:
        found = self._mapped.get(region.first_page)
        if found is None:
            protection = unicorn.UC_PROT_READ | (0 if region.readonly else unicorn.UC_PROT_WRITE)
            backing, view, pointer = _host_memory(region.mapped)
            self.uc.mem_map_ptr(region.first_page, region.mapped, protection, pointer)
            found = self._mapped[region.first_page] = _Mapped(region, view, backing)
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
        self._entries[: len(image.entries)] = image.entries
        # Unicorn does not see writes from outside to code that it has translated.
        self.uc.ctl_remove_cache(image.base, image.base + max(size, self._code_length))
        self.uc.ctl_remove_cache(image.entry_base, image.entry_base + len(self._entries))
        self._code_length = size
        self._image = image

    def prepare_entry(self, registers: Sequence[int], frame: int) -> None:
        """Set R0-R9, R10 = frame, patterns in every other register, sp and the return address."""
        target, plan, slots = self.target, self.plan, self._slots
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
            self._stack[at : at + 8] = plan.exit.to_bytes(8, target.order)  # type: ignore[arg-type]
        values[slots[target.sp]] = sp
        self._entry.write(values)
        self._expected = [values[slots[name]] for name in target.callee_saved]
        self._sp = sp if target.link else sp + 8

    def start(self, address: int, seconds: float) -> Stop:
        """Run from an address until the exit page, an error or the time limit."""
        uc = self.uc
        self._access = None
        error = 0
        WATCHDOG.arm(uc, seconds)
        try:
            uc.emu_start(address, self.plan.exit)
        except unicorn.UcError as failure:
            error = failure.errno
        finally:
            timeout = WATCHDOG.disarm()
        final = self._final.read()
        return Stop(final[0], error, self._access, timeout)

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
        return tuple(int.from_bytes(data[at : at + 8], order) for at in range(0, len(data), 8))  # type: ignore[arg-type]

    def homes(self) -> list[int]:
        """R0-R10 as their homes hold them now."""
        return self._homes.read()

    # Helper calls ----------------------------------------------------------------------------------

    def _helper(self, address: int) -> None:
        if not self._allow_stub:
            return
        result = self.on_helper((address - self.plan.stubs) // STUB_SIZE)
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
        return int.from_bytes(self._stack[at : at + 8], self.target.order)  # type: ignore[arg-type]


_MACHINES: dict[tuple[str, str], tuple[Machine, list[int]]] = {}
_RECYCLE = 50_000  # a machine grows by half a kilobyte a program


def machine(target: Target, plan: Plan) -> Machine:
    """The process's machine for a target and a plan; a new one after many programs."""
    key = (target.name, plan.name)
    found = _MACHINES.get(key)
    if found is None or found[1][0] >= _RECYCLE:
        _MACHINES.pop(key, None)
        if found is not None:
            del found
            gc.collect()  # hooks put the old engine into a reference cycle of a gigabyte of address space
        found = _MACHINES[key] = (Machine(target, plan), [0])
    found[1][0] += 1
    return found[0]

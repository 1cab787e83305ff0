"""Machine code that somebody else's compiler made, Linux's JIT above all, run at its own address.

Such code calls helpers by address, and finds a kernel around it. Here there is none: a call of a function traps on its
fetch and is carried out by name, the kernel's variables read as zero, and what else the code touches must have been
described, or is a fault that names the address. What differs from machine to machine is in Target.kernel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from bpf.errors import BadInput, Refused
from bpf.plan import DEFAULT_PLAN, PAGE, Region
from bpf.spec.errno import EFAULT
from bpf.spec.helpers import KERNEL
from bpf.spec.maps import MAP_HELPERS
from emu import unicorn as edge
from emu.machine import CODE_SIZE, NATIVE_STACK, Machine, Stop
from emu.unicorn import Registers, unicorn
from jit.target import Target
from vm import services
from vm.helpers import Place, implementation
from vm.memory import Cell, OutOfReach
from vm.outcome import Call, Fault, Outcome
from vm.world import DIRTY, Limits, World

M64 = (1 << 64) - 1
_PLAN = DEFAULT_PLAN  # for what is ours: stack, exit page, context, anchor
_ANCHOR = Region("anchor", _PLAN.arena, PAGE)
_ELEMENT = Region("element", _PLAN.values, PAGE)
_STACK = Region("stack", _PLAN.native - NATIVE_STACK, NATIVE_STACK)
_HTAB_KEY = 48  # offsetof(struct htab_elem, key) on 64-bit kernels

ARRAY, HASH = 2, 1


@dataclass(frozen=True, slots=True)
class KernelMap:
    """The map that code knows by an address in it. The first element (key zeros) holds `initial`, the others zeros."""

    kind: int
    key_size: int
    value_size: int
    entries: int
    initial: bytes


@dataclass(frozen=True)
class Code:
    """Machine code and what is known of its surroundings.

    pieces     (address, bytes) of each function; the first is entered
    symbols    address -> name of the functions and variables of the kernel
    arguments  the first C arguments
    cells      memory that exists besides the stack
    packet     the packet's bytes for the functions that load from it; network: how many lie before offset 0
    map        the map, if the code uses one
    """

    target: Target
    pieces: tuple[tuple[int, bytes], ...]
    symbols: Mapping[int, str] = field(default_factory=dict)
    arguments: tuple[int, ...] = ()
    cells: tuple[Cell, ...] = ()
    packet: bytes = b""
    map: KernelMap | None = None
    network: int = 0


_UNMAPPED = (unicorn.UC_MEM_READ_UNMAPPED, unicorn.UC_MEM_WRITE_UNMAPPED)

Function = Callable[["_Run", Sequence[int]], int]


class ForeignMachine(Machine):
    """A machine into which pages can be put while it runs."""

    def __init__(self, target: Target) -> None:
        if target.kernel is None:
            raise Refused(f"it is not known how a kernel's compiled code runs on {target.name}")
        self.kernel = target.kernel
        super().__init__(target, _PLAN)
        self._placed: dict[int, memoryview] = {}
        kept = (*target.callee_saved, target.result)
        self._lost = Registers(self.uc, target.emulation, [name for name in target.caller_saved if name not in kept])
        self._rubbish = [0xBAD_0000_0000 + at for at in range(len(self._lost.names))]

    def _enter_user_mode(self) -> None:
        if not self.kernel.privileged:
            super()._enter_user_mode()

    def _allocate(self, region: Region, shared: memoryview | None) -> memoryview:
        return self._stack if region is _STACK else super()._allocate(region, shared)

    def clear(self) -> None:
        """Take out every page that was put in."""
        for address, page in self._placed.items():
            self.uc.mem_unmap(address, len(page))
            self.uc.ctl_remove_cache(address, address + len(page))
        self._placed.clear()

    def put(self, address: int, *, executable: bool) -> memoryview:
        """A page of zeros at an address, or what was put there before. Raises BadInput where something else is."""
        if address not in self._placed:
            prot = unicorn.UC_PROT_READ | (unicorn.UC_PROT_EXEC if executable else unicorn.UC_PROT_WRITE)
            try:
                self._placed[address] = self._map(address, PAGE, prot)
            except unicorn.UcError:
                raise BadInput(f"address 0x{address:x} is used by the emulator itself") from None
        return self._placed[address]

    def set(self, name: str, value: int) -> None:
        """Set a register. Callee-saved ones must have this value after the run too."""
        self.uc.reg_write(edge.register(self.target.emulation, name), value)
        if name in self.target.callee_saved:
            self._expected[self.target.callee_saved.index(name)] = value

    def get(self, name: str) -> int:
        """A register's value."""
        value: int = self.uc.reg_read(edge.register(self.target.emulation, name))
        return value & M64

    def pop_return(self) -> int:
        """Do what a return instruction does, and say where it goes to."""
        if self.target.link:
            return self.get(self.target.link)
        sp = self.get(self.target.sp)
        address = int.from_bytes(self.uc.mem_read(sp, 8), self.target.order)
        self.uc.reg_write(edge.register(self.target.emulation, self.target.sp), sp + 8)
        return address

    def finish_call(self, result: int) -> None:
        """The registers as a C function leaves them."""
        self._lost.write(self._rubbish)
        self.set(self.target.result, result)


@cache
def foreign_machine(target: Target) -> ForeignMachine:
    """The process's machine for foreign code of a target."""
    return ForeignMachine(target)


def run_foreign(code: Code, world: World, limits: Limits) -> Outcome:
    """Run machine code under the kernel's calling convention.

    calls are shown with their first two arguments; regions are those of `cells`. Raises BadInput for addresses that
    cannot be used, Refused for a target without known convention.
    """
    return _Run(code, world).run(limits)


class _Run:
    """One run: memory laid out, registers set."""

    def __init__(self, code: Code, world: World) -> None:
        self.code = code
        self.world = world
        self.machine = host = foreign_machine(code.target)
        self.calls: list[Call] = []
        self.fault: Fault | None = None
        self._map_placed = False
        host.clear()
        anchor = bytearray(PAGE)
        toc = next((address for address, name in code.symbols.items() if name == ".TOC."), 0)
        facts = host.kernel
        anchor[facts.toc_at : facts.toc_at + 8] = toc.to_bytes(8, code.target.order)
        cells = (
            Cell(_ANCHOR, bytes(anchor)),
            Cell(_ELEMENT, bytes(PAGE)),
            Cell(_STACK, bytes(NATIVE_STACK)),
            *code.cells,
        )
        try:
            self.memory = host.memory(cells)
        except unicorn.UcError:
            raise BadInput("the memory given lies over memory of the emulator itself, or over itself") from None
        for address, data in code.pieces:
            self._place(address, data)
        registers = list(DIRTY)
        registers[1 : 1 + len(code.arguments)] = code.arguments
        host.prepare_entry(registers, DIRTY[0])
        if facts.anchor:
            host.set(facts.anchor, _ANCHOR.start)
        if facts.toc:
            host.set(facts.toc, toc)

    def _place(self, address: int, data: bytes) -> None:
        if len(data) > CODE_SIZE or address + len(data) > 1 << 64:
            raise BadInput(f"{len(data)} bytes of code at 0x{address:x}: too many, or past the end of memory")
        for at in range(address & -PAGE, address + len(data), PAGE):
            page = self.machine.put(at, executable=True)
            start, end = max(at, address), min(at + PAGE, address + len(data))
            page[start - at : end - at] = data[start - address : end - address]

    def run(self, limits: Limits) -> Outcome:
        """Start, and go on after each stop that was a call of a function or an access to the kernel's memory."""
        host, facts = self.machine, self.machine.kernel
        deadline = time.monotonic() + limits.seconds
        pc = self.code.pieces[0][0]
        while True:
            stop = host.start(pc, max(deadline - time.monotonic(), 0.0))
            if stop.timeout or time.monotonic() > deadline:
                return self._outcome("limit")
            here, pc = pc, stop.pc
            if stop.access is not None:
                access, address, _ = stop.access
                if access == unicorn.UC_MEM_FETCH_UNMAPPED:
                    target = self._call(address)
                    if target is None:
                        break
                    pc = target
                elif access not in _UNMAPPED or not self._supply(address):
                    break
            elif stop.error or pc == host.plan.exit or not facts.goes_on or pc == here:
                break
        if self.fault is None and (stop.error or pc != host.plan.exit):
            self.fault = _fault(stop)
        return self._outcome("fault") if self.fault is not None else self._returned()

    def _returned(self) -> Outcome:
        host = self.machine
        broken = host.broken_convention()
        if broken:
            self.fault = Fault("abi", 0, -1, 0, broken)
        return self._outcome("fault" if broken else "done", host.result())

    def _outcome(self, status: str, r0: int = 0) -> Outcome:
        given = {cell.region.name for cell in self.code.cells}
        return Outcome(
            status=status,  # type: ignore[arg-type]
            r0=r0,
            regions={name: data for name, data in self.memory.contents().items() if name in given},
            calls=tuple(self.calls),
            printed=tuple(self.world.printed),
            fault=self.fault,
        )

    # The kernel's memory ---------------------------------------------------------------------------

    def _supply(self, address: int) -> bool:
        """Put memory under an address that was not mapped, where it is known what the kernel has there."""
        if any(low <= address < high for low, high in self.machine.kernel.variables):
            self._put(address, b"")
            return True
        # An image holds the address of its map, and no record says which of its constants that is: the first access
        # to memory that nobody knows goes to the map.
        if self.code.map is None or self._map_placed:
            return False
        self._map_placed = True
        self._put(address, self.code.map.initial if self.code.map.kind == ARRAY else b"")
        return True

    def _put(self, address: int, data: bytes) -> None:
        for at in range(address & -PAGE, address + max(len(data), 1), PAGE):
            self.memory.pages[at >> 12] = (self.machine.put(at, executable=False), at, True)
        self.memory.write(address, data)

    # The kernel's functions ------------------------------------------------------------------------

    def _call(self, address: int) -> int | None:
        """Do what the function at an address does, and say where it returns to; None after a fault."""
        host, facts = self.machine, self.machine.kernel
        name = self.code.symbols.get(address) or self.code.symbols.get(address - facts.local_entry)
        if name is None:
            self.fault = Fault("fetch", 0, -1, address, "a call of a function that no symbol names")
            return None
        if facts.returns and name.endswith(facts.returns):
            return host.pop_return()
        if facts.jumps and name.startswith(facts.jumps):
            return host.get(name.removeprefix(facts.jumps))
        function = FUNCTIONS.get(name)
        if function is None:
            self.fault = Fault("fetch", 0, -1, address, f"a call of {name}, which does not exist here")
            return None
        arguments = [host.get(register) for register in host.target.arguments]
        sp = host.get(host.target.sp)
        aligned = sp % facts.alignment == 0 if facts.alignment else sp % host.target.alignment == host.target.bias
        if not aligned:
            self.fault = Fault("abi", 0, -1, 0, f"{host.target.sp} is 0x{sp:x} at a call of {name}: misaligned")
            return None
        self.calls.append(Call(name, tuple(arguments[:2])))
        try:
            result = function(self, arguments)
        except (OutOfReach, services.Trap) as bad:
            self.fault = Fault(bad.kind, 0, -1, bad.address, f"in {name}")
            return None
        back = host.pop_return()
        host.finish_call(result & M64)
        return back

    def helper(self, name: str, arguments: Sequence[int]) -> int:
        """What a helper of ours does."""
        result = implementation(name)(Place(self.world, self.memory, self.code.target.order), arguments)
        assert isinstance(result, int)
        return result


def _helper(name: str) -> Function:
    return lambda run, arguments: run.helper(name, arguments)


def _load(size: int) -> Function:
    """bpf_skb_load_helper_N_no_cache(skb, offset): bytes of the packet in network order."""

    def load(run: _Run, arguments: Sequence[int]) -> int:
        packet = run.code.packet
        at = services.place(len(packet), run.code.network, 8 * size, arguments[1])
        return -EFAULT if at is None else int.from_bytes(packet[at : at + size], "big")

    return load


def _htab_lookup(run: _Run, arguments: Sequence[int]) -> int:
    """__htab_map_lookup_elem(map, key): the address of the element, whose value lies behind the key, or 0."""
    kept = run.code.map
    if kept is None or kept.kind != HASH:
        return 0
    key = run.memory.read(arguments[1], kept.key_size)
    if any(key):
        return 0
    run.memory.write(_ELEMENT.start + _HTAB_KEY + (kept.key_size + 7 & -8), kept.initial)
    return _ELEMENT.start


FUNCTIONS: dict[str, Function] = {
    **{
        f"bpf_{one.name}": _helper(one.name)
        for one in KERNEL.values()
        if one.name not in MAP_HELPERS and not one.inline and not one.callback and not one.typed
    },
    "bpf_get_raw_cpu_id": _helper("get_smp_processor_id"),
    "bpf_user_rnd_u32": _helper("get_prandom_u32"),
    "bpf_skb_load_helper_8_no_cache": _load(1),
    "bpf_skb_load_helper_16_no_cache": _load(2),
    "bpf_skb_load_helper_32_no_cache": _load(4),
    "__htab_map_lookup_elem": _htab_lookup,
}
"""The kernel's functions that code may call, by the names of its symbol table."""


def _fault(stop: Stop) -> Fault:
    where = f"at native 0x{stop.pc:x}"
    if stop.access is not None:
        access, address, _ = stop.access
        if access in (unicorn.UC_MEM_WRITE_UNMAPPED, unicorn.UC_MEM_WRITE_PROT):
            return Fault("write", 0, -1, address, where)
        if access == unicorn.UC_MEM_FETCH_PROT:
            return Fault("fetch", 0, -1, address, where)
        return Fault("read", 0, -1, address, where)
    return Fault("trap", 0, -1, 0, f"{unicorn.UcError(stop.error) if stop.error else 'stopped by itself'} {where}")

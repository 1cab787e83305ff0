"""What a stopped guest means: native faults as Faults with the program's own pc."""

from __future__ import annotations

from bpf.isa import Insn, Kind
from emu.machine import Machine, Stop
from emu.unicorn import READS, unicorn
from jit.image import Image
from vm.memory import Memory
from vm.outcome import Fault

_M64 = (1 << 64) - 1
_WRITES = (unicorn.UC_MEM_WRITE_UNMAPPED, unicorn.UC_MEM_WRITE_PROT)


def translate(stop: Stop, machine: Machine, image: Image, memory: Memory) -> Fault:
    """The Fault of a run that did not reach the exit page by itself."""
    pc = image.pc_at(stop.pc)
    if stop.access is not None:
        access, address, _ = stop.access
        if access in READS or access in _WRITES:
            return _memory_fault(access in _WRITES, address, pc, machine, image, memory)
        return Fault("fetch", 0, -1, address)
    if stop.error:  # Unicorn does not tell an illegal instruction from a trapping one on every machine
        return Fault("trap", 0, pc, 0, str(unicorn.UcError(stop.error)))
    return Fault("trap", 0, pc, 0, f"stopped at 0x{stop.pc:x} by itself")


def _memory_fault(write: bool, address: int, pc: int, machine: Machine, image: Image, memory: Memory) -> Fault:
    insn: Insn | None = image.program.insns[pc] if pc >= 0 else None
    if insn is None or insn.row.kind not in (Kind.LOAD, Kind.STORE, Kind.ATOMIC):
        return Fault("write" if write else "read", 0, pc, address)
    # An atomic is one access that reads and writes; machines differ in which of the two they report.
    kind = insn.row.kind
    write = write or kind is Kind.ATOMIC
    # Machines also differ in the address they report for an access that crosses into a page: say which byte it is,
    # as long as the report lies in the page that the program's own address leads to.
    base = insn.src if kind is Kind.LOAD else insn.dst
    start = (machine.homes()[base] + insn.off) & _M64
    bad = memory.first_bad(start, insn.row.width // 8, write)
    if bad is None and kind is Kind.ATOMIC:  # it can only be written
        bad = memory.first_bad(start, insn.row.width // 8, False)
    if bad is not None and address >> 12 in (bad >> 12, start >> 12):
        address = bad
    return Fault("write" if write else "read", 0, pc, address)

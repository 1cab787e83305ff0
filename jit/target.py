"""What a machine is, as facts. The jit knows nothing of a machine but its Target and its Backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpf.order import Order


@dataclass(frozen=True, slots=True)
class Emulation:
    """How Unicorn is set up for a target (names of its constants, without importing it).

    module     Unicorn's module of constants: "x86_const"
    arch, mode, cpu   names of constants; cpu "" leaves the default
    registers  prefix of register constants: "UC_X86_REG_"
    pc         name of the program counter register
    setup      register name -> value, written once before the first run. With `user_code` it takes the guest out of
               the privileged mode that Unicorn starts in: compiled code has no business with privileged instructions,
               which would stop the guest's timer, turn off 64-bit addressing, or (s390x's sck) crash the emulator
    user_code  machine code, run once, that goes on in user mode at the address in the first argument register
    traps      names of instructions that Unicorn passes over unless they are hooked
    """

    module: str
    arch: str
    mode: tuple[str, ...]
    registers: str
    pc: str
    cpu: str = ""
    setup: Mapping[str, int] = field(default_factory=dict)
    user_code: bytes = b""
    traps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kernel:
    """How Linux enters BPF code that its own JIT compiled, and what that code finds around it.

    The rest is the C calling convention: the context is the first argument, R0 the result.

    anchor       register that points to the data of the CPU or of the running task, "" where code uses none
    toc          register of the TOC pointer, which the word at `toc_at` behind the anchor holds too; "" for none
    local_entry  bytes behind a function's address at which callers that share its TOC enter it
    alignment    what sp is a multiple of where a function is called, 0 for the calling convention's own
    returns      end of the names of functions that stand for a return instruction (mitigations)
    jumps        start of the names of functions that jump to the register that the rest of the name says
    variables    address ranges in which the kernel's variables lie: their pages read as zero
    privileged   code reads registers that user mode may not
    goes_on      the emulator stops behind scheduling hints, without an error
    """

    anchor: str = ""
    toc: str = ""
    toc_at: int = 0
    local_entry: int = 0
    alignment: int = 0
    returns: str = ""
    jumps: str = ""
    variables: tuple[tuple[int, int], ...] = ()
    privileged: bool = False
    goes_on: bool = False


@dataclass(frozen=True)
class Target:
    """A machine.

    name, aliases  what users call it
    order          byte order of its programs
    homes          registers of R0-R10 and AX, twelve names
    arguments      C argument registers of R1-R5
    result         C result register
    callee_saved   registers that a function must leave as they were (checked after every run), without sp
    caller_saved   registers that a call may destroy (poisoned by every helper stub), without result and link
    sp             stack pointer
    link           link register, or "" where the return address is on the stack
    alignment      sp % alignment at a helper's first instruction is `bias`
    save_area      bytes above sp that belong to the callee (s390x register save area, ppc64 linkage)
    return_stub    machine code of a helper stub: one return instruction
    features       instruction set extensions that code may use; the defaults are what Unicorn executes
    host           module with the code that enters compiled programs on a CPU of this kind (see jit/host.py), or ""
    kernel         how Linux's own compiled code runs here; None where nobody has looked
    emulation      how the emulator is set up
    capstone       (arch, modes) as names of Capstone constants
    """

    name: str
    order: Order
    homes: tuple[str, ...]
    arguments: tuple[str, ...]
    result: str
    callee_saved: tuple[str, ...]
    caller_saved: tuple[str, ...]
    sp: str
    link: str
    alignment: int
    bias: int
    save_area: int
    return_stub: bytes
    emulation: Emulation
    capstone: tuple[str, tuple[str, ...]]
    aliases: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    host: str = ""
    kernel: Kernel | None = None

    def __hash__(self) -> int:
        return hash(self.name)

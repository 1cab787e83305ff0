"""Out of the privileged mode that Unicorn starts in: compiled code has no business with privileged instructions.

In user mode they trap, as they do on a machine with an operating system. Otherwise they would do what they say: stop
the guest's timer, turn off 64-bit addressing for every program after this one, or (s390x's sck) crash the emulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_M64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class UserMode:
    """How one of Unicorn's architectures gets there.

    registers  register name -> (bits to keep, bits to set)
    code       machine code, run once, that goes on in user mode at the address in the first argument register
    traps      constants of instructions that Unicorn passes over unless they are hooked
    """

    registers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    code: bytes = b""
    traps: tuple[str, ...] = ()


USER_MODES: Mapping[str, UserMode] = {
    # mov ecx, IA32_EFER; rdmsr; or eax, SCE; wrmsr; mov rcx, rdi; mov r11d, 0x202; sysretq
    "UC_ARCH_X86": UserMode(
        code=bytes.fromhex("b9800000c0 0f32 83c801 0f30 4889f9 41bb02020000 480f07"),
        traps=("UC_X86_INS_SYSCALL", "UC_X86_INS_SYSENTER", "UC_X86_INS_IN", "UC_X86_INS_OUT"),
    ),
    # msr elr_el1, x0; msr spsr_el1, xzr; eret
    "UC_ARCH_ARM64": UserMode(code=bytes.fromhex("204018d5 1f4018d5 e0039fd6")),
    "UC_ARCH_RISCV": UserMode({"priv": (0, 0)}),
    "UC_ARCH_PPC": UserMode({"msr": (_M64, 1 << 14)}),  # MSR.PR
    "UC_ARCH_S390X": UserMode({"pswm": (_M64, 1 << 48)}),  # PSW bit 15: problem state
}
"""By Unicorn's constant of the architecture (Emulation.arch)."""

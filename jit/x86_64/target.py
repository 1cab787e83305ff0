"""Facts about x86-64 (System V ABI, AMD64 supplement; Linux's register map for BPF)."""

from jit.target import Emulation, Kernel, Target

TARGETS = (
    Target(
        name="x86_64",
        aliases=("amd64", "x86-64", "x64"),
        order="little",
        homes=("rax", "rdi", "rsi", "rdx", "rcx", "r8", "rbx", "r13", "r14", "r15", "rbp", "r10"),
        arguments=("rdi", "rsi", "rdx", "rcx", "r8"),
        result="rax",
        callee_saved=("rbx", "rbp", "r12", "r13", "r14", "r15"),
        caller_saved=("rdi", "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11"),
        sp="rsp",
        link="",
        alignment=16,
        bias=8,
        save_area=0,
        return_stub=b"\xc3",
        features=frozenset({"bmi2"}),
        host="jit.x86_64.host",
        # A CPU whose per-CPU offset is 0: its variables lie where the kernel was linked (low down until Linux 6.14).
        kernel=Kernel(
            alignment=8,
            returns="return_thunk",
            jumps="__x86_indirect_thunk_",
            variables=((0x1_0000, 0x10_0000), (0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_C000_0000)),
        ),
        emulation=Emulation(
            module="x86_const",
            arch="UC_ARCH_X86",
            mode=("UC_MODE_64",),
            registers="UC_X86_REG_",
            pc="rip",
            # mov ecx, IA32_EFER; rdmsr; or eax, SCE; wrmsr; mov rcx, rdi; mov r11d, 0x202; sysretq
            user_code=bytes.fromhex("b9800000c0 0f32 83c801 0f30 4889f9 41bb02020000 480f07"),
            traps=("UC_X86_INS_SYSCALL", "UC_X86_INS_SYSENTER", "UC_X86_INS_IN", "UC_X86_INS_OUT"),
        ),
        capstone=("CS_ARCH_X86", ("CS_MODE_64",)),
    ),
)

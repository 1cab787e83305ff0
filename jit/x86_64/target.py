"""Facts about x86-64 (System V ABI, AMD64 supplement; Linux's register map for BPF)."""

from jit.target import Emulation, Target

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

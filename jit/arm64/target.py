"""Facts about arm64 (Procedure Call Standard for the Arm 64-bit Architecture; Linux's register map for BPF)."""

from jit.target import Emulation, Kernel, Target

TARGETS = (
    Target(
        name="arm64",
        aliases=("aarch64",),
        order="little",
        homes=("x7", "x0", "x1", "x2", "x3", "x4", "x19", "x20", "x21", "x22", "x25", "x9"),
        arguments=("x0", "x1", "x2", "x3", "x4"),
        result="x0",
        # x18 belongs to the platform: code may not write it, so it must come out as it went in.
        callee_saved=("x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29"),
        caller_saved=(
            *("x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11"),
            *("x12", "x13", "x14", "x15", "x16", "x17"),
        ),
        sp="sp",
        link="x30",
        alignment=16,
        bias=0,
        save_area=0,
        return_stub=b"\xc0\x03\x5f\xd6",
        features=frozenset({"lse"}),
        host="jit.arm64.host",
        kernel=Kernel(anchor="sp_el0", privileged=True),
        emulation=Emulation(
            module="arm64_const",
            arch="UC_ARCH_ARM64",
            mode=("UC_MODE_ARM",),
            registers="UC_ARM64_REG_",
            pc="pc",
            cpu="UC_CPU_ARM64_MAX",
            # msr elr_el1, x0; msr spsr_el1, xzr; eret
            user_code=bytes.fromhex("204018d5 1f4018d5 e0039fd6"),
        ),
        capstone=("CS_ARCH_ARM64", ("CS_MODE_ARM",)),
    ),
)

"""Facts about RISC-V (RISC-V ELF psABI, lp64; Linux's register map for BPF)."""

from jit.target import Emulation, Kernel, Target

TARGETS = (
    Target(
        name="riscv64",
        aliases=("risc-v", "riscv", "rv64"),
        order="little",
        homes=("a5", "a0", "a1", "a2", "a3", "a4", "s1", "s2", "s3", "s4", "s5", "t0"),
        arguments=("a0", "a1", "a2", "a3", "a4"),
        result="a0",
        callee_saved=("gp", "tp", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11"),
        caller_saved=("a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6"),
        sp="sp",
        link="ra",
        alignment=16,
        bias=0,
        save_area=0,
        return_stub=b"\x67\x80\x00\x00",
        features=frozenset({"c"}),
        kernel=Kernel(anchor="tp"),
        emulation=Emulation(
            module="riscv_const",
            arch="UC_ARCH_RISCV",
            mode=("UC_MODE_RISCV64",),
            registers="UC_RISCV_REG_",
            pc="pc",
            setup={"priv": 0},
        ),
        capstone=("CS_ARCH_RISCV", ("CS_MODE_RISCV64", "CS_MODE_RISCVC")),
    ),
)

"""Facts about s390x (ELF ABI s390x supplement; Linux's register map for BPF).

r6 holds the fifth argument and is nevertheless preserved by a function. It stands in both lists: the stubs poison it
with R5, whose home it is, and every function that lets it change puts it back.
"""

from jit.target import Emulation, Kernel, Target

TARGETS = (
    Target(
        name="s390x",
        aliases=("s390",),
        order="big",
        homes=("r14", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r13", "r12"),
        arguments=("r2", "r3", "r4", "r5", "r6"),
        result="r2",
        callee_saved=("r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13"),
        caller_saved=("r0", "r1", "r3", "r4", "r5", "r6"),
        sp="r15",
        link="r14",
        alignment=8,
        bias=0,
        save_area=160,
        return_stub=b"\x07\xfe",
        kernel=Kernel(jumps="__s390_indirect_jump_"),
        emulation=Emulation(
            module="s390x_const",
            arch="UC_ARCH_S390X",
            mode=("UC_MODE_BIG_ENDIAN",),
            registers="UC_S390X_REG_",
            pc="pc",
            setup={"pswm": 1 << 48 | 0x1_8000_0000},  # problem state; 64-bit addressing (the default, 0, is 24-bit)
        ),
        capstone=("CS_ARCH_SYSZ", ("CS_MODE_BIG_ENDIAN",)),
    ),
)

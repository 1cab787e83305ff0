"""Facts about 64-bit POWER (OpenPOWER ELFv2 ABI; Linux's register map for BPF).

Both byte orders follow one convention, ELFv2's: a function's address is that of its first instruction (no function
descriptors, no TOC pointer set up), and a frame starts with a 32-byte header. Instructions are stored in the byte
order of the data.

    0(r1)   back chain                        written by whoever makes the frame
    8(r1)   save word for CR                  written by the callee
    16(r1)  save doubleword for LR            written by the callee
    24(r1)  save doubleword for the TOC       unused
    -288..-1(r1)  protected zone: a function may use it without making a frame

CR2-CR4 are the caller's as well; compiled code changes CR0 alone. The least machine is ISA 2.06 (POWER7: isel,
ldbrx); the feature "isa3.0" (POWER9) adds the modulo instructions and addpcis. ISA 3.1 (brd, prefixed instructions) is
not used: Unicorn does not execute it.
"""

from dataclasses import replace

from bpf.order import Order
from jit.target import Emulation, Kernel, Target

_SIXTY_FOUR_BIT = 1 << 63  # MSR.SF
_LITTLE_ENDIAN = 1  # MSR.LE


def _target(name: str, aliases: tuple[str, ...], order: Order, return_stub: bytes, msr: int, capstone: str) -> Target:
    return Target(
        name=name,
        aliases=aliases,
        order=order,
        homes=("r8", "r3", "r4", "r5", "r6", "r7", "r27", "r28", "r29", "r30", "r31", "r12"),
        arguments=("r3", "r4", "r5", "r6", "r7"),
        result="r3",
        callee_saved=("r2", "r13", *(f"r{number}" for number in range(14, 32))),
        caller_saved=("r0", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "ctr"),
        sp="r1",
        link="lr",
        alignment=16,
        bias=0,
        save_area=32,
        return_stub=return_stub,
        features=frozenset({"isa3.0"}),
        emulation=Emulation(
            module="ppc_const",
            arch="UC_ARCH_PPC",
            mode=("UC_MODE_PPC64", "UC_MODE_BIG_ENDIAN"),  # in both orders: MSR says which
            registers="UC_PPC_REG_",
            pc="pc",
            setup={"msr": msr | 1 << 14},  # MSR.PR: problem state
        ),
        capstone=("CS_ARCH_PPC", ("CS_MODE_64", capstone)),
    )


_KERNEL = Kernel(anchor="r13", toc="r2", toc_at=16, local_entry=8, goes_on=True)  # r13: struct paca_struct
TARGETS = (
    _target(
        "ppc64", ("ppc", "powerpc64", "ppc64be"), "big", b"\x4e\x80\x00\x20", _SIXTY_FOUR_BIT, "CS_MODE_BIG_ENDIAN"
    ),
    replace(
        _target(
            "ppc64le", ("ppc64el", "powerpc64le"), "little", b"\x20\x00\x80\x4e",
            _SIXTY_FOUR_BIT | _LITTLE_ENDIAN, "CS_MODE_LITTLE_ENDIAN",
        ),
        kernel=_KERNEL,
    ),
)  # fmt: skip

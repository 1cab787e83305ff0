"""Programs whose whole logs are kept as golden files: what each shows of the verifier, in assembly."""

from __future__ import annotations

from bpf.program import Map, Program, program
from bpf.text import assemble

TABLE = Map("table", "hash", 4, 48, 16)
LIST = Map("list", "array", 4, 48, 4)
MAPS = (TABLE, LIST)

_LOOKUP = "*(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = map[idx:0]; call 1"
_PACKET = "r2 = *(u32 *)(r1 + 76); r3 = *(u32 *)(r1 + 80)"

PROGRAMS: dict[str, str] = {
    "constants": "r0 = 5; r0 += 7; w0 *= 3; r1 = 0x123456789abcdef0 ll; r0 ^= r1; r0 >>= 3; r0 = 0; exit",
    "ranges": "call 7; r6 = r0; r6 &= 255; if r6 > 40 goto +2; r6 += 2; r6 <<= 1; w6 -= 1; r6 s>>= 1; r0 = 0; exit",
    "signs": "call 7; w6 = w0; r6 s>>= 4; if r6 s< -3 goto +1; r7 = (s8)r6; r6 = -r6; r0 = 0; exit",
    "swaps": "call 7; r0 &= 0xff; r0 = be16 r0; r1 = 0x1234; r1 = bswap32 r1; r0 = le32 r0; r0 = 0; exit",
    "spills": "call 7; *(u64 *)(r10 - 8) = r0; r1 = *(u64 *)(r10 - 8); *(u32 *)(r10 - 16) = r1; "
              "r2 = *(u32 *)(r10 - 16); r3 = *(u8 *)(r10 - 16); r0 = 0; exit",
    "linked": "call 7; r1 = r0; r1 += 4; r2 = r0; if r1 > 10 goto +2; r2 = r10; r2 += -16; r0 = 0; exit",
    "a-variable-offset": "call 7; r0 &= 7; r1 = r10; r1 += -16; r1 += r0; *(u8 *)(r1 + 0) = 1; r0 = 0; exit",
    "a-lookup": f"{_LOOKUP}; if r0 == 0 goto +2; r1 = *(u64 *)(r0 + 40); *(u32 *)(r0 + 44) = r1; r0 = 0; exit",
    "no-null-check": f"{_LOOKUP}; r1 = *(u64 *)(r0 + 0); r0 = 0; exit",
    "behind-the-value": f"{_LOOKUP}; if r0 == 0 goto +1; r1 = *(u64 *)(r0 + 41); r0 = 0; exit",
    "an-index": f"{_LOOKUP}; if r0 == 0 goto +5; r1 = *(u32 *)(r0 + 0); if r1 > 44 goto +3; r0 += r1; "
                "r2 = *(u32 *)(r0 + 0); r0 = 0; exit; r0 = 0; exit",
    "an-index-one-too-far": f"{_LOOKUP}; if r0 == 0 goto +4; r1 = *(u32 *)(r0 + 0); if r1 > 45 goto +2; r0 += r1; "
                            "r2 = *(u32 *)(r0 + 0); r0 = 0; exit",
    "a-negative-index": f"{_LOOKUP}; if r0 == 0 goto +4; r1 = *(u64 *)(r0 + 0); if r1 s> 8 goto +2; r0 += r1; "
                        "r2 = *(u8 *)(r0 + 0); r0 = 0; exit",
    "a-known-key": "*(u32 *)(r10 - 4) = 3; r2 = r10; r2 += -4; r1 = map[idx:1]; call 1; r1 = *(u64 *)(r0 + 0); "
                   "r0 = 0; exit",
    "a-packet": f"{_PACKET}; r4 = r2; r4 += 14; if r4 > r3 goto +2; r0 = *(u16 *)(r2 + 12); "
                "r0 = *(u8 *)(r2 + 13); r0 = 0; exit",
    "a-packet-one-too-far": f"{_PACKET}; r4 = r2; r4 += 14; if r4 > r3 goto +1; r0 = *(u16 *)(r2 + 13); r0 = 0; exit",
    "a-moved-packet": f"r6 = r1; {_PACKET}; r4 = r2; r4 += 14; r7 = r2; if r4 > r3 goto +6; r1 = r6; r2 = 0; r3 = 0; "
                      "call 18; r0 = *(u8 *)(r7 + 0); r0 = 0; exit; r0 = 0; exit",
    "uninitialised": "r0 = r3; exit",
    "after-a-call": "r3 = 1; call 7; r0 = r3; exit",
    "uninitialised-stack": "r1 = 0; r2 = 0; r3 = r10; r3 += -520; r4 = 8; r5 = 0; call 28; r0 = 0; exit",
    "a-context-moved": "r1 += 8; r0 = *(u32 *)(r1 + 0); exit",
    "another-context-field": "r0 = *(u64 *)(r1 + 0); exit",
    "a-loop": "r1 = 0; r1 += 1; if r1 < 12 goto -2; r0 = 0; exit",
    "a-loop-that-joins":
        "call 7; r6 = r0; r1 = 0; if r6 > 5 goto +1; r6 = 1; r1 += 1; if r1 < 20 goto -4; r0 = 0; exit",
    "an-endless-loop": "r1 = 0; if r1 == 0 goto -1; r0 = 0; exit",
    "may-goto": "r6 = 0; may_goto +2; r6 += 1; goto -3; r0 = 0; exit",
    "a-function": "r1 = 3; call f; r0 = 0; exit; f: r0 = r1; r0 += 1; exit",
    "a-function-with-a-pointer": "r1 = r10; r1 += -8; *(u64 *)(r1 + 0) = 5; call f; r0 = 0; exit; "
                                 "f: r0 = *(u64 *)(r1 + 0); *(u64 *)(r1 + 0) = 7; exit",
    "a-pointer-returned": "call f; r0 = 0; exit; f: r0 = r10; exit",
    "a-division": "call 7; r1 = 7; r1 /= r0; r1 %= 3; r0 = 0; exit",
    "an-atomic": "*(u64 *)(r10 - 8) = 1; r1 = 2; r1 = atomic64_fetch_add((u64 *)(r10 - 8), r1); r0 = 0; exit",
    "two-pointers-compared": "r2 = r10; if r1 == r2 goto +0; r0 = 0; exit",
    "a-pointer-minus": "r2 = r10; r1 = 5; r1 -= r2; r0 = 0; exit",
}  # fmt: skip


def made(name: str) -> Program:
    """One of them, with its maps."""
    text = "\n".join(line.strip() for line in PROGRAMS[name].split(";"))
    assembled = assemble(text, name=name)
    names = {function.start: function.name for function in assembled.functions}
    return program(assembled.insns, name=name, names=names, maps=MAPS)

"""Programs of loaders with more and fewer capabilities, and what Linux 6.18 says of each: errno, last line; "" for yes.

EVERYTHING and BPF are recorded from a live kernel; what it says to NOBODY is not: its sysctl would have to be changed.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.program import Map

EVERYTHING = frozenset({"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"})
BPF = frozenset({"CAP_BPF", "CAP_NET_ADMIN"})
NOBODY = frozenset[str]()
MAPS = (Map("data", value_size=64), Map("table", "hash", 4, 48, 16))
VALUE = "r9 = map_value[idx:0][0]; "
ELEMENT = "*(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = map[idx:1]; call 1; "
PACKET = "r7 = *(u32 *)(r1 + 76); r8 = *(u32 *)(r1 + 80); r2 = r7; r2 += 8; if r2 <= r8 goto +2; r0 = 0; exit; "
LEAVE = "; r0 = 0; exit"


class Case(NamedTuple):
    """A program of type sched_cls unless `kind` says another; of NOBODY it is a socket_filter."""

    name: str
    text: str
    everything: str
    bpf: str
    nobody: str
    kind: str = "sched_cls"


_BEYOND = "13 R9 pointer arithmetic of map value goes out of range, prohibited for !root"
_UNBOUNDED = "13 R9 unbounded memory access, make sure to bounds check any such access"
_DIFFERENT = "13 R9 tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root"
_MIXED = "13 R2 has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited for !root"
_FIELD = "13 invalid bpf_context access off=76 size=4"
_CANNOT = "22 program of this type cannot use helper "
CASES = (
    Case("add bounded", VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 31; r9 += r2; r0 = *(u8 *)(r9 + 0)" + LEAVE, "", "", ""),
    Case(
        "add to the last byte",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 63; r9 += r2; r0 = *(u8 *)(r9 + 0)" + LEAVE,
        "",
        "",
        "",
    ),
    Case(
        "add one too far",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 63; r9 += 1; r9 += r2; r9 += -1; r0 = *(u8 *)(r9 + 0)" + LEAVE,
        "",
        _BEYOND,
        _BEYOND,
    ),
    Case(
        "mixed signs",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 15; r2 -= 8; r9 += 16; r9 += r2; r0 = *(u8 *)(r9 + 0)" + LEAVE,
        _UNBOUNDED,
        _MIXED,
        _MIXED,
    ),
    Case(
        "mixed signs, number is moved",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 15; r2 -= 8; r9 += 16; r2 += r9; r0 = *(u8 *)(r2 + 0)" + LEAVE,
        "13 R2 unbounded memory access, make sure to bounds check any such access",
        _MIXED,
        _MIXED,
    ),
    Case(
        "sub bounded",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 15; r9 += 32; r9 -= r2; r0 = *(u8 *)(r9 + 0)" + LEAVE,
        _UNBOUNDED,
        _BEYOND,
        _BEYOND,
    ),
    Case(
        "sub too far",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 15; r9 += 8; r9 -= r2; r9 += 8; r0 = *(u8 *)(r9 + 0)" + LEAVE,
        _UNBOUNDED,
        _BEYOND,
        _BEYOND,
    ),
    Case(
        "constants that differ",
        VALUE + "r3 = *(u64 *)(r9 + 0); r2 = 8; if r3 > 7 goto +1; r2 = 16; r9 += r2; r0 = *(u8 *)(r9 + 0)" + LEAVE,
        "",
        _DIFFERENT,
        _DIFFERENT,
    ),
    Case(
        "bounds that differ",
        VALUE + "r3 = *(u64 *)(r9 + 0); r2 = *(u64 *)(r9 + 8); if r3 > 7 goto +2; r2 &= 15; goto +1; "
        "r2 &= 7; r9 += r2; r0 = *(u8 *)(r9 + 0)" + LEAVE,
        "",
        _DIFFERENT,
        _DIFFERENT,
    ),
    Case(
        "pointers that differ",
        VALUE + "r3 = *(u64 *)(r9 + 0); r2 = *(u64 *)(r9 + 8); r2 &= 7; if r3 > 7 goto +2; r9 = r10; "
        "r9 += -8; r9 += r2; *(u8 *)(r9 + 0) = 1" + LEAVE,
        "",
        "13 R9 variable stack access prohibited for !root, var_off=(0x0; 0x7) off=-8",
        "13 R9 variable stack access prohibited for !root, var_off=(0x0; 0x7) off=-8",
    ),
    Case(
        "offsets that differ",
        VALUE + "r3 = *(u64 *)(r9 + 0); r2 = *(u64 *)(r9 + 8); r2 &= 7; if r3 > 7 goto +1; r9 += 8; "
        "r9 += r2; *(u8 *)(r9 + 0) = 1" + LEAVE,
        "",
        "",
        "",
    ),
    Case(
        "number or pointer",
        VALUE
        + "r3 = *(u64 *)(r9 + 0); r2 = *(u64 *)(r9 + 8); r2 &= 7; r4 = 1; if r3 > 7 goto +1; r4 = r9; r4 += r2"
        + LEAVE,
        "",
        "13 R4 tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root",
        "13 R4 tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root",
    ),
    Case(
        "stack by a register",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 7; r4 = r10; r4 += -16; r4 += r2; *(u8 *)(r4 + 0) = 1" + LEAVE,
        "",
        "13 R4 variable stack access prohibited for !root, var_off=(0x0; 0x7) off=-16",
        "13 R4 variable stack access prohibited for !root, var_off=(0x0; 0x7) off=-16",
    ),
    Case("stack by a constant register", "r2 = -8; r4 = r10; r4 += r2; *(u8 *)(r4 + 0) = 1" + LEAVE, "", "", ""),
    Case(
        "stack beyond",
        "r4 = r10; r4 += -513; r4 += 8; *(u8 *)(r4 + 0) = 1" + LEAVE,
        "",
        "13 R4 stack pointer arithmetic goes out of range, prohibited for !root; off=-513",
        "13 R4 stack pointer arithmetic goes out of range, prohibited for !root; off=-513",
    ),
    Case("map beyond, by a constant", VALUE + "r9 += 64; r9 += -1; r0 = *(u8 *)(r9 + 0)" + LEAVE, "", _BEYOND, _BEYOND),
    Case(
        "packet by a register",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 7; r7 = *(u32 *)(r1 + 76); r7 += r2" + LEAVE,
        "",
        "13 R7 has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root",
        _FIELD,
    ),
    Case(
        "context by a constant",
        "r2 = 8; r1 += r2" + LEAVE,
        "",
        "13 R1 has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root",
        "13 R1 has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root",
    ),
    Case(
        "map pointer minus itself",
        VALUE + "r2 = r9; r2 -= r9; r0 = r2; r0 = 0" + LEAVE,
        "",
        "13 R2 pointer -= pointer prohibited",
        "13 R2 pointer -= pointer prohibited",
    ),
    Case(
        "32 bits",
        VALUE + "w9 -= 1" + LEAVE,
        "",
        "13 R9 32-bit pointer arithmetic prohibited",
        "13 R9 32-bit pointer arithmetic prohibited",
    ),
    Case(
        "complement",
        VALUE + "r9 ^= -1" + LEAVE,
        "13 R9 bitwise operator ^= on pointer prohibited",
        "13 R9 bitwise operator ^= on pointer prohibited",
        "13 R9 bitwise operator ^= on pointer prohibited",
    ),
    Case(
        "negated",
        VALUE + "r9 = -r9" + LEAVE,
        "",
        "13 R9 pointer arithmetic prohibited",
        "13 R9 pointer arithmetic prohibited",
    ),
    Case(
        "swapped",
        VALUE + "r9 = bswap64 r9" + LEAVE,
        "",
        "13 R9 pointer arithmetic prohibited",
        "13 R9 pointer arithmetic prohibited",
    ),
    Case(
        "cut to 32 bits",
        VALUE + "w2 = w9" + LEAVE,
        "",
        "13 R9 partial copy of pointer",
        "13 R9 partial copy of pointer",
    ),
    Case(
        "sign-extended",
        VALUE + "r2 = (s32)r9" + LEAVE,
        "",
        "13 R9 sign-extension part of pointer",
        "13 R9 sign-extension part of pointer",
    ),
    Case(
        "returned", VALUE + "r0 = r9; exit", "", "13 R0 leaks addr as return value", "13 R0 leaks addr as return value"
    ),
    Case(
        "stored in a map",
        VALUE + "*(u64 *)(r9 + 0) = r10" + LEAVE,
        "",
        "13 R10 leaks addr into map",
        "13 R10 leaks addr into map",
    ),
    Case(
        "stored in a map that may be null",
        ELEMENT + "*(u64 *)(r0 + 0) = r10" + LEAVE,
        "13 R0 invalid mem access 'map_value_or_null'",
        "13 R0 invalid mem access 'map_value_or_null'",
        "13 R0 invalid mem access 'map_value_or_null'",
    ),
    Case(
        "stored in the context",
        VALUE + "*(u32 *)(r1 + 48) = r9" + LEAVE,
        "",
        "13 R9 leaks addr into ctx",
        "13 R9 leaks addr into ctx",
    ),
    Case("stored in a packet", PACKET + "*(u64 *)(r7 + 0) = r10" + LEAVE, "", "13 R10 leaks addr into packet", _FIELD),
    Case(
        "stored in a packet that is not written",
        PACKET + "*(u64 *)(r7 + 0) = r10" + LEAVE,
        "13 cannot write into packet",
        "13 cannot write into packet",
        _FIELD,
        "cgroup_skb",
    ),
    Case(
        "added to a map",
        VALUE + "lock *(u64 *)(r9 + 0) += r10" + LEAVE,
        "",
        "13 R10 leaks addr into mem",
        "13 R10 leaks addr into mem",
    ),
    Case(
        "exchanged with a map",
        VALUE + "r2 = r10; r2 = xchg_64(r9 + 0, r2)" + LEAVE,
        "",
        "13 R2 leaks addr into mem",
        "13 R2 leaks addr into mem",
    ),
    Case(
        "compared and exchanged with a map",
        VALUE + "r0 = r10; r2 = 1; r0 = cmpxchg_64(r9 + 0, r0, r2)" + LEAVE,
        "",
        "13 R0 leaks addr into mem",
        "13 R0 leaks addr into mem",
    ),
    Case(
        "to a helper",
        "r1 = r10; r1 += -8; r2 = 0; r3 = 0; r4 = 0; r5 = r10; call 28" + LEAVE,
        "",
        "13 invalid read from stack R1 off=-8 size=0",
        _CANNOT + "bpf_csum_diff#28",
    ),
    Case(
        "spilled, read in part",
        "*(u64 *)(r10 - 8) = r1; r0 = *(u32 *)(r10 - 8); exit",
        "13 invalid size of register fill",
        "13 invalid size of register fill",
        "13 invalid size of register fill",
    ),
    Case(
        "spilled, overwritten in part",
        "*(u64 *)(r10 - 8) = r1; *(u8 *)(r10 - 8) = 1; r0 = 0" + LEAVE,
        "",
        "13 attempt to corrupt spilled pointer on stack",
        "13 attempt to corrupt spilled pointer on stack",
    ),
    Case(
        "spilled, overwritten as a whole", "*(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 8) = 1; r0 = 0" + LEAVE, "", "", ""
    ),
    Case(
        "spilled, read by a helper",
        "*(u64 *)(r10 - 8) = r1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call 28" + LEAVE,
        "",
        "13 invalid read from stack R1 off -8+0 size 8",
        _CANNOT + "bpf_csum_diff#28",
    ),
    Case(
        "spilled, as a map's value",
        "*(u64 *)(r10 - 48) = r10; *(u32 *)(r10 - 60) = 1; r2 = r10; r2 += -60; r3 = r10; "
        "r3 += -48; r4 = 0; r1 = map[idx:1]; call 2" + LEAVE,
        "",
        "13 invalid read from stack R3 off -48+0 size 48",
        "13 invalid read from stack R3 off -48+0 size 48",
    ),
    Case(
        "compared with a constant",
        VALUE + "if r9 == 5 goto +0" + LEAVE,
        "",
        "13 R9 pointer comparison prohibited",
        "13 R9 pointer comparison prohibited",
    ),
    Case("compared with zero", VALUE + "if r9 == 0 goto +0" + LEAVE, "", "", ""),
    Case("may be null, compared with zero", ELEMENT + "if r0 == 0 goto +0" + LEAVE, "", "", ""),
    Case(
        "may be null, compared with zero in 32 bits",
        ELEMENT + "if w0 == 0 goto +0" + LEAVE,
        "",
        "13 R0 pointer comparison prohibited",
        "13 R0 pointer comparison prohibited",
    ),
    Case(
        "may be null, compared otherwise",
        ELEMENT + "if r0 > 0 goto +0" + LEAVE,
        "",
        "13 R0 pointer comparison prohibited",
        "13 R0 pointer comparison prohibited",
    ),
    Case(
        "compared with a pointer",
        VALUE + "if r9 == r10 goto +0" + LEAVE,
        "",
        "13 R10 pointer comparison prohibited",
        "13 R10 pointer comparison prohibited",
    ),
    Case(
        "compared with a number",
        VALUE + "r2 = *(u64 *)(r9 + 0); if r2 > r9 goto +0" + LEAVE,
        "",
        "13 R9 pointer comparison prohibited",
        "13 R9 pointer comparison prohibited",
    ),
    Case("number with a number", VALUE + "r2 = *(u64 *)(r9 + 0); if r2 > 5 goto +0" + LEAVE, "", "", ""),
    Case("packet with its end", PACKET + "r0 = *(u8 *)(r7 + 0)" + LEAVE, "", "", _FIELD),
    Case(
        "packet with the packet",
        PACKET + "if r7 > r2 goto +0" + LEAVE,
        "",
        "13 R7 pointer comparison prohibited",
        _FIELD,
    ),
    Case(
        "uninitialised",
        "r0 = *(u64 *)(r10 - 8); exit",
        "",
        "13 invalid read from stack R10 off=-8 size=8",
        "13 invalid read from stack R10 off=-8 size=8",
    ),
    Case(
        "uninitialised in part",
        "*(u32 *)(r10 - 8) = 1; r0 = *(u64 *)(r10 - 8); r0 = 0" + LEAVE,
        "",
        "13 invalid read from stack off -8+4 size 8",
        "13 invalid read from stack off -8+4 size 8",
    ),
    Case(
        "uninitialised to a helper",
        "r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call 28" + LEAVE,
        "",
        "13 invalid read from stack R1 off=-8 size=8",
        _CANNOT + "bpf_csum_diff#28",
    ),
    Case(
        "uninitialised in part to a helper",
        "*(u32 *)(r10 - 8) = 1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call 28" + LEAVE,
        "",
        "",
        _CANNOT + "bpf_csum_diff#28",
    ),
    Case(
        "unknown offset, read",
        VALUE
        + "*(u64 *)(r10 - 8) = 0; r2 = *(u64 *)(r9 + 0); r2 &= 3; r4 = r10; r4 += -8; r4 += r2; r0 = *(u8 *)(r4 + 0)"
        + LEAVE,
        "",
        "13 R4 variable stack access prohibited for !root, var_off=(0x0; 0x3) off=-8",
        "13 R4 variable stack access prohibited for !root, var_off=(0x0; 0x3) off=-8",
    ),
    Case("never taken, a bad load", "r0 = 0; if r0 == 0 goto +1; r0 = *(u64 *)(r0 + 0)" + LEAVE, "", "", ""),
    Case("never taken, a leak", VALUE + "r0 = 0; if r0 == 0 goto +1; *(u64 *)(r9 + 0) = r10" + LEAVE, "", "", ""),
    Case("never taken, an unknown instruction's register", "r0 = 0; if r0 == 0 goto +1; r0 = r5" + LEAVE, "", "", ""),
    Case("never taken, a helper that is not there", "r0 = 0; if r0 == 0 goto +1; call 6; r0 = 0" + LEAVE, "", "", ""),
    Case(
        "never taken, pointers that differ",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 7; r3 = 1; if r3 == 1 goto +2; r9 = r10; r9 += -8; "
        "r9 += r2; *(u8 *)(r9 + 0) = 1" + LEAVE,
        "",
        "",
        "",
    ),
    Case(
        "never taken, bounds that differ",
        VALUE
        + "r2 = *(u64 *)(r9 + 0); r2 &= 7; r3 = 1; if r3 == 1 goto +1; r2 = 3; r9 += r2; *(u8 *)(r9 + 0) = 1"
        + LEAVE,
        "",
        "",
        "",
    ),
    Case(
        "a spilled pointer", "*(u64 *)(r10 - 8) = r1; r2 = *(u64 *)(r10 - 8); r0 = *(u32 *)(r2 + 0)" + LEAVE, "", "", ""
    ),
    Case(
        "bounded loop",
        "r2 = 0; r2 += 1; if r2 < 8 goto -2" + LEAVE,
        "",
        "22 old state: R1=ctx() R2=P8 R10=fp0",
        "22 back-edge from insn 2 to 1",
    ),
    Case(
        "endless loop",
        "r2 = 0; r3 = 1; if r3 == 1 goto -2" + LEAVE,
        "22 old state: R1=ctx() R2=0 R3=1 R10=fp0",
        "22 old state: R1=ctx() R2=0 R3=1 R10=fp0",
        "22 back-edge from insn 2 to 1",
    ),
    Case(
        "loop that moves a pointer",
        VALUE + "r2 = 0; r9 += 1; r2 += 1; if r2 < 8 goto -3; *(u8 *)(r9 + 0) = 1" + LEAVE,
        "",
        "",
        "22 back-edge from insn 5 to 3",
    ),
    Case(
        "loop that moves a pointer by a register",
        VALUE + "r2 = 0; r9 += r2; r2 += 1; if r2 < 8 goto -3; *(u8 *)(r9 + 0) = 1" + LEAVE,
        "",
        _DIFFERENT,
        "22 back-edge from insn 5 to 3",
    ),
    Case("packet load", "r6 = r1; r0 = *(u32 *)skb[0]" + LEAVE, "", "", "", "socket_filter"),
    Case(
        "trace_printk",
        "*(u64 *)(r10 - 8) = 0; r1 = r10; r1 += -8; r2 = 8; call 6" + LEAVE,
        "",
        _CANNOT + "bpf_trace_printk#6",
        _CANNOT + "bpf_trace_printk#6",
    ),
    Case(
        "get_current_task",
        "call 35" + LEAVE,
        "",
        _CANNOT + "bpf_get_current_task#35",
        _CANNOT + "bpf_get_current_task#35",
    ),
    Case(
        "fields of a map",
        "r1 = map[idx:1]; r0 = *(u64 *)(r1 + 0)" + LEAVE,
        "",
        "1 'struct bpf_htab' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
        "1 'struct bpf_htab' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
    ),
    Case(
        "code that nothing reaches",
        "r0 = 0; goto +1; r0 = 1" + LEAVE,
        "22 unreachable insn 2",
        "22 unreachable insn 2",
        "22 unreachable insn 2",
    ),
    Case(
        "never taken, what comes after it",
        VALUE + "r2 = *(u64 *)(r9 + 0); r3 = 1; if r3 == 1 goto +1; r9 = 5; *(u64 *)(r9 + 0) = r3" + LEAVE,
        "",
        "",
        "",
    ),
    Case(
        "packet to a map, by a helper",
        PACKET + "*(u32 *)(r10 - 60) = 1; r3 = r7; r2 = r10; r2 += -60; r4 = 0; r1 = map[idx:1]; call 2" + LEAVE,
        "13 R3 offset is outside of the packet",
        "13 R3 offset is outside of the packet",
        _FIELD,
    ),
    Case(
        "a store at an unknown stack offset",
        VALUE + "r2 = *(u64 *)(r9 + 0); r2 &= 3; *(u64 *)(r10 - 8) = r2; r4 = r10; r4 += -8; r4 += r2; "
        "*(u8 *)(r4 + 0) = 1; r0 = *(u64 *)(r10 - 8)" + LEAVE,
        "",
        "13 R4 variable stack access prohibited for !root, var_off=(0x0; 0x3) off=-8",
        "13 R4 variable stack access prohibited for !root, var_off=(0x0; 0x3) off=-8",
    ),
)

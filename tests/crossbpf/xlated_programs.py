"""Programs whose form after the verdict shows each thing that the kernel changes."""

from __future__ import annotations

from dataclasses import replace

from bpf.program import Map, Program
from bpf.text import assemble
from fuzz.parity.xlated import typed

MAPS = (
    Map("table", "hash", 4, 8, 16), Map("list", "array", 4, 12, 3), Map("counts", "percpu_array", 4, 8, 4),
    Map("recent", "lru_hash", 12, 8, 4), Map("shares", "percpu_hash", 4, 8, 4),
    Map("routes", "lpm_trie", 8, 8, 4, flags=1),
    Map("programs", "prog_array", 4, 4, 3), Map("pairs", "array", 4, 16, 4), Map("work", "queue", 0, 8, 4),
    Map("cpus", "cpumap", 4, 4, 4), Map("outer", "array_of_maps", 4, 4, 3, inner=Map("inner", "array", 4, 8, 2)),
    Map("memory", "arena", 0, 0, 2, flags=1 << 10, extra=1 << 44),
    Map("other", "hash_of_maps", 4, 4, 3, inner=Map("inner", "hash", 4, 8, 2)),
)  # fmt: skip
_KEY = "*(u64 *)(r10 - 16) = 0; *(u64 *)(r10 - 8) = 0; r2 = r10; r2 += -16"
_LOOKED_UP = f"{_KEY}; r1 = map[idx:{{}}]; call 1; if r0 == 0 goto +1; r0 = *(u64 *)(r0 + 0)"

PROGRAMS: dict[str, tuple[str, str]] = {
    "branches that are decided": ("sched_cls", """
        r6 = 4; r7 = 9; if r6 > 3 goto +1; r7 = 5; if r7 == 9 goto on; r0 = 1; exit
        on: if w6 s< 3 goto away; r0 = *(u32 *)(r1 + 0); if r0 > 60 goto away; r0 = 3; exit; away: r0 = 2; exit"""),
    "dead code": ("socket_filter", """
        r0 = 1; if r0 != 1 goto far; goto +0; if r0 == 1 goto on; r2 = 0x123456789 ll; r0 = r2; goto far; on: exit
        far: r0 += 1; call f; exit; f: r0 = 7; exit"""),
    "a mask": ("sched_cls", f"""
        {_KEY}; r1 = map[idx:7]; call 1; if r0 == 0 goto out; r1 = *(u8 *)(r0 + 0); r1 &= 7; r0 += r1
        r1 = *(u8 *)(r0 + 1); out: r0 = 0; exit"""),
    "a mask of the sum": ("sched_cls", f"""
        {_KEY}; r1 = map[idx:7]; call 1; if r0 == 0 goto out; r0 += 8; r1 = *(u8 *)(r0 + 0); r1 &= 7; r1 += r0
        r1 = *(u8 *)(r1 + 0); out: r0 = 0; exit"""),
    "masks of constants": ("sched_cls", f"""
        {_KEY}; r1 = map[idx:7]; call 1; if r0 == 0 goto out; r1 = 4; r0 += r1; r1 = -3; r0 += r1; r2 = 1; r0 -= r2
        r1 = *(u8 *)(r0 + 0); out: r0 = 0; exit"""),
    "dead code without a function": ("socket_filter", """
        r0 = 1; if r0 == 1 goto on; r2 = 0x123456789 ll; r0 = r2; on: exit"""),
    "divisions": ("sched_cls", """
        r2 = *(u32 *)(r1 + 0); r3 = 700; r3 /= r2; w3 /= w2; r3 %= r2; w3 %= w2; r3 /= 7; w3 %= 7; r0 = r3; exit"""),
    "signed divisions": ("sched_cls", """
        r2 = *(u32 *)(r1 + 0); r3 = 700; r3 s/= r2; w3 s/= w2; r3 s%= r2; w3 s%= w2; r3 s/= -1; w3 s/= -1; r4 = 5
        r4 s%= -1
        w4 s%= -1; r3 s/= 3; w3 s%= -3; r0 = r3; exit"""),
    "fields of the context": ("sched_cls", """
        r0 = *(u32 *)(r1 + 0); r2 = *(u32 *)(r1 + 8); r0 += r2; r2 = *(u8 *)(r1 + 32); r0 += r2; r2 = *(u16 *)(r1 + 10)
        r0 += r2; *(u32 *)(r1 + 8) = r0; r3 = *(u32 *)(r1 + 48); *(u32 *)(r1 + 52) = r3; exit"""),
    "what an XDP program reads": ("xdp", """
        r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4); r4 = *(u32 *)(r1 + 8); r0 = 1; r5 = r2; r5 += 14
        if r5 > r3 goto out
        r5 = *(u16 *)(r2 + 12); *(u8 *)(r2 + 0) = 1; if r5 != 8 goto out; r0 = 2; out: exit"""),
    "a packet that is written": ("sched_cls", """
        again: may_goto out; r2 = *(u32 *)(r1 + 76); r3 = *(u32 *)(r1 + 80); r4 = r2; r4 += 14; if r4 > r3 goto out
        *(u8 *)(r2 + 0) = 1
        r5 = *(u8 *)(r2 + 1); if r5 == 0 goto out; goto again; out: r0 = 0; exit"""),
    "functions": ("sched_cls", """
        r6 = r1; r1 = 3; call double; if r0 == 7 goto never; r7 = r0; r1 = *(u32 *)(r6 + 8); call double; r0 += r7; exit
        never: call lost; exit; lost: r0 = 0; exit; double: r0 = r1; r0 += r1; exit"""),
    "elements of maps": (
        "sched_cls", "; ".join([*(_LOOKED_UP.format(number) for number in (0, 1, 2, 3, 4, 5, 7)), "r0 = 0; exit"]),
    ),
    "maps that are changed": ("sched_cls", f"""
        {_KEY}; r3 = r2; r4 = 0; r1 = map[idx:0]; call 2; {_KEY}; r1 = map[idx:0]; call 3; {_KEY}; r3 = r2; r4 = 0
        r1 = map[idx:3]; call 2; {_KEY}; r1 = map[idx:8]; call 89; {_KEY}; r1 = map[idx:1]; r3 = r2; r4 = 0; call 2
        call 7; exit"""),
    "one call on two maps": ("sched_cls", f"""
        r6 = *(u32 *)(r1 + 0); {_KEY}; r1 = map[idx:0]; if r6 > 9 goto +2; r1 = map[idx:7]; call 1; r0 = 0; exit"""),
    "maps in maps": ("sched_cls", "; ".join(f"""
        {_KEY}; r1 = map[idx:{number}]; call 1; if r0 == 0 goto +4; r1 = r0; r2 = r10; r2 += -16; call 1"""
        for number in (10, 12)
    ) + "; r0 = 0; exit"),
    "an arena": ("sched_cls", """
        r1 = map[idx:11]; r6 = 4096; r6 = addr_space_cast(r6, 0, 1); r6 += 8; r3 = 2; r6 += r3; w6 += 1
        r0 = *(u64 *)(r6 + 0); *(u32 *)(r6 + 4) = r0; r6 = addr_space_cast(r6, 1, 0); r0 = 0; exit"""),
    "a tail call": ("sched_cls", "r2 = map[idx:6]; r3 = 1; call 12; r0 = 4; exit"),
    "a redirect": ("xdp", "r1 = map[idx:9]; r2 = 0; r3 = 2; call 51; exit"),
    "may_goto": ("sched_cls", """
        *(u8 *)(r10 - 5) = 1; again: may_goto out; r2 = *(u32 *)(r1 + 0); may_goto +0; may_goto out; goto again
        out: r0 = 0; exit"""),
    "may_goto comes first": ("sched_cls", """
        again: may_goto out; if r1 != 0 goto again; out: r0 = 0; call f; exit
        f: may_goto +1; goto -2; r0 = 0; exit"""),
    "bpf_loop": ("sched_cls", """
        r6 = r1; *(u32 *)(r10 - 12) = 0; r3 = r10; r3 += -12; r1 = 5; r2 = func[f]; r4 = 0; call 181; r7 = r0
        r1 = 5; r2 = func[f]; r3 = 0; r4 = 0; r5 = *(u32 *)(r6 + 8); if r5 != 0 goto +2; r2 = func[g]; call 181
        r0 = 0; exit
        f: r0 = 0; exit; g: r0 = 1; exit"""),
    "loads from the packet": ("socket_filter", """
        r6 = r1; r0 = *(u8 *)skb[14]; r7 = r0; r0 = *(u16 *)skb[r7 + 2]; r0 = *(u32 *)skb[r7 + 0]; exit"""),
    "helpers that are written out": ("sched_cls", "call 118; r6 = r0; call 8; r0 += r6; exit"),
    "spills that save nothing": ("sched_cls", """
        r6 = r1; r1 = 1; r2 = 2; *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 16) = r2; call 8; r2 = *(u64 *)(r10 - 16)
        r1 = *(u64 *)(r10 - 8); r0 = r1; r0 += r2; exit"""),
    "spills that are looked at": ("sched_cls", """
        r1 = 1; *(u64 *)(r10 - 8) = r1; call 8; r1 = *(u64 *)(r10 - 8); r0 = *(u64 *)(r10 - 8); exit"""),
}  # fmt: skip


def made(name: str) -> tuple[Program, str]:
    """A program with its maps, and its type."""
    kind, text = PROGRAMS[name]
    program = assemble("\n".join(line.strip() for line in text.replace("; ", "\n").splitlines()))
    return replace(typed(program), maps=MAPS, name="main"), kind

"""Small programs of real types: what they are given, what they return, what they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ETHERNET = bytes.fromhex("00000000000002000000000108 00".replace(" ", ""))
IPV4 = bytes.fromhex("4500002e0001000040110000c0a80001c0a80002")
UDP = bytes.fromhex("04d20035001a0000") + bytes(range(0x30, 0x42))
FRAME = ETHERNET + IPV4 + UDP
"""An Ethernet frame of 60 bytes: IPv4 192.168.0.1 -> 192.168.0.2, UDP 1234 -> 53."""

DATA = "r2 = *(u32 *)(r1 + 4); r1 = *(u32 *)(r1 + 0)"  # xdp: R1 = data, R2 = data_end
SKB_DATA = "r2 = *(u32 *)(r1 + 80); r7 = *(u32 *)(r1 + 76)"  # R7 = data, R2 = data_end
SHORT = "r0 = 1; if r3 > r2 goto out"


@dataclass(frozen=True, slots=True)
class Typed:
    """A program of a type.

    r0       what it returns in a little-endian program; big: in a big-endian one, where that is another number
    packet   the packet after it; None: as before
    context  fields after it
    """

    type: str
    text: str
    r0: int
    big: int | None = None
    given: bytes = FRAME
    fields: Mapping[str, int] = field(default_factory=dict)
    packet: bytes | None = None
    context: Mapping[str, int] = field(default_factory=dict)
    metadata: int = 0

    def result(self, order: str) -> int:
        """What it returns in a byte order."""
        return self.r0 if order == "little" or self.big is None else self.big


SWAPPED = FRAME[6:12] + FRAME[:6] + FRAME[12:]

BODY: dict[str, Typed] = {
    "xdp passes UDP": Typed("xdp", f"""
        {DATA}; r3 = r1; r3 += 34; {SHORT}
        r4 = *(u8 *)(r1 + 23); r0 = 1; if r4 != 17 goto out; r0 = 2
        out: exit""", 2),
    "xdp drops what is short": Typed("xdp", f"""
        {DATA}; r3 = r1; r3 += 34; r0 = 1; if r3 > r2 goto out; r0 = 2; out: exit""", 1, given=FRAME[:33]),
    "xdp swaps the addresses": Typed("xdp", f"""
        {DATA}; r3 = r1; r3 += 14; r0 = 0; if r3 > r2 goto out
        r4 = *(u16 *)(r1 + 0); r5 = *(u32 *)(r1 + 2)
        r6 = *(u16 *)(r1 + 6); r7 = *(u32 *)(r1 + 8)
        *(u16 *)(r1 + 0) = r6; *(u32 *)(r1 + 2) = r7
        *(u16 *)(r1 + 6) = r4; *(u32 *)(r1 + 8) = r5
        r0 = 3; out: exit""", 3, packet=SWAPPED),
    "xdp spills its context": Typed("xdp", """
        *(u64 *)(r10 - 8) = r1; r1 = 7; call 8; r6 = *(u64 *)(r10 - 8)
        r0 = *(u32 *)(r6 + 4); r1 = *(u32 *)(r6 + 0); r0 -= r1; exit""", 60),
    "xdp asks where it came in": Typed("xdp", "r0 = *(u32 *)(r1 + 12); r2 = *(u32 *)(r1 + 16); r0 += r2; exit", 1),
    "xdp has metadata": Typed("xdp", """
        r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 8); r4 = r3; r4 += 4; r0 = 0
        if r4 > r2 goto out; r0 = *(u32 *)(r3 + 0); w5 = 9; *(u32 *)(r3 + 0) = r5; out: exit""",
        0x04030201, 0x01020304, given=bytes((1, 2, 3, 4)) + FRAME, metadata=4),
    "xdp calls a function with its context": Typed("xdp", """
        r6 = r1; call length; r7 = r0; r1 = r6; call length; r0 += r7; exit
        length: r0 = *(u32 *)(r1 + 4); r1 = *(u32 *)(r1 + 0); r0 -= r1; exit""", 120),
    "tc marks": Typed("sched_cls", """
        r2 = *(u32 *)(r1 + 8); r2 += 1; *(u32 *)(r1 + 8) = r2; *(u32 *)(r1 + 32) = 6; r0 = 0; exit""",
        0, fields={"mark": 41}, context={"mark": 42, "priority": 6}),
    "tc reads parts of a mark": Typed("sched_cls", """
        r0 = *(u8 *)(r1 + 8); r2 = *(u8 *)(r1 + 11); r0 <<= 8; r0 |= r2; r2 = *(u16 *)(r1 + 10); r0 <<= 16; r0 |= r2
        exit""", 0x44112211 & 0xFFFF_0000 | 0x1122, 0x11443344, fields={"mark": 0x11223344}),
    "tc rewrites the TTL": Typed("sched_cls", f"""
        {SKB_DATA}; r3 = r7; r3 += 34; r0 = 2; if r3 > r2 goto out
        r4 = *(u8 *)(r7 + 22); r4 += -1; *(u8 *)(r7 + 22) = r4; r0 = 0; out: exit""",
        0, packet=FRAME[:22] + b"\x3f" + FRAME[23:]),
    "tc writes cb by bytes": Typed("sched_cls", """
        r2 = 0x11223344; *(u32 *)(r1 + 48) = r2; *(u8 *)(r1 + 50) = 0x55; *(u64 *)(r1 + 56) = 7
        r0 = *(u32 *)(r1 + 48); exit""", 0x11553344, 0x11225544,
        context={}),
    "tc reads the protocol": Typed("sched_cls", "r0 = *(u32 *)(r1 + 16); r0 = be16 r0; exit", 0x0800),
    "tc keeps 16 bits of its index": Typed("sched_cls", """
        r2 = 0x12345; *(u32 *)(r1 + 44) = r2; *(u32 *)(r1 + 72) = r2; r0 = *(u32 *)(r1 + 44)
        r2 = *(u32 *)(r1 + 72); r0 <<= 16; r0 |= r2; exit""", 0x23452345),
    "tc leaves a queue of 0xffff alone": Typed("sched_cls", """
        *(u32 *)(r1 + 12) = 5; r2 = 0xffff; *(u32 *)(r1 + 12) = r2; r0 = *(u32 *)(r1 + 12); exit""", 5),
    "tc loads with sign": Typed("sched_cls", "r0 = *(s8 *)(r1 + 9); r0 <<= 32; r0 s>>= 32; exit",
        (1 << 64) - 0x7F, (1 << 64) - 0x7F, fields={"mark": 0x00818100}),
    "tc counts the packet from its frame": Typed("sched_cls", """
        r6 = r1; r0 = *(u16 *)skb[12]; r7 = r0; r0 = *(u8 *)skb[-1048576]; r7 <<= 8; r0 |= r7; exit""", 0x080045),
    "sched_act adds lengths": Typed("sched_act", "r0 = *(u32 *)(r1 + 0); r2 = *(u32 *)(r1 + 160); r0 += r2; exit", 120),
    "a socket filter keeps UDP": Typed("socket_filter", """
        r6 = r1; r0 = *(u8 *)skb[9]; if r0 != 17 goto none; r0 = *(u32 *)(r6 + 0); exit; none: r0 = 0; exit""", 46),
    "a socket filter has a scratch area": Typed("socket_filter", """
        r2 = 5; *(u32 *)(r1 + 64) = r2; r0 = *(u8 *)(r1 + 64); r2 = *(u8 *)(r1 + 67); r0 += r2; exit""", 5, 5,
        context={"cb[4]": 5}),
    "cgroup_skb sees the addresses": Typed("cgroup_skb", """
        r2 = *(u32 *)(r1 + 92); r3 = *(u32 *)(r1 + 96); r2 ^= r3; r2 = be32 r2
        r3 = *(u32 *)(r1 + 88); r3 <<= 8; r2 |= r3; *(u32 *)(r1 + 8) = r2
        r0 = 1; exit""", 1, context={"mark": 0x203}),
    "cgroup_skb allows UDP": Typed("cgroup_skb", f"""
        {SKB_DATA}; r3 = r7; r3 += 20; r0 = 0; if r3 > r2 goto out
        r4 = *(u8 *)(r7 + 9); if r4 != 17 goto out; r0 = 1; out: exit""", 1),
    "cgroup_skb denies TCP": Typed("cgroup_skb", f"""
        {SKB_DATA}; r3 = r7; r3 += 20; r0 = 0; if r3 > r2 goto out
        r4 = *(u8 *)(r7 + 9); if r4 != 17 goto out; r0 = 1; out: exit""", 0,
        given=FRAME[:23] + b"\x06" + FRAME[24:]),
    "cgroup_skb marks by length": Typed("cgroup_skb", """
        r2 = *(u32 *)(r1 + 0); *(u32 *)(r1 + 8) = r2; r0 = 1; exit""", 1, context={"mark": 46}),
    "lwt_xmit looks at its packet": Typed("lwt_xmit", f"""
        {SKB_DATA}; r3 = r7; r3 += 20; r0 = 2; if r3 > r2 goto out
        r0 = *(u8 *)(r7 + 0); if r0 != 0x45 goto out; r0 = 0; out: exit""", 0),
    "sk_lookup takes what is for a port": Typed("sk_lookup", """
        r0 = 0; r2 = *(u32 *)(r1 + 60); if r2 != 53 goto out
        r2 = *(u16 *)(r1 + 36); r2 = be16 r2; if r2 != 0x909 goto out
        r2 = *(u8 *)(r1 + 40); if r2 != 10 goto out; r2 = *(u32 *)(r1 + 12); if r2 != 17 goto out
        r2 = *(u32 *)(r1 + 8); if r2 != 2 goto out; r0 = 1; out: exit""", 1, given=b"",
        fields={"family": 2, "protocol": 17, "local_port": 53, "remote_port": 0x909, "local_ip4": 0x0A00000A}),
    "a raw tracepoint adds its arguments": Typed("raw_tracepoint", """
        r0 = *(u64 *)(r1 + 0); r2 = *(u64 *)(r1 + 8); r0 += r2; exit""", 42, given=b"",
        fields={"args[0]": 40, "args[1]": 2}),
}  # fmt: skip

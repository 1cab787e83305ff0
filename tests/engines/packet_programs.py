"""Small programs that call helpers on packets: what they return, what the packet and its context are after them."""

from __future__ import annotations

from tests.engines.typed import FRAME, UDP, Typed

KEEP = "r6 = r1"
EFAULT, EINVAL, ENOMEM, ENOTSUPP, EACCES = (n & (1 << 64) - 1 for n in (-14, -22, -12, -524, -13))
TAGGED = FRAME[:12] + bytes.fromhex("81000123") + FRAME[12:]
TWICE = FRAME[:12] + bytes.fromhex("88a80005") + TAGGED[12:]
IPV6 = bytes.fromhex("00000000000002000000000186dd60000000001011ff" + "00" * 15 + "01" + "00" * 15 + "02")
FRAME6 = IPV6 + UDP[:8] + bytes(8)
ECT = FRAME[:15] + b"\x02" + FRAME[16:]
CE = FRAME[:15] + b"\x03" + FRAME[16:24] + b"\xff\xfe" + FRAME[26:]


def calls(kind: str, body: str, r0: int, packet: bytes | None = None, **more: object) -> Typed:
    """A program of which R6 is the context."""
    return Typed(kind, f"{KEEP}; {body}; exit", r0, packet=packet, **more)  # type: ignore[arg-type]


def tc(body: str, r0: int, packet: bytes | None = None, **more: object) -> Typed:
    return calls("sched_cls", body, r0, packet, **more)


def xdp(body: str, r0: int, packet: bytes | None = None, **more: object) -> Typed:
    return calls("xdp", body, r0, packet, **more)


def load(offset: int, size: int, helper: str = "call 26", last: str = "") -> str:
    """Load bytes to the stack, 0xff before; R7 = the result, R8 = the bytes as a number of network order."""
    return f"""*(u64 *)(r10 - 8) = -1; r1 = r6; r2 = {offset}; r3 = r10; r3 += -8; r4 = {size}; {last}; {helper}
        r7 = r0; r8 = *(u64 *)(r10 - 8); r8 = be64 r8; r8 >>= {64 - 8 * size}""".replace("; ;", ";")


def store(offset: int, value: int, size: int, flags: int = 0) -> str:
    """Store bytes of a number."""
    return f"""r1 = {value} ll; *(u64 *)(r10 - 8) = r1; r1 = r6; r2 = {offset}; r3 = r10; r3 += -8; r4 = {size}
        r5 = {flags}; call 9; r7 = r0"""


def csum(number: int, offset: int, start: int, to: int, flags: int) -> str:
    """A call of l3_csum_replace or l4_csum_replace."""
    return f"r1 = r6; r2 = {offset}; r3 = {start}; r4 = {to}; r5 = {flags}; call {number}"


def sums(old: int, new: int, seed: int, size: int = 8) -> str:
    """csum_diff of the first bytes of two blocks; their words of 16 bits are the same in both byte orders."""
    filled = "".join(
        f"*(u16 *)(r10 - {16 - 2 * n}) = {0x1234 + n * 0x1111}; *(u16 *)(r10 - {32 - 2 * n}) = {0xFFF0 + n};"
        for n in range(size)
    )
    return f"{filled} r1 = r10; r1 += -16; r2 = {old}; r3 = r10; r3 += -32; r4 = {new}; r5 = {seed} ll; call 28"


def tail(size: int, flags: int = 0) -> str:
    return f"r1 = r6; r2 = {size}; r3 = {flags}; call 38"


def head(size: int, flags: int = 0) -> str:
    return f"r1 = r6; r2 = {size}; r3 = {flags}; call 43"


def push(protocol: str, tci: int) -> str:
    return f"r1 = r6; r2 = {protocol}; r2 = be16 r2; r3 = {tci}; call 18"


def room(change: int, mode: int, flags: int = 0) -> str:
    return f"r1 = r6; r2 = {change}; r3 = {mode}; r4 = {flags}; call 50"


POP = "r1 = r6; call 19"
LENGTHS = """r0 = *(u32 *)(r6 + 0); r1 = *(u32 *)(r6 + 80); r2 = *(u32 *)(r6 + 76); r1 -= r2; r1 <<= 16; r0 |= r1"""
TAGS = "r0 = *(u32 *)(r6 + 20); r0 <<= 16; r1 = *(u32 *)(r6 + 28); r1 = be16 r1; r0 |= r1; r0 <<= 16; "
TAGS += "r1 = *(u32 *)(r6 + 24); r0 |= r1"
PROTOCOL = "r0 = *(u32 *)(r6 + 16); r0 = be16 r0"
SIZE = "r0 = *(u32 *)(r6 + 4); r1 = *(u32 *)(r6 + 0); r0 -= r1"


def both(first: int, second: int) -> int:
    return second << 16 | first


def adjust(number: int, distance: int) -> str:
    return f"r1 = r6; r2 = {distance}; call {number}"


PROGRAMS: dict[str, Typed] = {
    # Bytes of an skb
    "csum_diff of nothing": tc(sums(0, 0, 0x12345), 0x2346),
    "csum_diff of nothing, all ones": tc(sums(0, 0, 0xFFFF_FFFF), 0xFFFF),
    "csum_diff to": tc(sums(0, 16, 0), 0xFFA3),
    "csum_diff from": tc(sums(16, 0, 0), 0x9081),
    "csum_diff from and to": tc(sums(16, 16, 0xFFFF_FFFE), 0x9024),
    "csum_diff of sizes no word has": tc(sums(2, 6, 7), 0xEDA8),
    "csum_diff gives zero": tc(sums(2, 0, 0x1234), 0),
    "load": tc(f"{load(26, 8)}; r0 = r8", int.from_bytes(FRAME[26:34], "big")),
    "load returns 0": tc(f"{load(26, 8)}; r0 = r7", 0),
    "load the last byte": tc(f"{load(59, 1)}; r0 = r7", 0),
    "load beyond": tc(f"{load(59, 2)}; r0 = r7", EFAULT),
    "load beyond clears": tc(f"{load(59, 8)}; r0 = r8", 0),
    "load from a huge offset": tc(f"{load(-1, 8)}; r0 = r7", EFAULT),
    "load from the start": tc(f"{load(0, 8)}; r0 = r8", int.from_bytes(FRAME[:8], "big")),
    "cgroup_skb loads": calls("cgroup_skb", f"{load(12, 4)}; *(u32 *)(r6 + 8) = r8; r0 = 1", 1,
        context={"mark": 0xC0A8_0001}),
    "socket filter loads": calls("socket_filter", f"{load(9, 1)}; r0 = r7", 0),
    "socket filter loads its link": calls("socket_filter", f"{load(12, 2, 'call 68', 'r5 = 0')}; r0 = r8",
        0x0800),
    "load relative to the link": tc(f"{load(12, 2, 'call 68', 'r5 = 0')}; r0 = r8", 0x0800),
    "load relative to the network": tc(f"{load(9, 1, 'call 68', 'r5 = 1')}; r0 = r8", 17),
    "load relative to nothing": tc(f"{load(9, 1, 'call 68', 'r5 = 2')}; r0 = r7", EFAULT),
    "load relative, beyond": tc(f"{load(46, 1, 'call 68', 'r5 = 1')}; r0 = r7", EFAULT),
    "store": tc(f"{store(6, 0x0202_0202_0202_0202, 6)}; r0 = r7", 0, FRAME[:6] + b"\2" * 6 + FRAME[12:]),
    "store at the end": tc(f"{store(52, 0, 8)}; r0 = r7", 0, FRAME[:52] + bytes(8)),
    "store beyond": tc(f"{store(53, 0, 8)}; r0 = r7", EFAULT),
    "store with flags": tc(f"{store(52, 0, 8, 3)}; r0 = r7", 0, FRAME[:52] + bytes(8)),
    "store with unknown flags": tc(f"{store(52, 0, 8, 4)}; r0 = r7", EINVAL),
    "store forgets the hash": tc(f"r1 = r6; r2 = 7; call 48; {store(52, 0, 1, 2)}; r0 = *(u32 *)(r6 + 68)", 0,
        FRAME[:52] + b"\0" + FRAME[53:]),
    "lwt_xmit stores": calls("lwt_xmit", f"{store(8, 0x0101_0101_0101_0101, 1)}; r0 = 0", 0,
        FRAME[:22] + b"\1" + FRAME[23:]),
    "pull": tc("r1 = r6; r2 = 60; call 39", 0),
    "pull all": tc("r1 = r6; r2 = 0; call 39", 0),
    "pull too much": tc("r1 = r6; r2 = 61; call 39", ENOMEM),
    # Checksums
    "l3 of 2 bytes": tc("r3 = 0x4011; r3 = be16 r3; r4 = 0x3f11; r4 = be16 r4; r1 = r6; r2 = 24; r5 = 2; "
        "call 10", 0, FRAME[:24] + b"\x01\x00" + FRAME[26:]),
    "l3 of 4 bytes": tc("r3 = 0xc0a80001 ll; r3 = be32 r3; r4 = 0x0a000001; r4 = be32 r4; r1 = r6; r2 = 24; r5 = 4; "
        "call 10", 0, FRAME[:24] + b"\xb6\xa8" + FRAME[26:]),
    "l3 by a difference": tc(csum(10, 24, 0, 0, 0), 0),
    "l3 by two": tc(csum(10, 24, 1, 0, 0), EINVAL),
    "l3 of 3 bytes": tc(csum(10, 24, 1, 0, 3), EINVAL),
    "l3 with flags": tc(csum(10, 24, 1, 0, 16), EINVAL),
    "l3 at an odd offset": tc(csum(10, 25, 1, 2, 2), EFAULT),
    "l3 beyond": tc(csum(10, 60, 1, 2, 2), EFAULT),
    "l4 of no checksum": tc(csum(11, 40, 1, 2, 0x22), 0),
    "l4 of no checksum, enforced": tc("r3 = 0x100; r3 = be16 r3; r4 = 0x200; r4 = be16 r4; r1 = r6; r2 = 40; "
        "r5 = 0x62; call 11", 0, FRAME[:40] + b"\xfe\xff" + FRAME[42:]),
    "l4 of a pseudo header": tc("r3 = 0x100; r3 = be16 r3; r4 = 0x200; r4 = be16 r4; r1 = r6; r2 = 40; r5 = 0x14; "
        "call 11", 0, FRAME[:40] + b"\xfe\xff" + FRAME[42:]),
    "l4 with flags": tc(csum(11, 40, 1, 2, 0x202), EINVAL),
    "l4 beyond": tc(csum(11, 0x1_0000, 1, 2, 2), EFAULT),
    "csum_update": tc("r1 = r6; r2 = 7; call 40", ENOTSUPP),
    "csum_level asks": tc("r1 = r6; r2 = 0; call 135", EACCES),
    "csum_level counts": tc("""r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 0; call 135""", 1),
    "csum_level has an end": tc("""
        r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 1; call 135
        r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 2; call 135; r1 = r6; r2 = 0; call 135""", 2),
    "csum_level goes back": tc("""r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 2; call 135; r1 = r6; r2 = 0; call 135""",
        EACCES),
    "csum_level forgets": tc("""
        r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 1; call 135; r1 = r6; r2 = 3; call 135; r1 = r6; r2 = 0; call 135""",
        EACCES),
    "csum_level of what": tc("r1 = r6; r2 = 4; call 135", EINVAL),
    # Marks
    "change_type": tc("r1 = r6; r2 = 3; call 32; r7 = r0; r0 = *(u32 *)(r6 + 4); r0 += r7", 3),
    "change_type to what": tc("r1 = r6; r2 = 4; call 32", EINVAL),
    "set_hash": tc("r1 = r6; r2 = 77; call 48; r1 = r6; call 34", 77),
    "set_hash_invalid": tc("r1 = r6; r2 = 77; call 48; r1 = r6; call 41; r0 = *(u32 *)(r6 + 68)", 0),
    "get_hash_recalc keeps it": tc("r1 = r6; call 34; r7 = *(u32 *)(r6 + 68); r0 ^= r7", 0),
    "get_cgroup_classid": tc("r1 = r6; call 17", 0),
    "get_route_realm": tc("r1 = r6; call 24", 0),
    "get_socket_uid": tc("r1 = r6; call 47", 0),
    "ecn of what cannot": tc("r1 = r6; call 97", 0),
    "ecn": tc("r1 = r6; call 97", 1, CE, given=ECT),
    "ecn of what has it": tc("r1 = r6; call 97", 1, CE, given=CE),
    "ecn of IPv6": tc("r1 = r6; call 97", 1, FRAME6[:15] + b"\x30" + FRAME6[16:],
        given=FRAME6[:15] + b"\x20" + FRAME6[16:]),
    # Length of an skb
    "grow": tc(tail(70), 0, FRAME + bytes(10)),
    "grow says so": tc(f"{tail(70)}; {LENGTHS}", both(70, 70), FRAME + bytes(10)),
    "trim": tc(f"{tail(34)}; {LENGTHS}", both(34, 34), FRAME[:34]),
    "trim and grow": tc(f"{tail(34)}; {tail(60)}", 0, FRAME[:34] + bytes(26)),
    "trim the network header's start": tc(tail(14), 0, FRAME[:14]),
    "trim too far": tc(tail(13), EINVAL),
    "grow with flags": tc(tail(70, 1), EINVAL),
    "grow to the most": tc(tail(4000), 0, FRAME + bytes(3940)),
    "grow too far": tc(tail(16065), EINVAL),
    "cgroup-like filters see it": calls("lwt_xmit", f"{tail(60)}; r0 = 0", 0, FRAME + bytes(14)),
    "head": tc(f"{head(14)}; {LENGTHS}", both(74, 74), bytes(14) + FRAME),
    "head with flags": tc(head(14, 1), EINVAL),
    "head too far": tc(head(16005), EINVAL),
    "head by a negative number": tc(head(-1), EINVAL),
    "head beyond the headroom": tc(f"{head(400)}; {LENGTHS}", both(460, 460), bytes(400) + FRAME),
    "head again and again": tc(f"{head(200)}; {tail(20 + 200)}; {head(200)}; {tail(14 + 460)}; {LENGTHS}",
        both(474, 474), bytes(400) + FRAME[:20] + bytes(54)),
    "head moves the link-layer header": tc(f"{head(14)}; {load(4, 1, 'call 68', 'r5 = 0')}; r0 = r7", 0,
        bytes(14) + FRAME),
    "head leaves the network header": tc(f"{head(14)}; {load(9, 1, 'call 68', 'r5 = 1')}; r0 = r8", 17,
        bytes(14) + FRAME),
    "lwt_xmit has a head": calls("lwt_xmit", f"{head(14)}; r0 = 0", 0, FRAME[:14] + bytes(14) + FRAME[14:]),
    "the packet is written after it grew": tc(f"""{tail(64)}; r2 = *(u32 *)(r6 + 76); r3 = *(u32 *)(r6 + 80); r4 = r2
        r4 += 64; r0 = 9; if r4 > r3 goto out; *(u8 *)(r2 + 63) = 7; r0 = *(u8 *)skb[63]; out: r0 += 0""", 7,
        FRAME + bytes(3) + b"\7"),
    # VLAN
    "push": tc(f"{push('0x8100', 5)}; {TAGS}", 1 << 32 | 0x8100_0005),
    "push of what": tc(f"{push('0x1234', 5)}; {TAGS}", 1 << 32 | 0x8100_0005),
    "push twice": tc(f"{push('0x8100', 0x123)}; {push('0x88a8', 5)}; {TAGS}", 1 << 32 | 0x88A8_0005, TAGGED),
    "push twice, protocol": tc(f"{push('0x8100', 0x123)}; {push('0x88a8', 5)}; {PROTOCOL}", 0x8100, TAGGED),
    "push twice, network": tc(f"""{push('0x8100', 0x123)}; {push('0x88a8', 5)}
        {load(0, 4, 'call 68', 'r5 = 1')}; r0 = r8""", 0x0123_0800, TAGGED),
    "push and pop": tc(f"{push('0x8100', 5)}; {POP}; {TAGS}", 0),
    "pop of nothing": tc(POP, 0),
    "pop": tc(f"{POP}; {TAGS}", 0, FRAME, given=TAGGED),
    "pop, protocol": tc(f"{POP}; {PROTOCOL}", 0x0800, FRAME, given=TAGGED),
    "pop, network": tc(f"{POP}; {load(9, 1, 'call 68', 'r5 = 1')}; r0 = r8", 17, FRAME, given=TAGGED),
    "pop of two": tc(f"{POP}; {TAGS}", 1 << 32 | 0x8100_0123, FRAME, given=TWICE),
    # Between the headers
    "to IPv6": tc(f"r1 = r6; r2 = 0x86dd; r2 = be16 r2; r3 = 0; call 31; {PROTOCOL}", 0x86DD,
        FRAME[:14] + bytes(20) + FRAME[14:]),
    "to IPv4": tc(f"r1 = r6; r2 = 0x0800; r2 = be16 r2; r3 = 0; call 31; {PROTOCOL}", 0x0800,
        FRAME6[:14] + FRAME6[34:], given=FRAME6),
    "to IPv4 from there": tc("r1 = r6; r2 = 0x0800; r2 = be16 r2; r3 = 0; call 31", ENOTSUPP),
    "to IPv6 with flags": tc("r1 = r6; r2 = 0x86dd; r2 = be16 r2; r3 = 1; call 31", EINVAL),
    "room": tc(f"{room(8, 1)}; {LENGTHS}", both(68, 68), FRAME[:14] + bytes(8) + FRAME[14:]),
    "room behind the network header": tc(room(8, 0), 0, FRAME[:34] + bytes(8) + FRAME[34:]),
    "less room": tc(room(-8, 1), 0, FRAME[:14] + FRAME[22:]),
    "less room behind the network header": tc(room(-8, 0), 0, FRAME[:34] + FRAME[42:]),
    "far less room": tc(room(-27, 1), ENOTSUPP),
    "room of what": tc(room(8, 2), ENOTSUPP),
    "too much room": tc(room(0x1000, 1), EFAULT),
    # Directions
    "redirect": tc("r1 = 7; r2 = 0; call 23", 7),
    "redirect inwards": tc("r1 = 7; r2 = 1; call 23", 7),
    "redirect with flags": tc("r1 = 7; r2 = 2; call 23", 2),
    "lwt_xmit redirects": calls("lwt_xmit", "r1 = 7; r2 = 0; call 23", 7),
    "lwt_in reads": calls("lwt_in", f"{load(8, 2)}; *(u32 *)(r6 + 8) = r8; r0 = 0", 0, context={"mark": 0x4011}),
    "redirect_peer": tc("r1 = 7; r2 = 0; call 155", 7),
    "redirect_peer with flags": tc("r1 = 7; r2 = 1; call 155", 2),
    "redirect_neigh": tc("r1 = 7; r2 = 0; r3 = 0; r4 = 0; call 152", 7),
    "redirect_neigh with flags": tc("r1 = 7; r2 = 0; r3 = 0; r4 = 1; call 152", 2),
    "xdp redirect": xdp("r1 = 7; r2 = 0; call 23", 4),
    "xdp redirect with flags": xdp("r1 = 7; r2 = 1; call 23", 0),
    "check_mtu": tc("""*(u32 *)(r10 - 4) = 0; r1 = r6; r2 = 0; r3 = r10; r3 += -4; r4 = 0; r5 = 0; call 163""", 0),
    "check_mtu of what": tc("*(u32 *)(r10 - 4) = 0; r1 = r6; r2 = 9999; r3 = r10; r3 += -4; r4 = 0; r5 = 0; call 163",
        -19 & (1 << 64) - 1),
    "check_mtu with flags": xdp("*(u32 *)(r10 - 4) = 0; r1 = r6; r2 = 0; r3 = r10; r3 += -4; r4 = 0; r5 = 1; call 163",
        EINVAL),
    "check_mtu of more": xdp("*(u32 *)(r10 - 4) = 0; r1 = r6; r2 = 0; r3 = r10; r3 += -4; r4 = 0x20000; r5 = 0; "
        "call 163", 1),
    # XDP
    "xdp head, less": xdp(f"{adjust(44, 14)}; {SIZE}", 46, FRAME[14:]),
    "xdp head, more": xdp(f"{adjust(44, -4)}; {SIZE}", 64, bytes(4) + FRAME),
    "xdp head, all the headroom": xdp(adjust(44, -216), 0, bytes(216) + FRAME),
    "xdp head, beyond it": xdp(adjust(44, -217), EINVAL),
    "xdp head, the last 14": xdp(adjust(44, 46), 0, FRAME[46:]),
    "xdp head, beyond the last 14": xdp(adjust(44, 47), EINVAL),
    "xdp head takes metadata along": xdp(f"{adjust(44, 14)}; {SIZE}", 46, b"meta" + FRAME[14:], given=b"meta" + FRAME,
        metadata=4),
    "xdp tail, less": xdp(f"{adjust(65, -20)}; {SIZE}", 40, FRAME[:40]),
    "xdp tail, more": xdp(f"{adjust(65, 20)}; {SIZE}", 80, FRAME + bytes(20)),
    "xdp tail, less and more": xdp(f"{adjust(65, -20)}; {adjust(65, 10)}", 0, FRAME[:40] + bytes(10)),
    "xdp tail, all the tailroom": xdp(adjust(65, 3460), 0, FRAME + bytes(3460)),
    "xdp tail, beyond it": xdp(adjust(65, 3461), EINVAL),
    "xdp tail, beyond the first 14": xdp(adjust(65, -47), EINVAL),
    "xdp meta": xdp(f"{adjust(54, -8)}; r0 = *(u32 *)(r6 + 0); r1 = *(u32 *)(r6 + 8); r0 -= r1", 8, bytes(8) + FRAME),
    "xdp meta of 6 bytes": xdp(adjust(54, -6), EACCES),
    "xdp meta too long": xdp(adjust(54, -256), EINVAL),
    "xdp meta behind the data": xdp(adjust(54, 4), EINVAL),
    "xdp length": xdp("r1 = r6; call 188", 60),
    "xdp load": xdp(f"{load(26, 8, 'call 189')}; r0 = r8", int.from_bytes(FRAME[26:34], "big")),
    "xdp load beyond": xdp(f"{load(53, 8, 'call 189')}; r0 = r7", EINVAL),
    "xdp load far beyond": xdp(f"{load(0x10000, 8, 'call 189')}; r0 = r7", EFAULT),
    "xdp load beyond clears nothing": xdp(f"{load(53, 8, 'call 189')}; r0 = r8", (1 << 64) - 1),
    "xdp store": xdp(store(6, 0x0202_0202_0202_0202, 6).replace("call 9;", "call 190;"), 0,
        FRAME[:6] + b"\2" * 6 + FRAME[12:]),
}  # fmt: skip

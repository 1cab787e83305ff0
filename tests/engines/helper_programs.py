"""Small programs that call helpers, and what comes of them."""
# ruff: noqa: E501 (a table of programs)

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bpf.program import Map

E2BIG, EFAULT, EBUSY, EINVAL, ENOENT, ERANGE = -7, -14, -16, -22, -2, -34
M64 = (1 << 64) - 1
KERNEL, USER = 0xFFFF_8890_0000_0000, 0x7F00_0000
FORMAT = Map("format", value_size=64, initial=b"%d %llx %s|%c%%\0".ljust(64, b"\0"), readonly=True)
BAD = Map("format", value_size=64, initial=b"%d\0".ljust(64, b"\0"), readonly=True)
TEXT = Map("text", value_size=16, initial=b"text\0".ljust(16, b"\0"), readonly=True)
VALUE = Map("value", value_size=64, initial=bytes(64))
ARRAY = Map("array", value_size=8, max_entries=4)
LOCKED = Map("locked", value_size=16, lock=8)
CGROUPS = Map("cgroups", "cgroup_array", 4, 4, 4)
IDS = {"elements": {"cgroups": [(0, 42), (1, 43), (2, 1)]}}
EVENTS = Map("events", "perf_event_array", value_size=4, max_entries=4)
RING = Map("ring", "ringbuf", 0, 0, 4096)


@dataclass(frozen=True)
class Case:
    """A program between `r9 = r1` and `exit`; its R0; the first bytes of memory before and after, or its first word.

    here  why the live kernel is not asked; "" if it is
    """

    text: str
    r0: int | None
    before: bytes = b""
    after: bytes | int | None = None
    maps: tuple[Map, ...] = ()
    here: str = ""
    world: dict[str, Any] = field(default_factory=dict)


PERF = "a helper of tracing programs"
WORLDS = "what it gives is the machine's"
ALONE = "Linux rejects such a call"
ORDER = "the order of a hash table is the machine's"
HARMS = "it would change the machine"


def number(read: str, text: str, flags: int, size: int | None = None) -> str:
    size = len(text.encode("latin-1")) if size is None else size
    return (
        f"r6 = 0x{int.from_bytes(text.encode('latin-1')[:8].ljust(8, bytes(1)), 'big'):x} ll; "
        "r6 = be64 r6; *(u64 *)(r10 - 32) = r6; "
        f"r6 = 0x{int.from_bytes(text.encode('latin-1')[8:16].ljust(8, bytes(1)), 'big'):x} ll; "
        "r6 = be64 r6; *(u64 *)(r10 - 24) = r6; "
        f"r6 = 0x{int.from_bytes(text.encode('latin-1')[16:24].ljust(8, bytes(1)), 'big'):x} ll; "
        "r6 = be64 r6; *(u64 *)(r10 - 16) = r6; r6 = 77; *(u64 *)(r10 - 40) = r6; "
        f"r1 = r10; r1 += -32; r2 = {size}; r3 = {flags}; r4 = r10; r4 += -40; call {read}; "
        "r6 = *(u64 *)(r10 - 40); *(u64 *)(r9 + 0) = r6"
    )


STRINGS: list[tuple[str, str, int, int, int]] = [  # text, flags, result of strtol, its number, result of strtoul
    ("12", 0, 2, 12, 2),
    ("  -12x", 10, 5, -12, EINVAL),
    ("0x1F", 0, 4, 31, 4),
    ("0x1F", 16, 4, 31, 4),
    ("1f", 16, 2, 31, 2),
    ("0x", 0, 1, 0, 1),
    ("0x", 16, EINVAL, 0, EINVAL),
    ("0778", 0, 3, 63, 3),
    ("0778", 8, 3, 63, 3),
    ("+1", 0, EINVAL, 0, EINVAL),
    ("-", 0, EINVAL, 0, EINVAL),
    ("   ", 0, EINVAL, 0, EINVAL),
    ("abc", 10, EINVAL, 0, EINVAL),
    ("12", 2, EINVAL, 0, EINVAL),
    ("12", 32, EINVAL, 0, EINVAL),
    ("9223372036854775807", 0, 19, (1 << 63) - 1, 19),
    ("9223372036854775808", 0, ERANGE, 0, 19),
    ("-9223372036854775808", 0, 20, -(1 << 63), EINVAL),
    ("-9223372036854775809", 0, ERANGE, 0, EINVAL),
    ("18446744073709551616", 0, ERANGE, 0, ERANGE),
    ("\xa0\t12", 0, 4, 12, 4),
]


def strings() -> dict[str, Case]:
    found = {}
    for text, flags, length, value, unsigned in STRINGS:
        found[f"strtol {text!r} {flags}"] = Case(number("105", text, flags), length, b"", value)
        value = 0 if unsigned < 0 else int(text, 0) if text[0] == "9" else value
        found[f"strtoul {text!r} {flags}"] = Case(number("106", text, flags), unsigned, b"", value)
    return found


def compared(first: str, second: str, size: int) -> str:
    pad = (
        f"r6 = 0x{int.from_bytes(first.encode().ljust(8, bytes(1)), 'big'):x} ll; r6 = be64 r6; *(u64 *)(r10 - 8) = r6"
    )
    assert second == "text"
    return f"{pad}; r1 = r10; r1 += -8; r2 = {size}; r3 = map_value[idx:0][0]; call 182"


def printed(data: str, size: int, room: int = 32) -> str:
    return f"{data}r1 = r9; r2 = {room}; r3 = map_value[idx:0][0]; r4 = r10; r4 += -32; r5 = {size}; call 165"


NUMBERS = (
    "r6 = -5; *(u64 *)(r10 - 32) = r6; r6 = 0xabcdef0123 ll; *(u64 *)(r10 - 24) = r6; "
    "r6 = map_value[idx:1][0]; *(u64 *)(r10 - 16) = r6; r6 = 65; *(u64 *)(r10 - 8) = r6; "
)


def probe(helper: int, address: str, size: int) -> str:
    return f"r1 = r9; r2 = {size}; r3 = {address}; call {helper}"


def at(number: int) -> str:
    return f"0x{number:x} ll"


FULL = b"\x11" * 16
DYNPTR = "r1 = map_value[idx:0][0]; r2 = {size}; r3 = {flags}; r4 = r10; r4 += -16; call 197"


def dynptr(rest: str = "", size: int = 32, flags: int = 0) -> str:
    return DYNPTR.format(size=size, flags=flags) + f"; *(u64 *)(r9 + 8) = r0; r8 = r0; {rest}"


def record(size: int, rest: str = "", flags: int = 0, end: int = 199) -> str:
    reserve = f"r1 = map[idx:0]; r2 = {size}; r3 = {flags}; r4 = r10; r4 += -16; call 198; r8 = r0"
    return f"{reserve}; {rest}r1 = r10; r1 += -16; r2 = 0; call {end}; r0 = r8"


READ = "r1 = r9; r2 = {}; r3 = r10; r3 += -16; r4 = {}; r5 = {}; call 201"
WRITE = "r1 = r10; r1 += -16; r2 = {}; r3 = r9; r4 = {}; r5 = {}; call 202"
EACH = "r1 = map[idx:0]; r2 = func[f]; r3 = r10; r3 += -8; r4 = {}; *(u64 *)(r10 - 8) = 0; call 164; r1 = *(u64 *)(r10 - 8); *(u64 *)(r9 + 0) = r1; exit"
ADD = "r6 = *(u64 *)(r3 + 0); r7 = *(u32 *)(r2 + 0); r6 += r7; r7 = *(u64 *)(r4 + 0); r7 <<= 4; r7 += r6; *(u64 *)(r4 + 0) = r7"
SUM = "r6 = *(u64 *)(r3 + 0); r7 = *(u32 *)(r2 + 0); r6 += r7; r7 = *(u64 *)(r4 + 0); r7 += r6; *(u64 *)(r4 + 0) = r7"
USER_RING = Map("records", "user_ringbuf", 0, 0, 4096)
RECORDS = {"elements": {"records": [(b"", bytes((4, 0, 0, 0, 0, 0, 0, 4, 9))), (b"", b"\2" * 12), (b"", b"\7" * 8)]}}
TAKE = (
    "r6 = r2; r3 = r1; r1 = r10; r1 += -8; r2 = 1; r4 = 7; r5 = 0; call 201; "
    "r1 = *(u8 *)(r10 - 8); r2 = *(u64 *)(r6 + 0); r2 += r1; *(u64 *)(r6 + 0) = r2"
)
"""Adds byte 7 of a record to the word that R2 points to."""
DRAIN = EACH.replace("call 164", "call 209")
FILL = "".join(
    f"*(u32 *)(r10 - 4) = {key}; *(u64 *)(r10 - 16) = {key * 2}; r1 = map[idx:0]; r2 = r10; r2 += -4; r3 = r10; "
    "r3 += -16; r4 = 0; call 2; " for key in (1, 2, 3)
)  # fmt: skip


FORMATS = (  # of -5, 0xabcdef0123, the address of "text", 65
    ("%d %llu %s %c", "-5 737894400291 text A"),
    ("%i|%lx|%s|%c", "-5|abcdef0123|text|A"),
    ("%5d|%lX|%s", "   -5|ABCDEF0123|text"),
    ("%-5d|%20llx|%s", "-5   |          abcdef0123|text"),
    ("%05d|%020lld|%s", "-0005|00000000737894400291|text"),
    ("%+d|%+lld|%s", "-5|+737894400291|text"),
    ("% d|% ld", "-5| 737894400291"),
    ("%-05d|%0-12llx|", "-5   |abcdef0123  |"),
    ("%x|%u|", "fffffffb|3454992675|"),
    ("%d|%d|%7s|%3c|", "-5|-839974621|   text|  A|"),
    ("%d|%d|%-7s|%-3c|", "-5|-839974621|text   |A  |"),
    ("%d|%d|%02s|%c", "-5|-839974621|text|A"),
    ("%px|%px", "fffffffffffffffb|000000abcdef0123"),
    ("%d|%20px|", "-5|          abcdef0123|"),
    ("%d|%ps|", "-5|0xabcdef0123|"),
    ("%d|%pS|", "-5|0xabcdef0123|"),
    ("%d|%pB|", "-5|0xabcdef0123|"),
    ("%d|%d|%pI4|", "-5|-839974621|116.101.120.116|"),
    ("%d|%d|%pi4|", "-5|-839974621|116.101.120.116|"),
    ("%d|%d|%pI6", "-5|-839974621|7465:7874:0000:0000:0000:0000:0000:0000"),
    ("%d|%d|%pi6", "-5|-839974621|74657874000000000000000000000000"),
    ("%d|%pI4|", "-5|0.0.0.0|"),
    ("%d|%d|%pks|%c", "-5|-839974621|text|A"),
    ("%d|%pus|", "-5||"),
    ("%s|%s|", "||"),
    ("%d%%%c", "-5%#"),
)


def shown(text: str, line: str) -> Case:
    """What the format gives, of as many numbers as it has conversions."""
    count = text.replace("%%", "").count("%")
    map_ = Map("format", value_size=64, initial=text.encode().ljust(64, b"\0"), readonly=True)
    return Case(printed(NUMBERS, 8 * count, 64), len(line) + 1, b"", line.encode() + b"\0", (map_, TEXT))


CASES: dict[str, Case] = {
    **strings(),
    **{f"format {text}": shown(text, line) for text, line in FORMATS},
    "strncmp equal": Case(compared("text", "text", 8), 0, maps=(TEXT,)),
    "strncmp less": Case(compared("tex", "text", 8), -1, maps=(TEXT,)),
    "strncmp greater": Case(compared("texu", "text", 8), 1, maps=(TEXT,)),
    "strncmp cut": Case(compared("texu", "text", 3), 0, maps=(TEXT,)),
    "snprintf": Case(
        printed(NUMBERS, 32), 22, b"", b"-5 abcdef0123 text|A%\0", (FORMAT, TEXT)),
    "snprintf cut": Case(printed(NUMBERS, 32, 6), 22, b"", b"-5 ab\0" + bytes(10), (FORMAT, TEXT)),
    "snprintf size": Case(printed("", 12), EINVAL, maps=(BAD,), here=ALONE),
    "snprintf too few": Case(printed("", 0), EINVAL, maps=(BAD,), here=ALONE),
    "probe_read_kernel of its own": Case(
        "r6 = 0x1122334455667788 ll; *(u64 *)(r10 - 8) = r6; r3 = r10; r3 += -8; r1 = r9; r2 = 8; call 113",
        0, FULL, None),
    "probe_read_kernel null": Case(probe(113, "0", 8), ERANGE, FULL, bytes(8) + FULL[8:]),
    "probe_read_kernel fault": Case(probe(113, at(M64 - 4095), 8), EFAULT, FULL, bytes(8) + FULL[8:]),
    "probe_read_kernel nothing": Case(probe(113, "0", 0), ERANGE, FULL, FULL),
    "probe_read_kernel described": Case(
        probe(113, at(KERNEL + 1), 4), 0, FULL, b"erne" + FULL[4:], here=WORLDS, world={"kernel": {KERNEL: b"kernel"}}),
    "probe_read_kernel past its end": Case(
        probe(113, at(KERNEL + 4), 4), EFAULT, FULL, bytes(4) + FULL[4:], here=WORLDS, world={"kernel": {KERNEL: b"kernel"}}),
    "probe_read_kernel_str": Case(
        "r3 = map_value[idx:0][0]; r1 = r9; r2 = 16; call 115", 5, FULL, b"text\0" + FULL[5:], (TEXT,)),
    "probe_read_kernel_str cut": Case(
        "r3 = map_value[idx:0][0]; r1 = r9; r2 = 3; call 115", 3, FULL, b"te\0" + FULL[3:], (TEXT,)),
    "probe_read_kernel_str nothing": Case(probe(115, "0", 0), 0, FULL, FULL),
    "probe_read_kernel_str null": Case(probe(115, "0", 4), ERANGE, FULL, bytes(4) + FULL[4:]),
    "probe_read_user null": Case(probe(112, "0", 8), EFAULT, FULL, bytes(8) + FULL[8:]),
    "probe_read_user nothing": Case(probe(112, "0", 0), 0, FULL, FULL),
    "probe_read_user of the kernel": Case(probe(112, at(KERNEL), 8), EFAULT, FULL, bytes(8) + FULL[8:]),
    "probe_read_user described": Case(
        probe(112, at(USER), 8), 0, FULL, b"twohalve" + FULL[8:], here=WORLDS,
        world={"user": {USER: b"two", USER + 3: b"halves"}}),
    "probe_read_user_str": Case(
        probe(114, at(USER), 8), 4, FULL, b"two\0" + FULL[4:], here=WORLDS, world={"user": {USER: b"two\0"}}),
    "probe_read_user_str null": Case(probe(114, "0", 8), EFAULT, FULL, bytes(8) + FULL[8:]),
    "probe_read_user_str runs out": Case(
        probe(114, at(USER), 8), EFAULT, FULL, bytes(8) + FULL[8:], here=WORLDS, world={"user": {USER: b"two"}}),
    "probe_read of the task": Case(
        probe(4, at(USER), 3), 0, FULL, b"two" + FULL[3:], here=PERF, world={"user": {USER: b"two"}}),
    "probe_read of the kernel": Case(
        probe(4, at(KERNEL), 3), 0, FULL, b"ker" + FULL[3:], here=PERF, world={"kernel": {KERNEL: b"kernel"}}),
    "probe_read_str": Case(
        probe(45, at(USER), 8), 4, FULL, b"two\0" + FULL[4:], here=PERF, world={"user": {USER: b"two\0"}}),
    "copy_from_user": Case(probe(148, "0", 8), EFAULT, FULL, bytes(8) + FULL[8:]),
    "probe_write_user": Case(
        f"r1 = {at(USER + 1)}; r2 = r9; r3 = 4; call 36; r8 = r0; {probe(112, at(USER), 8)}; r0 = r8", 0, b"WXYZ",
        b"tWXYZlve", here=HARMS, world={"user": {USER: b"two", USER + 3: b"halves"}}),
    "probe_write_user fault": Case(f"r1 = {at(USER)}; r2 = r9; r3 = 4; call 36", EFAULT, here=HARMS),
    "time": Case("call 160; r6 = r0; call 118; r0 -= r6", None, here=WORLDS),
    "coarse": Case("call 160", 1_000_000_000, here=WORLDS),
    "tai": Case("call 208", 1_750_000_038_000_001_000, here=WORLDS),
    "jiffies": Case("call 118", 0xFFFE_DB08 + 250, here=WORLDS),
    "numa": Case("call 42", 3, here=WORLDS, world={"node": 3}),
    "task": Case("call 35", 0x1234, here=WORLDS, world={"task": 0x1234}),
    "cgroup": Case("call 80", 42, here=WORLDS),
    "root cgroup": Case("r1 = 0; call 123", 1),
    "no ancestor": Case("r1 = 77; call 123", 0),
    "no ancestor below": Case("r1 = -1; call 123", 0),
    **{
        f"under cgroup {index}": Case(f"r1 = map[idx:0]; r2 = {index}; call 37", r0, maps=(CGROUPS,), here=PERF, world=IDS)
        for index, r0 in enumerate((1, 0, 1, -11, E2BIG))
    },
    "task with types": Case("call 158", 0x1234, here=WORLDS, world={"task": 0x1234}),
    **{
        f"copy_from_user_task {task} {flags}": Case(
            f"call 158; r0 += {task}; r4 = r0; r1 = r9; r2 = 3; r3 = {at(USER)}; r5 = {flags}; call 191", r0, FULL, after, here=PERF,
            world={"user": {USER: b"two"}},
        )
        for task, flags, r0, after in ((0, 0, 0, b"two\x11"), (8, 0, EFAULT, bytes(3) + b"\x11"), (0, 1, EINVAL, FULL))
    },
    "branches": Case("r1 = r9; r2 = 24; r3 = 0; call 176", ENOENT, here=WORLDS),
    "branches with flags": Case("r1 = r9; r2 = 24; r3 = 1; call 176", EINVAL, here=PERF),
    "cookie": Case("r1 = 0; call 174", 9, here=WORLDS, world={"cookie": 9}),
    "pid": Case(
        "r1 = 4; r2 = 0xeffffffc ll; r3 = r9; r4 = 8; call 120; r6 = *(u32 *)(r9 + 0); r7 = *(u32 *)(r9 + 4); r6 <<= 16; r6 |= r7; r0 = r6",
        4243 << 16 | 4242, here=WORLDS),
    "pid of another namespace": Case("r1 = 1; r2 = 2; r3 = r9; r4 = 8; call 120", EINVAL, FULL, bytes(8) + FULL[8:]),
    "pid of another size": Case("r1 = 4; r2 = 2; r3 = r9; r4 = 12; call 120", EINVAL, FULL, bytes(12) + FULL[12:]),
    "signal": Case("r1 = 10; call 109; r6 = r0; r1 = 0; call 109; r6 += r0; r1 = 65; call 117; r0 += r6", EINVAL, here=HARMS),
    "override": Case("r1 = r9; r2 = -5; call 58", 0, here=HARMS),
    "netns": Case("r1 = 0; call 122", 7, here=WORLDS, world={"netns": 7}),
    "counter": Case(
        "r1 = map[idx:0]; r2 = 0xffffffff ll; call 22; r6 = r0; r1 = map[idx:0]; r2 = 0; r3 = r9; r4 = 24; call 55; r0 += r6",
        9, FULL, 9, (EVENTS,), here=WORLDS, world={"counters": {"events": ((9, 20, 10), (1, 1, 1))}}),
    "counter of another CPU": Case("r1 = map[idx:0]; r2 = 1; call 22", EINVAL, maps=(EVENTS,), here=WORLDS, world={"counters": {"events": ((9, 20, 10), (1, 1, 1))}}),
    "no counter": Case("r1 = map[idx:0]; r2 = 3; r3 = r9; r4 = 24; call 55", ENOENT, FULL, bytes(24), (EVENTS,), here=WORLDS),
    "no room for a counter": Case("r1 = map[idx:0]; r2 = 0; r3 = r9; r4 = 16; call 55", EINVAL, FULL, bytes(16), (EVENTS,), here=WORLDS),
    "counter past the map": Case("r1 = map[idx:0]; r2 = 4; call 22", E2BIG, maps=(EVENTS,), here=WORLDS),
    "counter with flags": Case("r1 = map[idx:0]; r2 = 0x100000000 ll; call 22", EINVAL, maps=(EVENTS,), here=WORLDS),
    "symbol": Case(
        "r1 = map_value[idx:0][0]; r2 = 5; r3 = 0; r4 = r9; call 179; r6 = *(u64 *)(r9 + 0); r0 += r6", 77, FULL, None, (TEXT,),
        here=WORLDS, world={"symbols": {"text": 77}}),
    "no symbol": Case("r1 = map_value[idx:0][0]; r2 = 5; r3 = 0; r4 = r9; call 179", ENOENT, FULL, bytes(8) + FULL[8:], (TEXT,)),
    "symbol without end": Case("r1 = map_value[idx:0][0]; r2 = 4; r3 = 0; r4 = r9; call 179", EINVAL, FULL, bytes(8) + FULL[8:], (TEXT,)),
    "lock": Case(
        "r6 = map_value[idx:0][0]; r1 = r6; r1 += 8; call 93; *(u64 *)(r6 + 0) = 5; r1 = r6; r1 += 8; call 94; r0 = *(u64 *)(r6 + 0)",
        5, maps=(LOCKED,)),
    "update under a lock": Case(
        "*(u32 *)(r10 - 4) = 0; r1 = map[idx:0]; r2 = r10; r2 += -4; *(u64 *)(r10 - 16) = -1; *(u64 *)(r10 - 24) = 7; "
        "r3 = r10; r3 += -24; r4 = 4; call 2; r6 = map_value[idx:0][0]; r7 = *(u64 *)(r6 + 0); r0 += r7", 7, maps=(LOCKED,)),
    "update under no lock": Case(
        "*(u32 *)(r10 - 4) = 0; r1 = map[idx:0]; r2 = r10; r2 += -4; *(u64 *)(r10 - 16) = 7; r3 = r10; r3 += -16; r4 = 4; call 2",
        EINVAL, maps=(ARRAY,)),
    "kptr": Case("r1 = map_value[idx:0][8]; r2 = 5; call 194; r6 = r0; r1 = map_value[idx:0][8]; r2 = 0; call 194; r6 <<= 8; r0 += r6", 5, maps=(VALUE,), here=ALONE),
    "dynptr too large": Case(dynptr("r0 = r8", 1 << 24), E2BIG, maps=(VALUE,), here=ALONE),
    "dynptr flags": Case(dynptr("r0 = r8", flags=1), EINVAL, maps=(VALUE,)),
    "dynptr read": Case(dynptr(READ.format(4, 28, 0)), 0, FULL, bytes(4) + FULL[4:8] + bytes(8), (VALUE,)),
    "dynptr read past": Case(dynptr(READ.format(4, 29, 0)), E2BIG, FULL, FULL[:8] + bytes(8), (VALUE,)),
    "dynptr read flags": Case(dynptr(READ.format(4, 0, 1)), EINVAL, FULL, None, (VALUE,)),
    "dynptr read null": Case(dynptr(READ.format(4, 0, 0), flags=1), EINVAL, FULL, None, (VALUE,)),
    "dynptr write": Case(dynptr(WRITE.format(28, 4, 0) + "; r1 = map_value[idx:0][0]; r2 = *(u8 *)(r1 + 31); r0 += r2"), 0x11, FULL, None, (VALUE,)),
    "dynptr write past": Case(dynptr(WRITE.format(29, 4, 1)), E2BIG, FULL, None, (VALUE,)),
    "dynptr write flags": Case(dynptr(WRITE.format(0, 4, 1)), EINVAL, FULL, None, (VALUE,)),
    "dynptr data": Case(dynptr("r1 = r10; r1 += -16; r2 = 8; r3 = 8; call 203; if r0 == 0 goto +2; *(u64 *)(r0 + 0) = 7; r0 = 1"), 1, maps=(VALUE,)),
    "dynptr data past": Case(dynptr("r1 = r10; r1 += -16; r2 = 28; r3 = 8; call 203"), 0, maps=(VALUE,)),
    "record": Case(record(8, WRITE.format(0, 8, 0) + "; "), 0, FULL, None, (RING,)),
    "record discarded": Case(record(8, end=200), 0, maps=(RING,)),
    "record flags": Case(record(8, flags=1), EINVAL, maps=(RING,)),
    "record too large": Case(record(4096), EINVAL, maps=(RING,)),
    "record far too large": Case(record(1 << 24), E2BIG, maps=(RING,)),
    "drain": Case(
        f"{DRAIN.format(0)}; f: {TAKE}; r0 = 0", 3, b"", 13, (USER_RING,), here=WORLDS, world=RECORDS),
    "drain until it has enough": Case(f"{DRAIN.format(3)}; f: {TAKE}; r0 = 1", 1, b"", 4, (USER_RING,), here=WORLDS, world=RECORDS),
    "drain with flags": Case(f"{DRAIN.format(4)}; f: r0 = 0", EINVAL, b"", 0, (USER_RING,), here=WORLDS, world=RECORDS),
    "drain of nothing": Case(f"{DRAIN.format(0)}; f: r0 = 0", 0, b"", 0, (USER_RING,), here=WORLDS),
    "drain in drain": Case(
        f"{DRAIN.format(0)}; f: r8 = r2; r1 = map[idx:0]; r2 = func[g]; r3 = 0; r4 = 0; call 209; *(u64 *)(r8 + 0) = r0; r0 = 1; exit; g: r0 = 0",
        1, b"", EBUSY, (USER_RING,), here=WORLDS, world=RECORDS),
    "drain twice": Case(
        f"r1 = map[idx:0]; r2 = func[g]; r3 = 0; r4 = 0; call 209; {DRAIN.format(0)}; f: {TAKE}; r0 = 0; exit; g: r0 = 1",
        2, b"", 9, (USER_RING,), here=WORLDS, world=RECORDS),
    "each of an array": Case(f"{EACH.format(0)}; f: {ADD}; r0 = 0", 4, b"", 0x0123, (ARRAY,)),
    "each until it has enough": Case(f"{EACH.format(0)}; f: {ADD}; r0 = *(u32 *)(r2 + 0); if r0 < 2 goto +2; r0 = 1; exit; r0 = 0", 3, b"", 0x012, (ARRAY,)),
    "each with flags": Case(f"{EACH.format(1)}; f: r0 = 0", EINVAL, b"", bytes(8), (ARRAY,)),
    "each of a hash": Case(
        f"{FILL}{EACH.format(0)}; f: {ADD}; r0 = 0", 3, b"", 0x369, (Map("hash", "hash", 4, 8, 8),), here=ORDER),
    "sum of a hash": Case(f"{FILL}{EACH.format(0)}; f: {SUM}; r0 = 0", 3, b"", 18, (Map("hash", "hash", 4, 8, 8),)),
    "sum of an LRU hash": Case(
        f"{FILL}{EACH.format(0)}; f: {SUM}; r0 = 0", 3, b"", 18, (Map("hash", "lru_hash", 4, 8, 8),)),
    "each deleted": Case(
        f"{FILL}{EACH.format(0)}; f: {ADD}; r1 = map[idx:0]; *(u32 *)(r10 - 4) = 2; r2 = r10; r2 += -4; call 3; r0 = 0", 2, b"", 0x39,
        (Map("hash", "lru_hash", 4, 8, 8),), here=ORDER),
    "each of a value a CPU": Case(
        f"{FILL}{EACH.format(0)}; f: {SUM}; r0 = 0", 3, b"", 18, (Map("hash", "percpu_hash", 4, 8, 8),)),
    "each in each": Case(
        f"{EACH.format(0)}; f: r1 = map[idx:0]; r6 = r2; r7 = r4; r2 = func[g]; r3 = r4; r4 = 0; call 164; r1 = *(u32 *)(r6 + 0); "
        "r2 = *(u64 *)(r7 + 0); r2 += r1; *(u64 *)(r7 + 0) = r2; r0 = 0; exit; g: r5 = *(u32 *)(r2 + 0); r6 = *(u64 *)(r4 + 0); r6 += r5; *(u64 *)(r4 + 0) = r6; r0 = 0",
        4, b"", 4 * 6 + 6, (ARRAY,)),
}  # fmt: skip

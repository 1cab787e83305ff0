"""Helpers against what the kernel's documentation and the RFCs say of them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.plan import PAGE, Region
from bpf.spec.helpers import KERNEL, SUITE
from tests.strategies import WORDS
from vm.helpers import Exit, Place, implementation
from vm.helpers.text import formatted
from vm.memory import Cell, Memory, OutOfReach
from vm.world import World

M64 = (1 << 64) - 1
EINVAL = -22 & M64
BASE = 0x4000


def place(data: bytes = b"", order: str = "little", **world: object) -> Place:
    """One page of memory at BASE that starts with the data."""
    memory = Memory([Cell(Region("memory", BASE, PAGE), data.ljust(PAGE, b"\xee"))])
    return Place(World(**world), memory, order)  # type: ignore[arg-type]


def call(where: Place, name: str, *arguments: int) -> int | Exit:
    """The helper's result, as R0 has it."""
    found = implementation(name)(where, [*arguments, *[0] * (5 - len(arguments))])
    assert isinstance(found, int | Exit)
    return found & M64 if isinstance(found, int) else found


def test_every_helper_has_an_implementation() -> None:
    for helper in (*KERNEL.values(), *SUITE.values()):
        assert helper.inline or callable(implementation(helper.name))


@pytest.mark.parametrize(
    ("text", "numbers", "line"),
    [
        ("plain", [], "plain"),
        ("", [], ""),
        ("%d", [5], "5"),
        ("%d", [0xFFFF_FFFF], "-1"),
        ("%d", [1 << 32], "0"),
        ("%i", [0x8000_0000], "-2147483648"),
        ("%u", [M64], "4294967295"),
        ("%x", [M64], "ffffffff"),
        ("%ld", [M64], "-1"),
        ("%lld", [1 << 63], "-9223372036854775808"),
        ("%lu", [M64], "18446744073709551615"),
        ("%llu", [M64], "18446744073709551615"),
        ("%lx", [0xABC << 40], "abc0000000000"),
        ("%llx", [1], "1"),
        ("%p", [0x1234], "0000000000001234"),
        ("%c%c", [0x141, 66], "AB"),
        ("100%%", [], "100%"),
        ("%%d %d", [3], "%d 3"),
        ("a %d b %u c %x", [1, 2, 3], "a 1 b 2 c 3"),
        ("%5d|%-5d|%05d|%+d|% d", [7, 7, 7, 7, 7], "    7|7    |00007|+7| 7"),
        ("%05d|%-05d|%+5d", [M64, M64, 3], "-0001|-1   |   +3"),
        ("%X|%8llx|%08x", [0xAB, 0xAB, 0xAB], "AB|      ab|000000ab"),
        ("%px|%pK|%p|%20p", [1, 2, 3, 4], f"{1:016x}|{2:016x}|{3:016x}|{4:20x}"),
        ("%s|%7s|%-7s|", [BASE] * 3, "text|   text|text   |"),
        ("%pks %pus", [BASE, BASE], "text text"),
        ("%s|%s", [0, 8], "|"),
        ("%pI4 %pi4", [BASE, BASE], "116.101.120.116 116.101.120.116"),
        ("%pI6", [BASE], "7465:7874:00ee:eeee:eeee:eeee:eeee:eeee"),
        ("%pi6", [BASE], "7465787400eeeeeeeeeeeeeeeeeeeeee"),
        ("%pI4", [0], "0.0.0.0"),
        ("%ps %pS %pB %pS", [0x1000, 0x1000, 0x1000, 0x2000], "start start+0x0 start+0x0 0x2000"),
        ("%3c|%-3c|", [65, 66], "  A|B  |"),
        ("%d", [], None),
        ("%pq", [1], None),
        ("%pI5", [1], None),
        ("%sx", [BASE], None),
        ("%.3s", [BASE], None),
        ("%hd", [1], None),
        ("%d %d %d %d", [1, 2, 3], None),
        ("%", [1], None),
        ("%l", [1], None),
        ("%llld", [1], None),
        ("%q", [1], None),
        ("%f", [1], None),
    ],
)
def test_printk_conversions(text: str, numbers: list[int], line: str | None) -> None:
    found = formatted(place(b"text\0", symbols={"start": 0x1000}), text.encode(), numbers)
    assert found == (-22 if line is None else line.encode())


def test_arguments_have_512_bytes() -> None:
    """Strings are cut to what is left, and nothing fits any more behind them."""
    where = place(b"x" * 600 + b"\0")
    assert formatted(where, b"%s", [BASE]) == b"x" * 511
    assert formatted(where, b"%s%d", [BASE, 1]) == -28
    assert formatted(where, b"%s%s", [BASE, BASE]) == -28


@given(WORDS)
def test_printk_numbers(value: int) -> None:
    """The three sizes, both signs, both bases."""
    signed64, signed32 = value - (value >> 63 << 64), (value & 0xFFFF_FFFF) - ((value >> 31 & 1) << 32)
    assert formatted(place(), b"%lld %d", [value, value]) == f"{signed64} {signed32}".encode()
    assert formatted(place(), b"%llx %x", [value, value]) == f"{value:x} {value & 0xFFFF_FFFF:x}".encode()
    assert formatted(place(), b"%llu %u", [value, value]) == f"{value} {value & 0xFFFF_FFFF}".encode()


def test_trace_printk() -> None:
    where = place(b"n = %d\n\0rest")
    assert call(where, "trace_printk", BASE, 8, 7) == len("n = 7\n")
    assert where.world.printed == ["n = 7"]
    assert call(where, "trace_printk", BASE, 12, 7) == len("n = 7\n"), "what stands behind the zero does not count"


@pytest.mark.parametrize("text", [b"no end", b"%q\0", b"bell \a\0", b"\xc3\xa4\0"])
def test_trace_printk_refuses(text: bytes) -> None:
    """As the kernel does: no zero within the size, an unknown conversion, characters that cannot be printed."""
    where = place(text)
    assert call(where, "trace_printk", BASE, len(text), 7) == EINVAL
    assert not where.world.printed


def test_trace_printk_reads_its_format() -> None:
    with pytest.raises(OutOfReach):
        call(place(), "trace_printk", BASE + PAGE - 2, 4)


@pytest.mark.parametrize(
    ("comm", "size", "written"),
    [
        (b"name", 16, b"name".ljust(16, b"\0")),
        (b"name", 5, b"name\0"),
        (b"name", 3, b"na\0"),
        (b"name", 1, b"\0"),
        (b"", 4, bytes(4)),
        (b"a name of many letters", 16, b"a name of many \0"),
        (b"a name of many letters", 20, b"a name of many \0" + bytes(4)),
    ],
)
def test_comm(comm: bytes, size: int, written: bytes) -> None:
    """Cut to 15 letters, always with a zero behind them, zeros to the end of the buffer and nothing beyond."""
    where = place(comm=comm)
    assert call(where, "get_current_comm", BASE, size) == 0
    assert where.memory.read(BASE, size + 1) == written + b"\xee"


def test_comm_of_no_size() -> None:
    assert call(place(), "get_current_comm", BASE, 0) == EINVAL


def ones_complement(data: bytes, order: str) -> int:
    """The 16-bit one's complement sum of RFC 1071, section 1."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"{'>' if order == 'big' else '<'}{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def folded(value: int) -> int:
    """32 bits to 16, as csum_fold does before it complements; both zeros of one's complement are one."""
    value = (value & 0xFFFF) + (value >> 16)
    return ((value & 0xFFFF) + (value >> 16)) % 0xFFFF


DATA = st.binary(max_size=200)


@given(old=DATA, new=DATA, seed=st.integers(0, 0xFFFF_FFFF), order=st.sampled_from(["little", "big"]))
def test_csum_diff(old: bytes, new: bytes, seed: int, order: str) -> None:
    """seed - old + new in one's complement, in 16 bits."""
    result = call(place(old + new, order), "csum_diff", BASE, len(old), BASE + len(old), len(new), seed)
    assert isinstance(result, int)
    assert result < 1 << 16
    assert result % 0xFFFF == (folded(seed) - ones_complement(old, order) + ones_complement(new, order)) % 0xFFFF


def test_csum_diff_of_more_than_a_page() -> None:
    """Linux before 6.13 took 512 bytes at most."""
    assert call(place(bytes(4000) + b"\x01\x02"), "csum_diff", 0, 0, BASE, 4002, 0) == 0x0201


def test_csum_diff_of_nothing_reads_nothing() -> None:
    assert call(place(), "csum_diff", 0, 0, 0, 0, 77) == 77


@given(WORDS, WORDS)
def test_clock(clock: int, tick: int) -> None:
    where = place(clock=clock, tick=tick)
    assert call(where, "ktime_get_ns") == (clock + tick) & M64
    assert call(where, "ktime_get_boot_ns") == (clock + 2 * tick) & M64


def test_random_is_splitmix64() -> None:
    """The first numbers of the public algorithm from state 0, their lower halves."""
    where = place(random=0)
    full = (0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F)
    assert [call(where, "get_prandom_u32") for _ in full] == [number & 0xFFFF_FFFF for number in full]


def test_the_task() -> None:
    where = place(cpu=3, pid_tgid=7 << 32 | 8, uid_gid=9 << 32 | 10)
    names = ("get_smp_processor_id", "get_current_pid_tgid", "get_current_uid_gid")
    assert [call(where, name) for name in names] == [3, 7 << 32 | 8, 9 << 32 | 10]


def test_unwind() -> None:
    assert call(place(), "unwind", 5) == 5
    assert call(place(), "unwind", 0) == Exit(0)


def headers(version: int, sequence: int, acknowledged: int, options: bytes = b"", size: int | None = None) -> bytes:
    """An IP header of 40 bytes and a TCP header."""
    ip = bytes(range(40))
    length = (20 + len(options)) // 4 if size is None else size
    return ip + struct.pack(">HHIIBB6x", 1234, 80, sequence, acknowledged, length << 4, 2) + options


MSS = b"\x01\x02\x04"  # a NOP, then kind 2 of 4 bytes


@pytest.mark.parametrize("version", [4, 6])
@given(sequence=st.integers(0, 0xFFFF_FFFF), later=st.integers(0, 200), other=st.integers(0, 0xFFFF_FFFF))
def test_syn_cookies(version: int, sequence: int, later: int, other: int) -> None:
    """An answer is good for two minutes that have begun, to the number that was sent and the port it came from."""
    where = place(headers(version, sequence, 0), clock=59_000_000_000, tick=0)
    found = call(where, f"tcp_raw_gen_syncookie_ipv{version}", BASE, BASE + 40, 20)
    assert isinstance(found, int)
    cookie, size = found & 0xFFFF_FFFF, found >> 32
    assert size == {4: 536, 6: 1220}[version]
    answer = headers(version, sequence + 1 & 0xFFFF_FFFF, cookie + 1 & 0xFFFF_FFFF)
    where.memory.write(BASE, answer)
    where.world.clock += later * 1_000_000_000
    good = call(where, f"tcp_raw_check_syncookie_ipv{version}", BASE, BASE + 40) == 0
    assert good == (later < 61)
    where.memory.write(BASE + 40, b"\xff")
    assert call(where, f"tcp_raw_check_syncookie_ipv{version}", BASE, BASE + 40) == -13 & M64


@pytest.mark.parametrize(
    ("options", "version", "size"),
    [
        (MSS + b"\x05\xb4\0\0\0", 4, 1460),
        (MSS + b"\x05\x14\0\0\0", 4, 1300),
        (MSS + b"\x00\x01\0\0\0", 4, 536),
        (MSS + b"\x23\x28\0\0\0", 6, 8940 if 0x2328 >= 8940 else 1440),
        (b"\x02\x01\x05\xb4", 4, 536),
        (b"\x03\x03\x07\x00", 4, 536),
        (b"\x01\x01\x01\x02", 4, 536),
    ],
)
def test_segments_of_syn_cookies(options: bytes, version: int, size: int) -> None:
    where = place(headers(version, 1, 0, options))
    found = call(where, f"tcp_raw_gen_syncookie_ipv{version}", BASE, BASE + 40, 20 + len(options))
    assert isinstance(found, int)
    assert found >> 32 == size


@pytest.mark.parametrize(("size", "said"), [(19, 5), (20, 6), (24, 5)])
def test_syn_cookies_of_wrong_headers(size: int, said: int) -> None:
    where = place(headers(4, 1, 0, size=said))
    assert call(where, "tcp_raw_gen_syncookie_ipv4", BASE, BASE + 40, size) == EINVAL

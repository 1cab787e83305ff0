"""SYN cookies from raw headers: sequence numbers that say what a connection began with, made as Linux makes them.

Linux hashes with a secret that it draws at boot, so its numbers are one machine's; here the hash is a fixed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2s

from bpf.spec.errno import EACCES, EINVAL
from vm.helpers.base import Place
from vm.helpers.clocks import reading

M32 = (1 << 32) - 1
BITS = 24  # COOKIEBITS: below the minutes
MASK = (1 << BITS) - 1
MINUTE = 60_000_000_000
AGES = 2  # MAX_SYNCOOKIE_AGE: minutes that a cookie is good for
TCP = 20  # bytes of a header without options
MSS_DEFAULT = 536
SIZES = {4: (536, 1300, 1440, 1460), 6: (1220, 1420, 1440, 8940)}  # the sizes of a segment that a cookie can say


def _hash(flow: bytes, count: int, which: int) -> int:
    data = flow + count.to_bytes(4, "big")
    return int.from_bytes(blake2s(data, digest_size=4, salt=bytes((which,))).digest(), "big")


def _flow(place: Place, ip: int, tcp: bytes, version: int) -> bytes:
    """What names a connection: its addresses and ports."""
    start, size = (12, 8) if version == 4 else (8, 32)
    return place.memory.read(ip + start, size) + tcp[:4]


def _option(tcp: bytes) -> int:
    """The greatest segment that the options of a header allow; 0 where they do not say."""
    at = TCP
    while at < len(tcp) and tcp[at]:
        if tcp[at] == 1:
            at += 1
            continue
        size = tcp[at + 1] if at + 1 < len(tcp) else 0
        if size < 2 or at + size > len(tcp):
            break
        if tcp[at] == 2 and size == 4:
            return int.from_bytes(tcp[at + 2 : at + 4], "big")
        at += size
    return 0


def generate(place: Place, arguments: Sequence[int], version: int) -> int:
    ip, address, size = arguments[0], arguments[1], arguments[2] & M32
    if size < TCP:
        return -EINVAL
    tcp = place.memory.read(address, size)
    if size != 4 * (tcp[12] >> 4):
        return -EINVAL
    wanted, sizes = _option(tcp) or MSS_DEFAULT, SIZES[version]
    index = max((number for number, one in enumerate(sizes) if one <= wanted), default=0)
    flow, sequence, count = _flow(place, ip, tcp, version), int.from_bytes(tcp[4:8], "big"), reading(place) // MINUTE
    cookie = _hash(flow, 0, 0) + sequence + (count << BITS) + (_hash(flow, count & M32, 1) + index & MASK)
    return cookie & M32 | sizes[index] << 32


def check(place: Place, arguments: Sequence[int], version: int) -> int:
    ip, tcp = arguments[0], place.memory.read(arguments[1], TCP)
    flow, count = _flow(place, ip, tcp, version), reading(place) // MINUTE
    sequence, cookie = int.from_bytes(tcp[4:8], "big") - 1, int.from_bytes(tcp[8:12], "big") - 1
    cookie = cookie - _hash(flow, 0, 0) - sequence & M32
    age = count - (cookie >> BITS) & 0xFF
    if age >= AGES:
        return -EACCES
    return 0 if (cookie - _hash(flow, count - age & M32, 1) & MASK) < len(SIZES[version]) else -EACCES


def tcp_raw_gen_syncookie_ipv4(place: Place, arguments: Sequence[int]) -> int:
    """The cookie for the SYN with IPv4 header R1 and the TCP header of R3 bytes at R2, and << 32 the segment size."""
    return generate(place, arguments, 4)


def tcp_raw_gen_syncookie_ipv6(place: Place, arguments: Sequence[int]) -> int:
    """As tcp_raw_gen_syncookie_ipv4."""
    return generate(place, arguments, 6)


def tcp_raw_check_syncookie_ipv4(place: Place, arguments: Sequence[int]) -> int:
    """0 if the ACK with IPv4 header R1 and TCP header R2 answers a cookie of the last two minutes."""
    return check(place, arguments, 4)


def tcp_raw_check_syncookie_ipv6(place: Place, arguments: Sequence[int]) -> int:
    """As tcp_raw_check_syncookie_ipv4."""
    return check(place, arguments, 6)

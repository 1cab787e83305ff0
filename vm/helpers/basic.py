"""Time, randomness, the current task, printing, checksums, and the conformance suite's unwind."""

from __future__ import annotations

from collections.abc import Sequence

from vm.helpers.base import Exit, Place

M64 = (1 << 64) - 1
EINVAL, E2BIG = -22, -7
COMM_SIZE = 16  # TASK_COMM_LEN
CSUM_DIFF_LIMIT = 512


def ktime_get_ns(place: Place, arguments: Sequence[int]) -> int:
    """Nanoseconds since boot: the world's clock, which moves on by one tick a reading."""
    place.world.clock = (place.world.clock + place.world.tick) & M64
    return place.world.clock


def get_prandom_u32(place: Place, arguments: Sequence[int]) -> int:
    """32 bits of the world's random stream (splitmix64)."""
    place.world.random = (place.world.random + 0x9E37_79B9_7F4A_7C15) & M64
    z = place.world.random
    z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & M64
    return (z ^ (z >> 31)) & 0xFFFF_FFFF


def get_smp_processor_id(place: Place, arguments: Sequence[int]) -> int:
    """The CPU number."""
    return place.world.cpu


def get_current_pid_tgid(place: Place, arguments: Sequence[int]) -> int:
    """tgid << 32 | pid."""
    return place.world.pid_tgid


def get_current_uid_gid(place: Place, arguments: Sequence[int]) -> int:
    """gid << 32 | uid."""
    return place.world.uid_gid


def get_current_comm(place: Place, arguments: Sequence[int]) -> int:
    """Write the task's name, cut and zero-padded to R2 bytes, to R1."""
    address, size = arguments[0], arguments[1] & 0xFFFF_FFFF
    if not size:
        return EINVAL & M64
    name = place.world.comm[: min(size, COMM_SIZE) - 1]
    place.memory.write(address, name.ljust(size, b"\0"))
    return 0


def trace_printk(place: Place, arguments: Sequence[int]) -> int:
    """Format R3-R5 by the string of R2 bytes at R1; the line goes to World.printed. Returns its length.

    -EINVAL, as in the kernel, for a string without a zero at its end, with characters that cannot be printed, or with
    other conversions than format_printk's.
    """
    address, size = arguments[0], arguments[1] & 0xFFFF_FFFF
    text, zero, _ = place.memory.read(address, size).partition(b"\0")
    printable = all(0x20 <= byte < 0x7F or 0x09 <= byte <= 0x0D for byte in text)
    line = format_printk(text.decode("ascii"), list(arguments[2:5])) if zero and printable else None
    if line is None:
        return EINVAL & M64
    place.world.printed.append(line.rstrip("\n"))
    return len(line)


def format_printk(text: str, numbers: list[int]) -> str | None:
    """The line; None for other conversions than %d %i %u %x, %ld %lu %lx, %lld %llu %llx, %p %c, or more than three."""
    out = []
    rest = iter(numbers)
    at = 0
    while at < len(text):
        if text[at] != "%":
            out.append(text[at])
            at += 1
            continue
        at += 1
        if text[at : at + 1] == "%":
            out.append("%")
            at += 1
            continue
        longs = 0
        while text[at : at + 1] == "l":
            longs += 1
            at += 1
        conversion = text[at : at + 1]
        at += 1
        number = next(rest, None)
        if number is None or not conversion or conversion not in "diuxpc" or longs > 2:
            return None
        bits = 64 if longs or conversion == "p" else 32
        number &= (1 << bits) - 1
        if conversion in "di":
            out.append(str(number - (1 << bits) if number >> (bits - 1) else number))
        elif conversion == "u":
            out.append(str(number))
        elif conversion == "c":
            out.append(chr(number & 0xFF))
        else:
            out.append(f"{number:016x}" if conversion == "p" else f"{number:x}")
    return "".join(out)


def csum_diff(place: Place, arguments: Sequence[int]) -> int:
    """Checksum difference of two buffers (RFC 1624): 32-bit one's complement sum of seed, ~from and to."""
    from_address, from_size, to_address, to_size, seed = arguments
    from_size &= 0xFFFF_FFFF
    to_size &= 0xFFFF_FFFF
    if (from_size | to_size) & 3 or from_size + to_size > CSUM_DIFF_LIMIT:
        return EINVAL & M64
    total = seed & 0xFFFF_FFFF
    order = "big" if place.order == "big" else "little"
    for address, size, flip in ((from_address, from_size, 0xFFFF_FFFF), (to_address, to_size, 0)):
        data = place.memory.read(address, size) if size else b""
        for at in range(0, size, 4):
            total += int.from_bytes(data[at : at + 4], order) ^ flip  # type: ignore[arg-type]
            total = (total & 0xFFFF_FFFF) + (total >> 32)
    return total


def unwind(place: Place, arguments: Sequence[int]) -> int | Exit:
    """The conformance suite's helper 5: returns R1, but 0 ends the whole run with R0 = 0."""
    return arguments[0] or Exit(0)

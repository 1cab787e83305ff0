"""Printing and text: Linux's one formatter for all helpers that print, and numbers read from strings."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EINVAL, ENOSPC, ERANGE
from vm.helpers.base import Place
from vm.helpers.probe import kernel_bytes, kernel_string

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1
PRINTK_NUMBERS = 3  # MAX_TRACE_PRINTK_VARARGS
MAX_NUMBERS = 12  # MAX_BPRINTF_VARARGS
ROOM = 512  # MAX_BPRINTF_BIN_ARGS: what arguments may take before they are printed
LINE = 1024  # MAX_BPRINTF_BUF
_SPACE = b"\t\n\v\f\r "
_ENDS = (*b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", *_SPACE, 0)  # what may follow %p and %s


class _Wrong(Exception):
    """The format or the arguments are refused with this errno."""

    def __init__(self, errno: int) -> None:
        super().__init__()
        self.errno = errno


class _Format:
    """A format being printed. used: bytes that its arguments take in Linux's buffer, of which there are ROOM."""

    def __init__(self, place: Place, text: bytes, numbers: Sequence[int]) -> None:
        self.place = place
        self.text = text + bytes(3)
        self.numbers = list(numbers)
        self.used = 0

    def run(self) -> bytes:
        out = bytearray()
        at, end = 0, len(self.text) - 3
        if any(not (0x20 <= byte < 0x7F or byte in _SPACE) for byte in self.text[:end]):
            raise _Wrong(-EINVAL)
        while at < end:
            if self.text[at] != ord("%"):
                out.append(self.text[at])
                at += 1
            elif self.text[at + 1] == ord("%"):
                out += b"%"
                at += 2
            else:
                printed, at = self.conversion(at + 1)
                out += printed
        return bytes(out)

    def conversion(self, at: int) -> tuple[bytes, int]:
        """What a conversion prints, and where it ends."""
        if not self.numbers:
            raise _Wrong(-EINVAL)
        text, number, start = self.text, self.numbers.pop(0), at
        while text[at] in b"0+- ":
            at += 1
        flags, start = text[start:at], at
        if text[at] in b"123456789":
            while text[at] in b"0123456789":
                at += 1
        width = int(text[start:at] or b"0")
        if text[at] == ord("p"):
            return self.pointer(at + 1, number, flags, width)
        if text[at] == ord("s"):
            return self.string(at + 1, number, flags, width)
        if text[at] == ord("c"):
            self.take(1)
            return _wide(bytes((number & 0xFF,)), flags, width), at + 1
        longs = 0
        while longs < 2 and text[at] == ord("l"):
            longs, at = longs + 1, at + 1
        if text[at] not in b"diuxX":
            raise _Wrong(-EINVAL)
        self.used = self.used + 3 & -4
        self.take(8 if longs else 4)
        return _number(number, 64 if longs else 32, chr(text[at]), flags, width), at + 1

    def take(self, size: int) -> None:
        if self.used + size > ROOM:
            raise _Wrong(-ENOSPC)
        self.used += size

    def string(self, at: int, address: int, flags: bytes, width: int) -> tuple[bytes, int]:
        if self.text[at] not in _ENDS:
            raise _Wrong(-EINVAL)
        if self.used >= ROOM:
            raise _Wrong(-ENOSPC)
        found = kernel_string(self.place, address, ROOM - self.used)
        found = b"\0" if isinstance(found, int) else found
        self.used += len(found)
        return _wide(found[:-1], flags, width), at

    def pointer(self, at: int, number: int, flags: bytes, width: int) -> tuple[bytes, int]:
        kind, after = chr(self.text[at]), chr(self.text[at + 1])
        if kind in "ku" and after == "s":
            return self.string(at + 2, number, flags, width)
        if self.text[at] in _ENDS or kind in "KxsS":
            self.used = self.used + 3 & -4
            self.take(8)
            at += self.text[at] not in _ENDS
            if kind in "sS":
                return _wide(self.symbol(number, offset=kind == "S"), flags, width), at
            # Linux prints a hash of a pointer for %p and %pK, so that no program learns it. Here it is the pointer.
            digits = f"{number:x}".encode()
            return _number(number, 64, "x", flags, width) if width else digits.rjust(16, b"0"), at
        if kind == "B":
            shown = self.symbol(number, offset=True)
            self.take(len(shown) + 1)
            return shown, at + 1
        if kind not in "iI" or after not in "46":
            raise _Wrong(-EINVAL)
        shown = self.address(number, kind, 4 if after == "4" else 16)
        self.take(len(shown) + 1)
        return shown, at + 2

    def symbol(self, number: int, *, offset: bool) -> bytes:
        """The symbol that starts there, as far as the world knows it; else the number."""
        name = next((name for name, address in self.place.world.symbols.items() if address == number), "")
        return (f"{name}+0x0" if offset else name).encode() if name else f"0x{number:x}".encode()

    def address(self, number: int, kind: str, size: int) -> bytes:
        """An IP address in memory; zeros where that cannot be read."""
        found = kernel_bytes(self.place, number, size)
        data = bytes(size) if isinstance(found, int) else found
        if size == 4:
            return ".".join(f"{byte:03}" if kind == "i" else str(byte) for byte in data).encode()
        groups = [data[at : at + 2].hex() for at in range(0, size, 2)]
        return (":" if kind == "I" else "").join(groups).encode()


def _wide(text: bytes, flags: bytes, width: int) -> bytes:
    return text.ljust(width) if b"-" in flags else text.rjust(width)


def _number(number: int, bits: int, kind: str, flags: bytes, width: int) -> bytes:
    number &= (1 << bits) - 1
    sign = ""
    if kind in "di":
        if number >> (bits - 1):
            sign, number = "-", (1 << bits) - number
        else:
            sign = "+" if b"+" in flags else " " if b" " in flags else ""
    digits = f"{number:{kind}}" if kind in "xX" else str(number)
    if b"0" in flags and b"-" not in flags:
        digits = digits.rjust(width - len(sign), "0")
    return _wide((sign + digits).encode(), flags, width)


def formatted(place: Place, text: bytes, numbers: Sequence[int]) -> bytes | int:
    """The text with its conversions carried out, or a negative errno (bpf_bprintf_prepare and bstr_printf of Linux).

    %d %i %u %x %X with l and ll, %c, %s %pks %pus, %p %px %pK, %ps %pS %pB, %pi4 %pI4 %pi6 %pI6, %%; flags 0, +, - and
    space, and a width. -EINVAL for others, for characters that cannot be printed, and for too few numbers.
    """
    try:
        return _Format(place, text, numbers).run()
    except _Wrong as wrong:
        return wrong.errno


def _format_at(place: Place, address: int, size: int) -> bytes | None:
    """The format of so many bytes; None where there is no zero in it."""
    text, zero, _ = place.memory.read(address, size).partition(b"\0")
    return text if zero else None


def _numbers(place: Place, address: int, size: int) -> list[int] | int:
    if size % 8 or size > 8 * MAX_NUMBERS or (size and not address):
        return -EINVAL
    data = place.memory.read(address, size) if size else b""
    return [int.from_bytes(data[at : at + 8], place.order) for at in range(0, size, 8)]


def line_of(place: Place, address: int, size: int, data: int, data_size: int) -> bytes | int:
    """Numbers in `data_size` bytes formatted by a string of `size` bytes, or a negative errno."""
    numbers, text = _numbers(place, data, data_size), _format_at(place, address, size)
    if isinstance(numbers, int) or text is None:
        return numbers if isinstance(numbers, int) else -EINVAL
    return formatted(place, text, numbers)


def _print(place: Place, text: bytes | None, numbers: Sequence[int]) -> int:
    line = -EINVAL if text is None else formatted(place, text, numbers)
    if isinstance(line, int):
        return line
    place.world.printed.append(line[: LINE - 1].decode("latin-1").rstrip("\n"))
    return len(line)


def trace_printk(place: Place, arguments: Sequence[int]) -> int:
    """Format R3-R5 by the string of R2 bytes at R1; the line goes to World.printed. Returns its length."""
    return _print(place, _format_at(place, arguments[0], arguments[1] & M32), arguments[2:5])


def trace_vprintk(place: Place, arguments: Sequence[int]) -> int:
    """As trace_printk, with the numbers in R4 bytes at R3."""
    numbers = _numbers(place, arguments[2], arguments[3] & M32)
    if isinstance(numbers, int):
        return numbers
    return _print(place, _format_at(place, arguments[0], arguments[1] & M32), numbers)


def snprintf(place: Place, arguments: Sequence[int]) -> int:
    """Format R5 bytes of numbers at R4 by the string at R3 into R2 bytes at R1; the length needed, with its zero."""
    to, size, address, data, data_size = arguments
    numbers = _numbers(place, data, data_size & M32)
    if isinstance(numbers, int):
        return numbers
    text = bytearray()
    while byte := place.memory.read(address + len(text) & M64, 1)[0]:
        text.append(byte)
    line = formatted(place, bytes(text), numbers)
    if isinstance(line, int):
        return line
    size &= M32
    if size:
        place.memory.write(to, line[: size - 1] + b"\0")
    return len(line) + 1


# Reading -----------------------------------------------------------------------------------------

_DIGITS = {digit: int(chr(digit), 16) for digit in b"0123456789abcdefABCDEF"}
_READ = 63  # bytes of a number that Linux looks at
_WHITE = (*_SPACE, 0xA0)  # Linux's isspace() knows Latin-1


def _parse(text: bytes, flags: int) -> tuple[int, bool, int] | int:
    """The number, whether there is a minus, how many bytes they take; or an errno."""
    base = flags & 0x1F
    if not text or base not in (0, 8, 10, 16) or flags & ~0x1F:
        return -EINVAL
    at = 0
    while at < len(text) and text[at] in _WHITE:
        at += 1
    negative = text[at : at + 1] == b"-"
    at += negative
    digits, skipped = text[at : at + _READ], 0
    prefix = digits[:2].lower() == b"0x"
    if base == 0:
        base = 10 if digits[:1] != b"0" else 16 if prefix and digits[2:3] and digits[2] in _DIGITS else 8
    if base == 16 and prefix:
        skipped = 2
    number, end = 0, skipped
    while end < len(digits) and _DIGITS.get(digits[end], 16) < base:
        number = number * base + _DIGITS[digits[end]]
        end += 1
    if number > M64:
        return -ERANGE
    return -EINVAL if end == skipped else (number, negative, at + end)


def _read_number(place: Place, arguments: Sequence[int], *, signed: bool) -> int:
    address, size, flags, to = arguments[:4]
    place.memory.write(to, bytes(8))
    found = _parse(place.memory.read(address, size), flags)
    if isinstance(found, int):
        return found
    number, negative, length = found
    if not signed and negative:
        return -EINVAL
    if signed and number > (1 << 63) - (not negative):
        return -ERANGE
    value = -number if negative else number
    place.memory.write(to, (value & M64).to_bytes(8, place.order))
    return length


def strtol(place: Place, arguments: Sequence[int]) -> int:
    """Read a signed number from R2 bytes at R1 to R4. R3: its base, 0 for any. Returns the bytes that it takes."""
    return _read_number(place, arguments, signed=True)


def strtoul(place: Place, arguments: Sequence[int]) -> int:
    """As strtol, an unsigned number."""
    return _read_number(place, arguments, signed=False)


def strncmp(place: Place, arguments: Sequence[int]) -> int:
    """Compare the strings at R1, at most R2 bytes, and R3: -1, 0 or 1."""
    one, size, other = arguments[0], arguments[1] & M32, arguments[2]
    for at in range(size):
        a, b = (place.memory.read(start + at & M64, 1)[0] for start in (one, other))
        if a != b:
            return -1 if a < b else 1
        if not a:
            break
    return 0

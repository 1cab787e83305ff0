"""Kernel functions on strings of the kernel's memory (kernel/bpf/helpers.c of Linux 6.18).

A byte that cannot be read gives -ERANGE where a string starts in the user's half of addresses, else -EFAULT; a
string without an end -E2BIG. Characters have no sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bpf.spec.errno import E2BIG, EFAULT, ENOENT, ERANGE
from vm.helpers.base import Place
from vm.helpers.probe import kernel_bytes

M64 = (1 << 64) - 1
MOST = 1 << 16  # XATTR_SIZE_MAX


class _Failed(Exception):
    """A byte cannot be read, or there is no end. number: the errno."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _bytes(place: Place, address: int, most: int = MOST) -> Iterator[int]:
    """Bytes from an address on, each read when it is asked for. Raises _Failed."""
    for at in range(most):
        found = kernel_bytes(place, address + at & M64, 1)
        if isinstance(found, int):
            raise _Failed(-EFAULT if at else found)
        yield found[0]


def _starts(place: Place, *addresses: int) -> None:
    """Raise _Failed for an address that no string of the kernel's may have."""
    for address in addresses:
        if kernel_bytes(place, address, 1) == -ERANGE:
            raise _Failed(-ERANGE)


def _compare(place: Place, arguments: Sequence[int], fold: Callable[[int], int]) -> int:
    _starts(place, arguments[0], arguments[1])
    for a, b in zip(_bytes(place, arguments[0]), _bytes(place, arguments[1]), strict=True):
        if fold(a) != fold(b):
            return -1 if fold(a) < fold(b) else 1
        if not a:
            return 0
    return -E2BIG


def _lower(character: int) -> int:
    """As the kernel's tolower: Latin-1."""
    upper = 0x41 <= character <= 0x5A or (0xC0 <= character <= 0xDE and character != 0xD7)
    return character + 0x20 if upper else character


def _find(place: Place, address: int, character: int, most: int = MOST, missing: int | None = None) -> int:
    """Where a character is. missing: what is given where the string ends first; None: where that is."""
    _starts(place, address)
    for at, byte in enumerate(_bytes(place, address, min(most, MOST))):
        if byte == character:
            return at
        if not byte:
            return at if missing is None else missing
    return -E2BIG if most >= MOST else -ENOENT


def _length(place: Place, address: int, most: int) -> int:
    _starts(place, address)
    for at, byte in enumerate(_bytes(place, address, min(most, MOST))):
        if not byte:
            return at
    return -E2BIG if most >= MOST else most


def _last(place: Place, arguments: Sequence[int]) -> int:
    _starts(place, arguments[0])
    found, character = -ENOENT, arguments[1] & 0xFFFF_FFFF
    for at, byte in enumerate(_bytes(place, arguments[0])):
        if byte == character:
            found = at
        if not byte:
            return found
    return -E2BIG


def _span(place: Place, arguments: Sequence[int], *, inside: bool) -> int:
    """How many characters at the start of R1 are among those of R2, or are not."""
    _starts(place, arguments[0], arguments[1])
    for at, byte in enumerate(_bytes(place, arguments[0])):
        if not byte:
            return at
        among = False
        for other in _bytes(place, arguments[1]):
            among = byte == other
            if among or not other:
                break
        else:
            return -E2BIG
        if among != inside:
            return at
    return -E2BIG


def _search(place: Place, text: int, wanted: int, most: int) -> int:
    """Where the string `wanted` starts in the first `most` characters of `text`."""
    _starts(place, text, wanted)
    for start in range(MOST):
        at = 0
        for at, other in enumerate(_bytes(place, wanted)):
            if not other:
                return start
            if start + at >= most:
                return -ENOENT
            (byte,) = _bytes(place, text + start + at & M64, 1)
            if not byte:
                return -ENOENT
            if byte != other:
                break
        else:
            return -E2BIG
    return -E2BIG


Function = Callable[[Place, Sequence[int]], int]


def _kfunc(function: Function) -> Function:
    """The function with an errno where it fails; its result is a 32-bit number."""

    def call(place: Place, arguments: Sequence[int]) -> int:
        try:
            return function(place, arguments) & 0xFFFF_FFFF
        except _Failed as failed:
            return failed.number & 0xFFFF_FFFF

    return call


strcmp = _kfunc(lambda place, r: _compare(place, r, lambda character: character))
strcasecmp = _kfunc(lambda place, r: _compare(place, r, _lower))
strchr = _kfunc(lambda place, r: _find(place, r[0], r[1] & 0xFF, missing=-ENOENT))
strchrnul = _kfunc(lambda place, r: _find(place, r[0], r[1] & 0xFF))
strnchr = _kfunc(lambda place, r: _find(place, r[0], r[2] & 0xFF, r[1], missing=-ENOENT))
strrchr = _kfunc(_last)
strlen = _kfunc(lambda place, r: _length(place, r[0], MOST))
strnlen = _kfunc(lambda place, r: _length(place, r[0], r[1]))
strspn = _kfunc(lambda place, r: _span(place, r, inside=True))
strcspn = _kfunc(lambda place, r: _span(place, r, inside=False))
strstr = _kfunc(lambda place, r: _search(place, r[0], r[1], MOST))
strnstr = _kfunc(lambda place, r: _search(place, r[0], r[1], r[2]))

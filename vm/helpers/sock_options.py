"""Options of sockets, and what a cgroup's programs do to theirs: bind it, ask and say what a call returns.

What setsockopt sets is there until the run ends, in the region of vm/kept.py. Options have the value that was set; the
kernel would act on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bpf.plan import PAGE
from bpf.spec.errno import EAFNOSUPPORT, EINVAL, ENOSPC
from vm.helpers.base import Place
from vm.helpers.packet import M32, Buffer, signed32
from vm.helpers.sockets import own
from vm.kept import AF_INET, AF_INET6, RETVAL, SETTINGS, Kept, Part, address_of
from vm.network import Socket

SOL_IP, SOL_SOCKET, SOL_TCP, SOL_IPV6 = 0, 1, 6, 41
BUFFERS = frozenset({7, 8})  # SO_SNDBUF, SO_RCVBUF: twice what was asked for
PRIORITY, MARK, BIND_TO_DEVICE, PACING = 12, 36, 25, 47
CONGESTION, SAVED_SYN = 13, 28
NUMBERS = {
    SOL_SOCKET: frozenset({2, 7, 8, 9, PRIORITY, 15, 18, MARK, PACING, 62, 74}),
    SOL_IP: frozenset({1}),  # IP_TOS
    SOL_IPV6: frozenset({67, 70}),  # IPV6_TCLASS, IPV6_AUTOFLOWLABEL
    SOL_TCP: frozenset({1, 2, 4, 5, 6, 7, 10, 18, 25, 27, *range(1001, 1005), 1008}),
}
"""Options that are an int, by level."""

RECORD, VALUE = 56, 32
"""Bytes of a record of SETTINGS, and of the value at its end."""

CONGESTION_DEFAULT = b"cubic"
SOCKADDR, SOCKADDR_IN, SOCKADDR_IN6 = 2, 16, 24  # the least that there must be


def _records(kept: Kept) -> list[Part]:
    return [Part(at, RECORD) for at in range(SETTINGS.at, SETTINGS.at + SETTINGS.size - RECORD + 1, RECORD)]


def _find(kept: Kept, name: bytes) -> tuple[Part | None, bytes | None]:
    """The record of an option, or the first that is free; its value if it has one."""
    for part in _records(kept):
        data = kept.read(part)
        if data[:16] == name:
            size = int.from_bytes(data[16:24], kept.order)
            return part, data[24 : 24 + size]
        if not any(data[:24]):
            return part, None
    return None, None


def _name(kept: Kept, cookie: int, level: int, option: int) -> bytes:
    return cookie.to_bytes(8, kept.order) + level.to_bytes(4, kept.order) + option.to_bytes(4, kept.order)


def _allowed(socket: Socket, level: int, option: int, size: int, *, get: bool) -> bool:
    """Whether there is such an option, of that size."""
    if (level == SOL_TCP and socket.protocol != "tcp") or (level == SOL_IPV6 and socket.version != 6):
        return False
    if (level, option) == (SOL_TCP, CONGESTION):
        return size >= 2
    if (level, option) == (SOL_SOCKET, BIND_TO_DEVICE):
        return not get
    if (level, option) == (SOL_SOCKET, PACING) and size == 8:
        return True
    return option in NUMBERS.get(level, ()) and size == 4


def setsockopt(place: Place, arguments: Sequence[int]) -> int:
    """Set option R3 of level R2 of the socket of R1 to the R5 bytes at R4."""
    (cookie, socket), kept = own(place, arguments[0]), Kept(place.memory, place.order)
    level, option, size = (argument & M32 for argument in (arguments[1], arguments[2], arguments[4]))
    if socket is None or not _allowed(socket, level, option, size, get=False):
        return -EINVAL
    value = place.memory.read(arguments[3], size)[:VALUE]
    part, _ = _find(kept, name := _name(kept, cookie, level, option))
    if part is None:
        return -ENOSPC
    if level == SOL_SOCKET and option in BUFFERS:
        value = (2 * signed32(int.from_bytes(value, kept.order)) & M32).to_bytes(4, kept.order)
    kept.write(part, (name + len(value).to_bytes(8, kept.order) + value).ljust(RECORD, b"\0"))
    return 0


def getsockopt(place: Place, arguments: Sequence[int]) -> int:
    """Option R3 of level R2 of the socket of R1 to the R5 bytes at R4, zeros where there is no such option."""
    (cookie, socket), kept = own(place, arguments[0]), Kept(place.memory, place.order)
    level, option, size = (argument & M32 for argument in (arguments[1], arguments[2], arguments[4]))
    if socket is None or not _allowed(socket, level, option, size, get=True):
        place.memory.write(arguments[3], bytes(size))
        return -EINVAL
    _, value = _find(kept, _name(kept, cookie, level, option))
    if value is None:
        value = _default(socket, level, option, kept)
    if (level, option) == (SOL_TCP, CONGESTION):
        value = value[: size - 1]
    place.memory.write(arguments[3], value[:size].ljust(size, b"\0"))
    return 0


def _default(socket: Socket, level: int, option: int, kept: Kept) -> bytes:
    if (level, option) == (SOL_TCP, CONGESTION):
        return CONGESTION_DEFAULT
    known = {(SOL_SOCKET, MARK): socket.mark, (SOL_SOCKET, PRIORITY): socket.priority}
    return known.get((level, option), 0).to_bytes(4, kept.order)


def bind(place: Place, arguments: Sequence[int]) -> int:
    """Give the context's socket the local address of the struct sockaddr of R3 bytes at R2; port 0 leaves its port."""
    Buffer(place, arguments[0], "bpf_sock_addr")
    kept, size = Kept(place.memory, place.order), signed32(arguments[2])
    if size < SOCKADDR:
        return -EINVAL
    given = place.memory.read(arguments[1], size)
    family = int.from_bytes(given[:2], kept.order)
    if family not in (AF_INET, AF_INET6):
        return -EAFNOSUPPORT
    if size < (SOCKADDR_IN if family == AF_INET else SOCKADDR_IN6):
        return -EINVAL
    net = place.world.net
    at = address_of(kept.start, net, net.cookie) - kept.start
    address = given[4:8] if family == AF_INET else given[8:24]
    kept.write(Part(at + (24 if family == AF_INET else 28), len(address)), address)
    if port := int.from_bytes(given[2:4], "big"):
        kept.write(Part(at + 44, 4), port.to_bytes(4, kept.order))
    return 0


def get_retval(place: Place, arguments: Sequence[int]) -> int:
    """What the call that the program is asked about returns so far."""
    if place.packet.layout == "bpf_sockopt":
        return signed32(Buffer(place, place.packet.context, "bpf_sockopt")["retval"])
    return Kept(place.memory, place.order).number(RETVAL)


def set_retval(place: Place, arguments: Sequence[int]) -> int:
    """R1 is what the call returns."""
    if place.packet.layout == "bpf_sockopt":
        Buffer(place, place.packet.context, "bpf_sockopt")["retval"] = arguments[0] & M32
    else:
        Kept(place.memory, place.order).set_number(RETVAL, signed32(arguments[0]))
    return 0


assert SETTINGS.at + SETTINGS.size <= PAGE

"""Data that a socket is about to send, which sk_msg programs see. They are in one piece here."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EINVAL
from vm.helpers.base import Place
from vm.helpers.packet import M32, Buffer

MSG = "sk_msg_md"


def msg_apply_bytes(place: Place, arguments: Sequence[int]) -> int:
    """The verdict is of R2 bytes, of later messages too: there is one message here."""
    Buffer(place, arguments[0], MSG)
    return 0


def msg_cork_bytes(place: Place, arguments: Sequence[int]) -> int:
    """Call the program again when there are R2 bytes: there is one message here."""
    Buffer(place, arguments[0], MSG)
    return 0


def msg_pull_data(place: Place, arguments: Sequence[int]) -> int:
    """Have data and data_end show the bytes from R2 to before R3 of the message."""
    context, packet = Buffer(place, arguments[0], MSG), place.packet
    start, end = arguments[1] & M32, arguments[2] & M32
    if arguments[3] or end <= start or end > packet.size - packet.data:
        return -EINVAL
    first = packet.start + packet.data
    context["data"], context["data_end"] = first + start, first + end
    return 0

"""Options of a TCP header, which sock_ops programs read and write (net/core/filter.c); and what they are called for."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EEXIST, EINVAL, ENOENT, ENOMSG, ENOSPC, EPERM
from vm.helpers.base import Place
from vm.helpers.packet import M32, Buffer
from vm.kept import TCP_SPACE, Kept

OPS = "bpf_sock_ops"
HDR_OPT_LEN_CB, WRITE_HDR_OPT_CB = 14, 15  # BPF_SOCK_OPS_*
ALL_CB_FLAGS = 0x7F
END, NOTHING, EXPERIMENT, OTHER_EXPERIMENT = 0, 1, 254, 253  # kinds of options
TCP = 20  # bytes of a header without options
FROM_SYN = 1  # BPF_LOAD_HDR_OPT_TCP_SYN


def _search(options: bytes, kind: int, magic: bytes) -> int | tuple[int, int]:
    """Offset and size of the option of a kind that begins with a magic number; an errno where there is none.

    EINVAL where they are broken. ENOMSG means that they end; ENOSPC that an end of options stands before.
    """
    at = 0
    while at < len(options):
        if options[at] == END:
            return -ENOSPC
        if options[at] == NOTHING:
            at += 1
            continue
        left = len(options) - at
        if left < 2 or not 2 <= options[at + 1] <= left:
            return -EINVAL
        size = options[at + 1]
        if options[at] == kind and options[at + 2 : at + 2 + len(magic)] == magic and size >= 2 + len(magic):
            return at, size
        at += size
    return -ENOMSG


def _options(context: Buffer) -> bytes:
    start, end = context["skb_data"] + TCP, context["skb_data_end"]
    return context.memory.read(start, max(end - start, 0))


def sock_ops_cb_flags_set(place: Place, arguments: Sequence[int]) -> int:
    """Call the program for what the flags R2 say; the result is those that there are not."""
    context = Buffer(place, arguments[0], OPS)
    context["bpf_sock_ops_cb_flags"] = arguments[1] & ALL_CB_FLAGS
    return arguments[1] & M32 & ~ALL_CB_FLAGS


def load_hdr_opt(place: Place, arguments: Sequence[int]) -> int:
    """The option that the R3 bytes at R2 begin with the kind of, to there; the result is how many bytes it has."""
    context, size, flags = Buffer(place, arguments[0], OPS), arguments[2] & M32, arguments[3]
    if size < 2 or flags & ~FROM_SYN:
        return -EINVAL
    wanted = place.memory.read(arguments[1], size)
    kind, length = wanted[0], wanted[1]
    if length > size or kind in (END, NOTHING):
        return -EINVAL
    if kind in (EXPERIMENT, OTHER_EXPERIMENT):
        if length not in (4, 6):
            return -EINVAL
    elif length:
        return -EINVAL
    if flags:
        return -ENOENT  # no SYN is kept here
    if context["op"] == HDR_OPT_LEN_CB or not context["skb_data"]:
        return -EPERM
    options = _options(context)
    found = _search(options, kind, wanted[2:length])
    if isinstance(found, int):
        return -ENOMSG if found == -ENOSPC else found
    at, count = found
    place.memory.write(arguments[1], options[at : at + min(count, size)])
    return count if count <= size else -ENOSPC


def store_hdr_opt(place: Place, arguments: Sequence[int]) -> int:
    """Append the option of R3 bytes at R2 to the header; only while options are written, into what was reserved."""
    context, kept, size = Buffer(place, arguments[0], OPS), Kept(place.memory, place.order), arguments[2] & M32
    if context["op"] != WRITE_HDR_OPT_CB:
        return -EPERM
    if size < 2 or arguments[3]:
        return -EINVAL
    given = place.memory.read(arguments[1], size)
    kind, length = given[0], given[1]
    if length > size or length < 2 or kind in (END, NOTHING):
        return -EINVAL
    magic = b""
    if kind in (EXPERIMENT, OTHER_EXPERIMENT):
        if length < 4:
            return -EINVAL
        magic = given[2 : 6 if length > 5 else 4]
    if length > kept.number(TCP_SPACE):
        return -ENOSPC
    found = _search(_options(context), kind, magic)
    if not isinstance(found, int):
        return -EEXIST
    if found != -ENOMSG:
        return found
    end = context["skb_data_end"]
    place.memory.write(end, given[:length])
    context["skb_data_end"] = end + length
    kept.set_number(TCP_SPACE, kept.number(TCP_SPACE) - length)
    return 0


def reserve_hdr_opt(place: Place, arguments: Sequence[int]) -> int:
    """Have R2 bytes of the header for options; only while it is asked how many there are."""
    context, kept, size = Buffer(place, arguments[0], OPS), Kept(place.memory, place.order), arguments[1] & M32
    if arguments[2] or size < 2:
        return -EINVAL
    if context["op"] != HDR_OPT_LEN_CB:
        return -EPERM
    if size > kept.number(TCP_SPACE):
        return -ENOSPC
    kept.set_number(TCP_SPACE, kept.number(TCP_SPACE) - size)
    return 0

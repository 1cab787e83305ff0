"""Classic pcap files of Ethernet frames, in either byte order, with times in micro- or nanoseconds."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from bpf.errors import BadInput

_MAGICS = {0xA1B2C3D4, 0xA1B23C4D}
_NEXT_GENERATION = b"\x0a\x0d\x0d\x0a"
_HEADER, _RECORD = 24, 16
ETHERNET = 1  # LINKTYPE_ETHERNET
_SNAPLEN = 0x4_0000


def byte_order(data: bytes) -> str:
    """The struct module's sign for a pcap file's byte order, empty for anything else."""
    return next((order for order in "<>" if len(data) >= 4 and struct.unpack(order + "I", data[:4])[0] in _MAGICS), "")


def is_capture(data: bytes) -> bool:
    """Whether it begins as a pcap file does, or as a pcapng file."""
    return bool(byte_order(data)) or data[:4] == _NEXT_GENERATION


def read(data: bytes, file: str = "") -> list[bytes]:
    """The frames of a pcap file. Raises BadInput."""
    order = byte_order(data)
    if not order:
        raise BadInput("is no pcap file", file=file, remedy="pcapng files are converted by `editcap -F pcap`")
    if len(data) < _HEADER:
        raise BadInput(f"ends inside the file header of {_HEADER} bytes", file=file)
    link = struct.unpack(order + "I", data[20:24])[0] & 0xFFFF
    if link != ETHERNET:
        raise BadInput(f"holds packets of link type {link}; Ethernet is {ETHERNET}", file=file)
    frames: list[bytes] = []
    at = _HEADER
    while at < len(data):
        place = f"packet {len(frames)}"
        if at + _RECORD > len(data):
            raise BadInput("ends inside a record header", file=file, place=place)
        captured = struct.unpack(order + "I", data[at + 8 : at + 12])[0]
        at += _RECORD
        if captured > len(data) - at:
            raise BadInput(f"has {len(data) - at} of {captured} bytes", file=file, place=place)
        frames.append(data[at : at + captured])
        at += captured
    return frames


def write(frames: Sequence[bytes]) -> bytes:
    """A little-endian pcap file of frames, all at time 0."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAPLEN, ETHERNET)]
    for frame in frames:
        out += [struct.pack("<IIII", 0, 0, len(frame), len(frame)), frame]
    return b"".join(out)

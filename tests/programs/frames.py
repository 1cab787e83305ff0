"""Frames for the programs: Ethernet, VLAN tags, IPv4, UDP, TCP, ICMP, ARP, with right checksums."""

from __future__ import annotations

import struct

ME, YOU = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
UDP, TCP, ICMP = 17, 6, 1


def address(text: str) -> bytes:
    """The bytes of a dotted address."""
    return bytes(map(int, text.split(".")))


def checksum(data: bytes) -> int:
    """The Internet checksum of bytes in which its own field is 0 (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(
    payload: bytes, kind: int = 0x0800, *, to: bytes = bytes(6), by: bytes = ME, tag: int | None = None
) -> bytes:
    """A frame; the loopback device's address is 0. tag: of a VLAN."""
    between = b"" if tag is None else struct.pack(">HH", 0x8100, tag)
    return to + by + between + struct.pack(">H", kind) + payload


def ipv4(
    payload: bytes, protocol: int, by: str = "10.0.0.1", to: str = "10.0.0.2", *, ttl: int = 64, fragment: int = 0,
    number: int = 1,
) -> bytes:  # fmt: skip
    """A packet. fragment: flags and offset as the header has them."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), number, fragment, ttl, protocol, 0)
    head += address(by) + address(to)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def _pseudo(protocol: int, size: int, by: str, to: str) -> bytes:
    return address(by) + address(to) + struct.pack(">BBH", 0, protocol, size)


def udp(payload: bytes, source: int, dest: int, by: str = "10.0.0.1", to: str = "10.0.0.2") -> bytes:
    """A datagram in its packet."""
    data = struct.pack(">HHHH", source, dest, 8 + len(payload), 0) + payload
    check = checksum(_pseudo(UDP, len(data), by, to) + data) or 0xFFFF
    return ipv4(data[:6] + struct.pack(">H", check) + data[8:], UDP, by, to)


def tcp(source: int, dest: int, flags: int, by: str = "10.0.0.1", to: str = "10.0.0.2", payload: bytes = b"") -> bytes:
    """A segment in its packet. flags: 2 SYN, 0x10 ACK."""
    data = struct.pack(">HHIIBBHHH", source, dest, 1000, 0, 0x50, flags, 8192, 0, 0) + payload
    check = checksum(_pseudo(TCP, len(data), by, to) + data)
    return ipv4(data[:16] + struct.pack(">H", check) + data[18:], TCP, by, to)


def echo(kind: int, payload: bytes, by: str = "10.0.0.1", to: str = "10.0.0.2") -> bytes:
    """A ping (8) or its answer (0) in its packet."""
    data = struct.pack(">BBHHH", kind, 0, 0, 7, 1) + payload
    return ipv4(data[:2] + struct.pack(">H", checksum(data)) + data[4:], ICMP, by, to)


def arp(operation: int, mac: bytes, by: str) -> bytes:
    """An ARP message for Ethernet and IPv4."""
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + mac + address(by) + bytes(6) + address("10.0.0.9")


def question(name: str) -> bytes:
    """A DNS message that asks for the address of a name."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)

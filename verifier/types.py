"""What a register can hold: the kernel's register types and flags, and their names in its log.

A type is a base (low 8 bits) and flags. Source: enum bpf_reg_type and enum bpf_type_flag of Linux 6.18; the numbers
are our own.
"""

from __future__ import annotations

(
    NOT_INIT, SCALAR, CTX, MAP_PTR, MAP_VALUE, MAP_KEY, STACK, PACKET_META, PACKET, PACKET_END, FLOW_KEYS, SOCKET,
    SOCK_COMMON, TCP_SOCK, TP_BUFFER, XDP_SOCK, BTF, MEM, ARENA, BUF, FUNC, DYNPTR,
) = range(22)  # fmt: skip

BASE = 0xFF
MAYBE_NULL = 1 << 8
RDONLY = 1 << 9
RINGBUF = 1 << 10
USER = 1 << 11
PERCPU = 1 << 12
UNTRUSTED = 1 << 13
ALLOC = 1 << 14
TRUSTED = 1 << 15
RCU = 1 << 16
NON_OWNING = 1 << 17

FLAGS = ~BASE
TRUST = TRUSTED | ALLOC  # what makes a BTF pointer safe to pass on

NAMES = {
    NOT_INIT: "?", SCALAR: "scalar", CTX: "ctx", MAP_PTR: "map_ptr", MAP_VALUE: "map_value", MAP_KEY: "map_key",
    STACK: "fp", PACKET_META: "pkt_meta", PACKET: "pkt", PACKET_END: "pkt_end", FLOW_KEYS: "flow_keys", SOCKET: "sock",
    SOCK_COMMON: "sock_common", TCP_SOCK: "tcp_sock", TP_BUFFER: "tp_buffer", XDP_SOCK: "xdp_sock", BTF: "ptr_",
    MEM: "mem", ARENA: "arena", BUF: "buf", FUNC: "func", DYNPTR: "dynptr_ptr",
}  # fmt: skip

_PREFIXES = (
    (RDONLY, "rdonly_"), (RINGBUF, "ringbuf_"), (USER, "user_"), (PERCPU, "percpu_"), (RCU, "rcu_"),
    (UNTRUSTED, "untrusted_"), (TRUSTED, "trusted_"),
)  # fmt: skip

SOCKETS = frozenset({SOCKET, SOCK_COMMON, TCP_SOCK, XDP_SOCK})
PACKETS = frozenset({PACKET, PACKET_META})


def name(type_: int) -> str:
    """A type as the log writes it: `rdonly_mem_or_null`, `trusted_ptr_`, ..."""
    base = type_ & BASE
    prefix = "".join(word for flag, word in _PREFIXES if type_ & flag)
    end = ("or_null_" if base == BTF else "_or_null") if type_ & MAYBE_NULL else ""
    return prefix + NAMES[base] + end


_BY_NAME = {word: base for base, word in NAMES.items()}


def by_name(text: str) -> int:
    """The type that `name` writes so. Raises KeyError."""
    flags = 0
    for flag, word in _PREFIXES:
        if text.startswith(word) and text not in _BY_NAME:
            text, flags = text.removeprefix(word), flags | flag
    for end in ("_or_null", "or_null_"):
        if text.endswith(end):
            text, flags = text.removesuffix(end), flags | MAYBE_NULL
            break
    return _BY_NAME[text] | flags


def is_packet(type_: int) -> bool:
    """Whether it points into the packet or its metadata."""
    return type_ in PACKETS

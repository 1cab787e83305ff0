"""The bpf() system call: maps, program load, BPF_PROG_TEST_RUN and object information, by ctypes.

Structures are those of linux/bpf.h, in the host's own layout; fields behind the ones named here are left to the
kernel's default, which is 0. Nothing is attached anywhere and no setting of the machine is changed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import Structure, c_char, c_ubyte, c_uint32, c_uint64
from dataclasses import dataclass
from functools import cache
from typing import Any

from bpf.errors import NotHere
from engines.function_info import RECORD, FunctionInfo

NUMBERS = {
    "x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64": 361, "ppc64le": 361, "s390x": 351,
}  # fmt: skip
"""bpf()'s number by `uname -m`."""

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT_KEY, PROG_LOAD = range(6)
TEST_RUN, OBJECT_INFO, BTF_LOAD, MAP_TAKE, MAP_FREEZE = 10, 15, 18, 21, 22  # MAP_TAKE: BPF_MAP_LOOKUP_AND_DELETE_ELEM
ARRAY, PROG_ARRAY = 2, 3  # BPF_MAP_TYPE_*
SOCKET_FILTER, SYSCALL = 1, 31  # BPF_PROG_TYPE_*
RDONLY_PROG, MMAPABLE = 0x80, 0x400  # map flags
SLEEPABLE = 0x10  # program flag
LOG_STEPS, LOG_STATES, LOG_STATS = 1, 2, 4  # log levels: each step, states too, the error alone and figures
LOG_SIZE = {LOG_STATS: 1 << 16}  # bytes of room for the log, by level; other levels have more
LOG_LIMIT = 1 << 20
_RETRIES = 8  # a load that a signal interrupts ends with EAGAIN


class _Attr(Structure):
    """One form of union bpf_attr."""


class _MapCreate(_Attr):
    _fields_ = [
        ("map_type", c_uint32), ("key_size", c_uint32), ("value_size", c_uint32), ("max_entries", c_uint32),
        ("map_flags", c_uint32), ("inner_map_fd", c_uint32), ("numa_node", c_uint32), ("map_name", c_char * 16),
        ("map_ifindex", c_uint32), ("btf_fd", c_uint32), ("btf_key_type_id", c_uint32), ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32), ("map_extra", c_uint64),
    ]  # fmt: skip


class _MapElement(_Attr):
    _fields_ = [("map_fd", c_uint32), ("key", c_uint64), ("value", c_uint64), ("flags", c_uint64)]


class _MapFreeze(_Attr):
    _fields_ = [("map_fd", c_uint32)]


class _ProgLoad(_Attr):
    _fields_ = [
        ("prog_type", c_uint32), ("insn_cnt", c_uint32), ("insns", c_uint64), ("license", c_uint64),
        ("log_level", c_uint32), ("log_size", c_uint32), ("log_buf", c_uint64), ("kern_version", c_uint32),
        ("prog_flags", c_uint32), ("prog_name", c_char * 16), ("prog_ifindex", c_uint32),
        ("expected_attach_type", c_uint32), ("prog_btf_fd", c_uint32), ("func_info_rec_size", c_uint32),
        ("func_info", c_uint64), ("func_info_cnt", c_uint32), ("line_info_rec_size", c_uint32),
        ("line_info", c_uint64), ("line_info_cnt", c_uint32), ("attach_btf_id", c_uint32), ("attach_prog_fd", c_uint32),
        ("core_relo_cnt", c_uint32), ("fd_array", c_uint64),
    ]  # fmt: skip


class _BtfLoad(_Attr):
    _fields_ = [("btf", c_uint64), ("btf_log_buf", c_uint64), ("btf_size", c_uint32)]


class _TestRun(_Attr):
    _fields_ = [
        ("prog_fd", c_uint32), ("retval", c_uint32), ("data_size_in", c_uint32), ("data_size_out", c_uint32),
        ("data_in", c_uint64), ("data_out", c_uint64), ("repeat", c_uint32), ("duration", c_uint32),
        ("ctx_size_in", c_uint32), ("ctx_size_out", c_uint32), ("ctx_in", c_uint64), ("ctx_out", c_uint64),
        ("flags", c_uint32), ("cpu", c_uint32), ("batch_size", c_uint32), ("padding", c_uint32),
    ]  # fmt: skip


class _ObjectInfo(_Attr):
    _fields_ = [("bpf_fd", c_uint32), ("info_len", c_uint32), ("info", c_uint64)]


class _ProgInfo(Structure):
    _fields_ = [
        ("type", c_uint32), ("id", c_uint32), ("tag", c_ubyte * 8), ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32), ("jited_prog_insns", c_uint64), ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64), ("created_by_uid", c_uint32), ("nr_map_ids", c_uint32), ("map_ids", c_uint64),
        ("name", c_char * 16), ("ifindex", c_uint32), ("gpl_compatible", c_uint32), ("netns_dev", c_uint64),
        ("netns_ino", c_uint64), ("nr_jited_ksyms", c_uint32), ("nr_jited_func_lens", c_uint32),
        ("jited_ksyms", c_uint64), ("jited_func_lens", c_uint64), ("btf_id", c_uint32),
        ("func_info_rec_size", c_uint32), ("func_info", c_uint64), ("nr_func_info", c_uint32),
        ("nr_line_info", c_uint32), ("line_info", c_uint64), ("jited_line_info", c_uint64),
        ("nr_jited_line_info", c_uint32), ("line_info_rec_size", c_uint32), ("jited_line_info_rec_size", c_uint32),
        ("nr_prog_tags", c_uint32), ("prog_tags", c_uint64), ("run_time_ns", c_uint64), ("run_cnt", c_uint64),
        ("recursion_misses", c_uint64), ("verified_insns", c_uint32), ("attach_btf_obj_id", c_uint32),
        ("attach_btf_id", c_uint32), ("padding", c_uint32),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says of a loaded program.

    jited      machine code of all functions, one after the other; empty where it is not shown (it needs CAP_SYSLOG)
    functions  address and length in bytes of each of them
    xlated     the instructions as the verifier left them, wire form
    verified   instructions that the verifier has walked over
    tag        8 bytes of a hash of the instructions
    """

    jited: bytes
    functions: tuple[tuple[int, int], ...]
    xlated: bytes
    verified: int
    tag: bytes = b""


class LoadError(OSError):
    """The kernel took no program. `errno` and `log`, the verifier's text, say why."""

    def __init__(self, number: int, log: str) -> None:
        super().__init__(number, os.strerror(number))
        self.log = log


@cache
def _entry() -> tuple[Any, int]:
    """The C library's syscall() and bpf()'s number. Raises NotHere on a system that has none."""
    number = NUMBERS.get(platform.machine())
    if not sys.platform.startswith("linux") or number is None or sys.maxsize < 1 << 32:
        raise NotHere(f"there is no bpf() for this Python on {platform.system()} {platform.machine()}")
    return ctypes.CDLL(None, use_errno=True).syscall, number


def bpf(command: int, attr: _Attr) -> int:
    """The system call. Raises OSError, and NotHere on a system that has none."""
    syscall, number = _entry()
    found: int = syscall(number, command, ctypes.byref(attr), ctypes.sizeof(attr))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def _address(buffer: object) -> int:
    """Where a ctypes array lies."""
    return ctypes.addressof(buffer)  # type: ignore[arg-type]


def create_array(name: str, value_size: int, *, readonly: bool = False) -> int:
    """A file descriptor of a new array map of one element, page-aligned. readonly: to programs. Raises OSError."""
    return create_map(name, ARRAY, 4, value_size, 1, MMAPABLE | (RDONLY_PROG if readonly else 0))


def create_map(
    name: str, kind: int, key_size: int, value_size: int, max_entries: int, flags: int = 0, inner: int = 0,
    types: tuple[bytes, int, int] | None = None, extra: int = 0,
) -> int:  # fmt: skip
    """A descriptor of a new map. Raises OSError.

    kind: BPF_MAP_TYPE_*; inner: one like the maps of a map-in-map; types: BTF, and in it the key's and the value's;
    extra: map_extra.
    """
    word = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.") else "_" for letter in name)
    attr = _MapCreate(kind, key_size, value_size, max_entries, flags, inner, 0, word[:15].encode(), map_extra=extra)
    if types is None:
        return bpf(MAP_CREATE, attr)
    attr.btf_fd, attr.btf_key_type_id, attr.btf_value_type_id = _load_btf(types[0]), *types[1:]
    try:
        return bpf(MAP_CREATE, attr)
    finally:
        os.close(attr.btf_fd)


def _buffer(data: bytes) -> Any:
    return ctypes.create_string_buffer(data, max(len(data), 1))


def update(descriptor: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """Set an element; push where there are no keys. Raises OSError."""
    given, data = _buffer(key), _buffer(value)
    bpf(MAP_UPDATE, _MapElement(descriptor, _address(given) if key else 0, _address(data), flags))


def lookup(descriptor: int, key: bytes, size: int, *, take: bool = False) -> bytes | None:
    """A copy of the value of a key, None where there is none; take: and delete it. Raises OSError."""
    given, data = _buffer(key), ctypes.create_string_buffer(max(size, 1))
    command = MAP_TAKE if take else MAP_LOOKUP
    try:
        bpf(command, _MapElement(descriptor, _address(given) if key else 0, _address(data), 0))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return data.raw[:size]


def delete(descriptor: int, key: bytes) -> None:
    """Delete a key. Raises OSError."""
    given = _buffer(key)
    bpf(MAP_DELETE, _MapElement(descriptor, _address(given), 0, 0))


def next_key(descriptor: int, key: bytes | None, size: int) -> bytes | None:
    """The key of `size` bytes after one, the first after None; None after the last. Raises OSError."""
    given, data = _buffer(key or b""), ctypes.create_string_buffer(size)
    try:
        bpf(MAP_NEXT_KEY, _MapElement(descriptor, 0 if key is None else _address(given), _address(data), 0))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return data.raw


def program_id(descriptor: int) -> int:
    """The kernel's number of a program. Raises OSError."""
    return map_id(descriptor)  # both begin with type and id


def map_id(descriptor: int) -> int:
    """The kernel's number of a map. Raises OSError."""
    info = (c_uint32 * 2)()  # type, id
    bpf(OBJECT_INFO, _ObjectInfo(descriptor, ctypes.sizeof(info), _address(info)))
    return int(info[1])


def create_prog_array(name: str, entries: int) -> int:
    """A file descriptor of a new prog array, which is empty. Raises OSError."""
    return create_map(name, PROG_ARRAY, 4, 4, entries)


def set_program(array: int, index: int, program: int | None) -> None:
    """Put a program, by its file descriptor, into a prog array; None takes out what is there. Raises OSError."""
    key = bytes(c_uint32(index))
    if program is None:
        delete(array, key)
    else:
        update(array, key, bytes(c_uint32(program)))


def freeze(descriptor: int) -> None:
    """No update from user space any more. Raises OSError."""
    bpf(MAP_FREEZE, _MapFreeze(descriptor))


def write_value(descriptor: int, value: bytes) -> None:
    """Set element 0 of an array; `value` has the map's value size. Raises OSError."""
    key, data = c_uint32(0), ctypes.create_string_buffer(value, len(value))
    bpf(MAP_UPDATE, _MapElement(descriptor, _address(key), _address(data), 0))


def read_value(descriptor: int, size: int) -> bytes:
    """Element 0 of an array whose value size is `size`. Raises OSError."""
    key, data = c_uint32(0), ctypes.create_string_buffer(size)
    bpf(MAP_LOOKUP, _MapElement(descriptor, _address(key), _address(data), 0))
    return data.raw


def load(
    code: bytes,
    *,
    name: str = "",
    log_level: int = LOG_STATS,
    kind: int = SYSCALL,
    functions: FunctionInfo | None = None,
    flags: int | None = None,
    attach: int = 0,
    target: int = 0,
    license_name: str = "GPL",
    descriptors: Sequence[int] = (),
) -> tuple[int, str]:
    """A file descriptor of a program of a type, and the verifier's log. Raises LoadError.

    functions: for a program whose functions the kernel must know; flags: BPF_F_*, those that the type needs unless
    given; attach: expected_attach_type; target: number of what it is attached to in the kernel's BTF; descriptors: the
    maps that an lddw's map_idx form counts in.
    """
    size = LOG_SIZE.get(log_level, LOG_LIMIT)
    text = ctypes.create_string_buffer(size)
    insns, license_ = _buffer(code), ctypes.create_string_buffer(license_name.encode())
    word = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    attr = _ProgLoad(
        kind, len(code) // 8, _address(insns), _address(license_), log_level, size, _address(text), 0,
        (SLEEPABLE if kind == SYSCALL else 0) if flags is None else flags, word[:15].encode(),
        expected_attach_type=attach, attach_btf_id=target,
    )  # fmt: skip
    listed = (ctypes.c_int32 * len(descriptors))(*descriptors)
    attr.fd_array = _address(listed) if descriptors else 0
    if functions is None:
        return _load(attr, text)
    size = len(functions.records)
    table = ctypes.create_string_buffer(functions.records, size)
    attr.prog_btf_fd = _load_btf(functions.btf)
    attr.func_info_rec_size, attr.func_info, attr.func_info_cnt = RECORD, _address(table), size // RECORD
    try:
        return _load(attr, text)
    finally:
        os.close(attr.prog_btf_fd)


@contextmanager
def same_types() -> Iterator[None]:
    """While this lasts, equal BTF is loaded once: maps and programs are of the very same types then."""
    global _loaded
    _loaded = {}
    try:
        yield
    finally:
        for descriptor in _loaded.values():
            os.close(descriptor)
        _loaded = None


_loaded: dict[bytes, int] | None = None


def _load_btf(data: bytes) -> int:
    if _loaded is None:
        return _new_btf(data)
    if data not in _loaded:
        _loaded[data] = _new_btf(data)
    return os.dup(_loaded[data])


def takes_types(data: bytes) -> bool:
    """Whether the kernel takes BTF."""
    try:
        os.close(_new_btf(data))
    except LoadError:
        return False
    return True


def _new_btf(data: bytes) -> int:
    buffer = ctypes.create_string_buffer(data, len(data))
    try:
        return bpf(BTF_LOAD, _BtfLoad(_address(buffer), 0, len(data)))
    except OSError as error:
        raise LoadError(error.errno or 0, "the kernel does not take BTF") from None


def _load(attr: _ProgLoad, text: Any) -> tuple[int, str]:
    for attempt in range(_RETRIES):
        try:
            return bpf(PROG_LOAD, attr), text.value.decode("utf-8", "replace")
        except OSError as error:
            if error.errno != errno.EAGAIN or attempt == _RETRIES - 1:
                raise LoadError(error.errno or 0, text.value.decode("utf-8", "replace")) from None
    raise AssertionError


def test_run(descriptor: int, packet: bytes) -> int:
    """Run a program once, on a packet if its type takes one; the low 32 bits of its R0. Raises OSError."""
    data = ctypes.create_string_buffer(packet, max(len(packet), 1))
    attr = _TestRun(descriptor, data_size_in=len(packet), data_in=_address(data) if packet else 0)
    bpf(TEST_RUN, attr)
    return int(attr.retval)


def test_run_context(
    descriptor: int, packet: bytes, context: bytes, room: int, context_room: int
) -> tuple[int, bytes, bytes]:
    """Run a program once on a packet and a context: the low 32 bits of its R0, the packet and the context after it.

    room, context_room: bytes that these may have; 0 where the type gives none back. Raises OSError.
    """
    data, given = ctypes.create_string_buffer(packet, max(len(packet), 1)), ctypes.create_string_buffer(context)
    out, after = ctypes.create_string_buffer(max(room, 1)), ctypes.create_string_buffer(max(context_room, 1))
    attr = _TestRun(
        descriptor, data_size_in=len(packet), data_in=_address(data) if packet else 0,
        data_size_out=room, data_out=_address(out) if room else 0,
        ctx_size_in=len(context), ctx_in=_address(given) if context else 0,
        ctx_size_out=context_room, ctx_out=_address(after) if context_room else 0,
    )  # fmt: skip
    bpf(TEST_RUN, attr)
    return int(attr.retval), out.raw[: attr.data_size_out], after.raw[: attr.ctx_size_out]


def test_run_memory(descriptor: int, context: bytes) -> tuple[int, bytes]:
    """Run a program of type syscall once: the low 32 bits of its R0, and its context afterwards. Raises OSError."""
    given = ctypes.create_string_buffer(context, max(len(context), 1))
    attr = _TestRun(descriptor, ctx_size_in=len(context), ctx_in=_address(given) if context else 0)
    bpf(TEST_RUN, attr)
    return int(attr.retval), given.raw[: len(context)]


def program_info(descriptor: int) -> ProgramInfo:
    """What the kernel shows of a loaded program. Raises OSError."""
    sizes = _info(descriptor, _ProgInfo())
    jited = ctypes.create_string_buffer(max(sizes.jited_prog_len, 1))
    xlated = ctypes.create_string_buffer(max(sizes.xlated_prog_len, 1))
    starts, lengths = (c_uint64 * max(sizes.nr_jited_ksyms, 1))(), (c_uint32 * max(sizes.nr_jited_func_lens, 1))()
    info = _info(
        descriptor,
        _ProgInfo(
            jited_prog_len=sizes.jited_prog_len, jited_prog_insns=_address(jited),
            xlated_prog_len=sizes.xlated_prog_len, xlated_prog_insns=_address(xlated),
            nr_jited_ksyms=sizes.nr_jited_ksyms, jited_ksyms=_address(starts),
            nr_jited_func_lens=sizes.nr_jited_func_lens, jited_func_lens=_address(lengths),
        ),
    )  # fmt: skip
    functions = tuple(zip(starts, lengths, strict=False))[: info.nr_jited_func_lens]
    return ProgramInfo(
        jited.raw[: info.jited_prog_len],
        functions,
        xlated.raw[: info.xlated_prog_len],
        info.verified_insns,
        bytes(info.tag),
    )


def _info(descriptor: int, info: _ProgInfo) -> _ProgInfo:
    bpf(OBJECT_INFO, _ObjectInfo(descriptor, ctypes.sizeof(info), _address(info)))
    return info

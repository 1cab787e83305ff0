"""bpf() on elements, of the live kernel and of this one, in one form: what an operation gives, or the errno's number.

A map's operations take keys and values as this kernel has them. For the live one the numbers of sockets, tasks and so
on become the file descriptors of things that this process has, and cookies that come back become numbers again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_uint32, c_uint64
from dataclasses import dataclass, field
from typing import Any

from bpf.errors import CallFailed
from bpf.program import Map
from bpf.spec.layout import stride
from bpf.spec.maps import LOCAL, MAP_TYPES, RULES, SOCKETS
from bpf.text import assemble
from engines import syscall
from engines.live_maps import possible_cpus
from engines.value_info import KEY, VALUE, value_info
from runtime import elements
from runtime.kernel import Kernel, MapObject, ProgramObject
from vm.maps.batch import Batch
from vm.network import LISTEN, Network, Socket

HERE = sys.byteorder
LOOKUP, UPDATE, DELETE, NEXT, TAKE = 1, 2, 3, 4, 21
LOOKUP_BATCH, TAKE_BATCH, UPDATE_BATCH, DELETE_BATCH = 24, 25, 26, 27
SO_REUSEPORT, SO_COOKIE, AF_XDP = 15, 57, 44
PROT_XDP, NO_SUCH = 6, 900_000  # a descriptor that is not there
Result = Any


class Element(ctypes.Structure):
    """The part of union bpf_attr for one element."""

    _fields_ = [("map_fd", c_uint32), ("key", c_uint64), ("value", c_uint64), ("flags", c_uint64)]


class Many(ctypes.Structure):
    """The part of union bpf_attr for a batch."""

    _fields_ = [
        ("start", c_uint64), ("out", c_uint64), ("keys", c_uint64), ("values", c_uint64), ("count", c_uint32),
        ("map_fd", c_uint32), ("elem_flags", c_uint64), ("flags", c_uint64),
    ]  # fmt: skip


DESCRIBED = Network(
    sockets={
        1: Socket(), 2: Socket(state=LISTEN), 3: Socket(state=""), 4: Socket("udp", local_port=1), 5: Socket("udp"),
        6: Socket("xdp"), 7: Socket(state=LISTEN, local_port=7, reuseport=True),
        8: Socket("udp", local_port=8, reuseport=True), 9: Socket(state="", local_port=9, reuseport=True),
    }
)  # fmt: skip
"""The sockets of this kernel; `Things` has their like in the live one."""


@dataclass
class Things:
    """What numbers name in the live kernel: sockets by their number here, a task and a file, as descriptors."""

    sockets: dict[int, int] = field(default_factory=dict)
    others: dict[int, int] = field(default_factory=dict)
    cookies: dict[int, int] = field(default_factory=dict)
    _keep: list[Any] = field(default_factory=list)

    def descriptor(self, number: int) -> int:
        """Of a socket."""
        return self.sockets.get(number, number)


@contextlib.contextmanager
def things() -> Iterator[Things]:
    """Sockets of this process, as DESCRIBED says them; its own task as 1 and an empty file as 2."""
    with contextlib.ExitStack() as stack:
        found = Things()

        def kept(one: socket.socket, *, port: bool = False, shared: bool = False) -> socket.socket:
            stack.callback(one.close)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
            if port:
                one.bind(("127.0.0.1", 0))
            return one

        listening = kept(socket.socket(), port=True)
        listening.listen()
        client = kept(socket.create_connection(listening.getsockname()))
        kept(listening.accept()[0])
        shared = kept(socket.socket(), port=True, shared=True)
        shared.listen()
        udp = socket.SOCK_DGRAM
        made = {
            1: client, 2: listening, 3: kept(socket.socket()), 4: kept(socket.socket(type=udp), port=True),
            5: kept(socket.socket(type=udp)), 7: shared, 8: kept(socket.socket(type=udp), port=True, shared=True),
            9: kept(socket.socket(), port=True, shared=True),
        }  # fmt: skip
        with contextlib.suppress(OSError):
            made[6] = kept(socket.socket(AF_XDP, socket.SOCK_RAW, 0))
        found.sockets = {number: one.fileno() for number, one in made.items()}
        for number, one in made.items():
            (cookie,) = struct.unpack("=Q", one.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))
            found.cookies[cookie] = number
        task = os.pidfd_open(os.getpid())
        stack.callback(os.close, task)
        found.others = {1: task, 2: stack.enter_context(tempfile.TemporaryFile()).fileno()}
        yield found


def error_of(act: Callable[[], Result]) -> Result:
    """What an operation gives, or ("errno", number)."""
    try:
        return act()
    except CallFailed as failed:
        return "errno", failed.errno
    except OSError as error:
        return "errno", error.errno


class Mine:
    """A map of this kernel."""

    def __init__(self, map_: Map) -> None:
        self.kernel = Kernel()
        inner = self.kernel.create_map(map_.inner, HERE) if map_.inner is not None else None
        self.made: MapObject = self.kernel.create_map(map_, HERE)
        if self.made.state is not None:
            self.made.state.describe(DESCRIBED)
        self.named: dict[int, ProgramObject | MapObject] = {}
        if map_.kind == "prog_array":
            nothing = assemble("r0 = 0; exit", order=HERE)
            self.named = dict(enumerate(self.kernel.load([nothing, nothing], kind="socket_filter"), 1))
        elif inner is not None:
            self.named = {1: inner, 2: self.kernel.create_map(map_.inner or map_, HERE)}

    def _given(self, value: bytes) -> Any:
        return self.named.get(int.from_bytes(value, HERE), value) if self.named else value

    def lookup(self, key: bytes, flags: int) -> Result:
        found = error_of(lambda: elements.lookup(self.made, key, flags))
        return ("errno", 2) if found is None else self._seen(found)

    def _seen(self, found: Result) -> Result:
        ids = {one.id: number for number, one in self.named.items()}
        if isinstance(found, bytes) and ids:
            return ids[int.from_bytes(found, HERE)]
        return found[: possible_cpus()] if RULES.get(self.made.declared.kind, RULES["array"]).per_cpu else found

    def take(self, key: bytes, flags: int) -> Result:
        return self._seen(error_of(lambda: elements.take(self.made, key, flags)))

    def update(self, key: bytes, value: bytes, flags: int) -> Result:
        return error_of(lambda: elements.update(self.kernel, self.made, key, self._given(value), flags))

    def delete(self, key: bytes) -> Result:
        return error_of(lambda: elements.delete(self.kernel, self.made, key))

    def next_key(self, key: bytes | None) -> Result:
        return error_of(lambda: elements.next_key(self.made, key))

    def freeze(self) -> Result:
        return error_of(lambda: elements.freeze(self.made))

    def lookup_batch(self, start: bytes | None, count: int, flags: int, batch_flags: int, *, take: bool) -> Batch:
        found = elements.lookup_batch(self.made, start, count, flags, delete=take, batch_flags=batch_flags)
        return Batch(found.error, found.count, found.keys, tuple(map(self._seen, found.values)), found.out)

    def update_batch(self, given: Sequence[tuple[bytes, bytes]], flags: int) -> Batch:
        return elements.update_batch(self.kernel, self.made, [(k, self._given(v)) for k, v in given], flags)

    def delete_batch(self, keys: Sequence[bytes], flags: int) -> Batch:
        return elements.delete_batch(self.made, keys, flags)

    def close(self) -> None:
        """Nothing is left."""


class Live:
    """The same map of the live kernel."""

    def __init__(self, map_: Map, there: Things) -> None:
        self.map, self.things = map_, there
        self.named: dict[int, int] = {}
        inner = 0
        if map_.inner is not None:
            like = map_.inner
            made = [
                syscall.create_map("inner", MAP_TYPES[like.kind].number, like.key_size, like.value_size,
                                   like.max_entries, like.flags) for _ in range(2)
            ]  # fmt: skip
            inner, self.named = made[0], dict(enumerate(made, 1))
            self.ids = {syscall.map_id(descriptor): number for number, descriptor in self.named.items()}
        elif map_.kind == "prog_array":
            code = assemble("r0 = 0; exit", order=HERE).encode(HERE)
            self.named = {n: syscall.load(code, kind=syscall.SOCKET_FILTER)[0] for n in (1, 2)}
            self.ids = {syscall.program_id(descriptor): number for number, descriptor in self.named.items()}
        typed = map_.lock is not None or map_.timer is not None or map_.kind in LOCAL
        self.descriptor = syscall.create_map(
            "m", MAP_TYPES[map_.kind].number, map_.key_size, map_.value_size, map_.max_entries, map_.flags, inner,
            (value_info(map_, HERE), KEY, VALUE) if typed else None,
        )  # fmt: skip
        self.per_cpu = map_.kind in RULES and RULES[map_.kind].per_cpu
        self.size = stride(map_.value_size) * possible_cpus() if self.per_cpu else map_.value_size

    def close(self) -> None:
        """Close its descriptors. A socket is in one reuseport_sockarray only, and a map ends some time later."""
        if self.map.kind == "reuseport_sockarray":
            for index in range(self.map.max_entries):
                self.delete(index.to_bytes(4, HERE))
        for descriptor in (self.descriptor, *self.named.values()):
            os.close(descriptor)

    def _key(self, key: bytes) -> bytes:
        if self.map.kind not in LOCAL:
            return key
        number = int.from_bytes(key, HERE)
        descriptor = (
            self.things.sockets.get(number) if self.map.kind == "sk_storage" else self.things.others.get(number)
        )
        return key if descriptor is None else descriptor.to_bytes(4, HERE)

    def _given(self, value: bytes) -> bytes:
        number = int.from_bytes(value, HERE)
        if self.named:
            return self.named.get(number, number).to_bytes(4, HERE)
        if self.map.kind in SOCKETS:
            return self.things.descriptor(number).to_bytes(len(value), HERE)
        return value.ljust(stride(len(value)), b"\0") * possible_cpus() if self.per_cpu else value

    def _seen(self, value: bytes) -> Result:
        if self.named:
            return self.ids[int.from_bytes(value, HERE)]
        if self.map.kind in SOCKETS:
            return self.things.cookies[int.from_bytes(value, HERE)].to_bytes(8, HERE)
        if self.per_cpu:
            room = stride(self.map.value_size)
            return tuple(value[at : at + self.map.value_size] for at in range(0, len(value), room))
        return value

    def _element(self, command: int, key: bytes | None, value: bytes, flags: int = 0) -> Result:
        given = ctypes.create_string_buffer(b"" if key is None else key, max(len(key or b""), 1))
        data = ctypes.create_string_buffer(value, max(len(value), 8))
        attr = Element(
            self.descriptor, 0 if not key else ctypes.addressof(given),
            0 if command == DELETE else ctypes.addressof(data), flags,
        )  # fmt: skip

        def act() -> Result:
            syscall.bpf(command, attr)  # type: ignore[arg-type]
            return data.raw[: len(value)]

        return error_of(act)

    def lookup(self, key: bytes, flags: int) -> Result:
        first = key if self.map.kind == "bloom_filter" else bytes(self.size)
        found = self._element(LOOKUP, self._key(key) if self.map.key_size else None, first, flags)
        return self._seen(found) if isinstance(found, bytes) else found

    def take(self, key: bytes, flags: int) -> Result:
        found = self._element(TAKE, self._key(key) if self.map.key_size else None, bytes(self.size), flags)
        return self._seen(found) if isinstance(found, bytes) else found

    def update(self, key: bytes, value: bytes, flags: int) -> Result:
        found = self._element(UPDATE, self._key(key) if self.map.key_size else None, self._given(value), flags)
        return None if isinstance(found, bytes) else found

    def delete(self, key: bytes) -> Result:
        found = self._element(DELETE, self._key(key) if self.map.key_size else None, b"")
        return None if isinstance(found, bytes) else found

    def freeze(self) -> Result:
        return error_of(lambda: syscall.freeze(self.descriptor))

    def next_key(self, key: bytes | None) -> Result:
        return self._element(NEXT, key, bytes(self.map.key_size))

    def _many(
        self, command: int, keys: bytes, values: bytes, count: int, flags: int, batch_flags: int = 0,
        start: bytes | None = None,
    ) -> tuple[int, int, bytes, bytes, bytes]:  # fmt: skip
        buffers = [ctypes.create_string_buffer(part, max(len(part), 8)) for part in (start or b"", b"", keys, values)]
        at = [ctypes.addressof(one) for one in buffers]
        attr = Many(at[0] if start is not None else 0, at[1], at[2], at[3], count, self.descriptor, flags, batch_flags)
        error = 0
        try:
            syscall.bpf(command, attr)  # type: ignore[arg-type]
        except OSError as failed:
            error = failed.errno or 0
        return error, attr.count, buffers[1].raw, buffers[2].raw, buffers[3].raw

    def lookup_batch(self, start: bytes | None, count: int, flags: int, batch_flags: int, *, take: bool) -> Batch:
        room, size = max(self.map.key_size, 4), self.map.key_size
        command = TAKE_BATCH if take else LOOKUP_BATCH
        found = self._many(command, bytes(room * count), bytes(self.size * count), count, flags, batch_flags, start)
        error, number, out, keys, values = found
        shown = range(number if error in (0, 2) else 0)
        return Batch(
            error, number, tuple(keys[n * size : (n + 1) * size] for n in shown),
            tuple(self._seen(values[n * self.size : (n + 1) * self.size]) for n in shown), out[:room],
        )  # fmt: skip

    def update_batch(self, given: Sequence[tuple[bytes, bytes]], flags: int) -> Batch:
        keys, values = b"".join(key for key, _ in given), b"".join(self._given(value) for _, value in given)
        return Batch(*self._many(UPDATE_BATCH, keys, values, len(given), flags)[:2])

    def delete_batch(self, keys: Sequence[bytes], flags: int) -> Batch:
        return Batch(*self._many(DELETE_BATCH, b"".join(keys), b"", len(keys), flags)[:2])

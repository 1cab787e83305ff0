"""What the live kernel says of a Subject: the same program with maps made for it, loaded and let go."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bpf.errors import Refused
from bpf.isa import opcodes
from bpf.object.btf import LINKAGE, Btf, Kind, Type
from bpf.object.btf_wire import encode
from bpf.order import Order
from bpf.program import Map
from bpf.spec.attach import PREFIXES, attach_name
from bpf.spec.maps import MAP_TYPES, RDONLY_PROG
from engines import syscall
from engines.function_info import FunctionInfo
from engines.linux import LinuxEngine
from verifier import calls
from verifier.kernel_types import kernel_types
from verifier.options import ALL, BPF, NET_ADMIN, PERFMON, SYS_ADMIN, Options
from verifier.raw import SLOT, slots
from verifier.subject import Subject

STRICT, ANY, FREQUENT, SLEEPABLE = 1, 2, 8, 16  # BPF_F_*
_NUMBERS = {NET_ADMIN: 12, SYS_ADMIN: 21, PERFMON: 38, BPF: 39}  # CAP_* of linux/capability.h
_CAPABILITY_VERSION = 0x20080522
HOST: Order = "little" if "little" in LinuxEngine().abilities.orders else "big"
"""The byte order of the machine."""
_STANDARD_STREAMS, _MANY = 2, 1024  # descriptors up to the first are open, from the second on they are not
_BY_INDEX = (opcodes.WIDE_FORMS["map_idx"], opcodes.WIDE_FORMS["map_idx_value"])
_BY_DESCRIPTOR = (opcodes.WIDE_FORMS["map_fd"], opcodes.WIDE_FORMS["map_fd_value"])
_UNTYPED = frozenset({
    "perf_event_array", "cgroup_array", "stack_trace", "array_of_maps", "hash_of_maps", "devmap", "devmap_hash",
    "cpumap", "xskmap", "sockmap", "sockhash", "prog_array", "ringbuf", "user_ringbuf", "queue", "stack",
    "bloom_filter", "lpm_trie",
})  # fmt: skip
"""Kinds whose maps are made without types, as libbpf makes most of them."""

_JOINED = re.compile(r"(?<=[^\n])(?=processed \d+ insns \(limit )")
"""Where figures follow a sentence that Linux forgot to end: `expected prog array map for tail call`."""

_FIGURES = ("processed ", "verification time ", "stack depth ")


@dataclass(frozen=True, slots=True)
class Answer:
    """errno: 0 for accepted; log: all that the verifier wrote."""

    errno: int
    log: str

    @property
    def processed(self) -> int:
        """How many instructions were walked."""
        found = re.search(r"^processed (\d+) insns", self.log, re.MULTILINE)
        return int(found[1]) if found else 0

    @property
    def message(self) -> str:
        """The last line of the log but figures, "" where there is none."""
        lines = [line for line in self.log.splitlines() if line and not line.startswith(_FIGURES)]
        return lines[-1] if lines and self.errno else ""


def kernel_type(name: str, *kinds: Kind) -> int:
    """The number of one of the kernel's types, 0 where it has none of that name and kind."""
    types = kernel_types()
    return (types.find(name, *kinds) if types is not None else None) or 0


def target(subject: Subject) -> int:
    """The number of what a subject is attached to, 0 for nothing or what this kernel lacks."""
    if not subject.target:
        return 0
    if subject.type.name == "struct_ops":
        return kernel_type(subject.target, Kind.STRUCT)
    prefix = PREFIXES.get(attach_name(subject.type.name, subject.attach), "")
    return kernel_type(prefix + subject.target.removeprefix(prefix), Kind.FUNC, Kind.TYPEDEF)


def ask(subject: Subject, options: Options, flags: int = 0, level: int | None = None) -> Answer:
    """The live kernel's answer to a loader with the capabilities of the options. flags: further BPF_F_*.

    Without CAP_BPF a kernel asks no verifier unless its unprivileged_bpf_disabled is 0. Raises OSError, NotHere,
    and Refused for a program of the other byte order.
    """
    if subject.order != HOST:
        raise Refused(f"the live kernel takes no {subject.order}-endian program")
    flags |= STRICT * options.strict | ANY * options.any_alignment | FREQUENT * options.frequent
    flags |= SLEEPABLE * subject.sleepable
    with syscall.same_types(), _maps(subject) as descriptors:
        code = _bound(subject, descriptors)
        with without(ALL - options.caps):
            answer = _load(subject, code, flags, options.log_level if level is None else level, descriptors)
            if answer.errno == errno.ENOSPC:  # the log has no room
                answer = _load(subject, code, flags, syscall.LOG_STATS, descriptors)
    return answer


@contextmanager
def loaded(subject: Subject, options: Options) -> Iterator[int]:
    """A descriptor of a program that a loader has loaded. Raises LoadError, OSError, NotHere."""
    with _maps(subject) as descriptors:
        code = _bound(subject, descriptors)
        with without(ALL - options.caps):
            descriptor, _ = syscall.load(
                code, kind=subject.type.number, flags=SLEEPABLE * subject.sleepable, attach=subject.attach,
                target=target(subject), functions=_functions(subject), license_name=subject.license,
            )  # fmt: skip
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def without(capabilities: Iterable[str]) -> Iterator[None]:
    """Have this thread do without some capabilities meanwhile; it keeps the right to take them back. Raises OSError."""
    dropped = sum(1 << _NUMBERS[name] for name in capabilities)
    if not dropped:
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    before, now = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice

    def call(name: str, data: ctypes.Array[ctypes.c_uint32]) -> None:
        if getattr(library, name)(head, data) < 0:
            raise OSError(ctypes.get_errno(), name)

    call("capget", before)
    for index, value in enumerate(before):
        kept = {0: ~dropped, 3: ~(dropped >> 32)}.get(index, -1)
        now[index] = value & kept & 0xFFFFFFFF
    call("capset", now)
    try:
        yield
    finally:
        call("capset", before)


def _load(subject: Subject, code: bytes, flags: int, level: int, descriptors: Sequence[int]) -> Answer:
    by_index = any(raw.code == calls.WIDE and raw.src in _BY_INDEX for raw in slots(subject.code, subject.order))
    try:
        descriptor, log = syscall.load(
            code, log_level=level, kind=subject.type.number, flags=flags, attach=subject.attach, target=target(subject),
            functions=_functions(subject), license_name=subject.license, descriptors=descriptors if by_index else (),
        )  # fmt: skip
    except syscall.LoadError as error:
        return Answer(error.errno or 0, _JOINED.sub("\n", error.log))
    os.close(descriptor)
    return Answer(0, log)


def _functions(subject: Subject) -> FunctionInfo | None:
    if subject.btf is None or not subject.types:
        return None
    order = HOST
    records = b"".join(
        start.to_bytes(4, order) + number.to_bytes(4, order) for start, number in sorted(subject.types.items())
    )
    return FunctionInfo(encoded(subject.btf, subject.maps), records)


def encoded(btf: Btf, maps: Sequence[Map] = ()) -> bytes:
    """Types as a loader completes them: sections have the size of their maps; what is elsewhere is a number.

    Their numbers stay.
    """
    sizes = {map_.name: map_.value_size for map_ in maps}
    number = Type(Kind.INT, "int", 4, encoding=1, bits=32)
    types = []
    for one in btf.types:
        ends = [placed.offset + placed.size for placed in one.variables]
        if one.kind is Kind.DATASEC and ends and not _elsewhere(btf, one):
            types.append(replace(one, size=sizes.get(one.name, max(ends))))
        else:
            types.append(number if _elsewhere(btf, one) else one)
    return encode(replace(btf, types=tuple(types)), HOST)


def _elsewhere(btf: Btf, one: Type) -> bool:
    """Whether it is defined in another object, or is of something that is."""
    if one.kind is Kind.DECL_TAG:
        return _elsewhere(btf, btf[one.type])
    if one.kind is Kind.DATASEC:
        return not one.variables or any(_elsewhere(btf, btf[placed.type]) for placed in one.variables)
    return one.kind in (Kind.VAR, Kind.FUNC) and LINKAGE[one.linkage] == "extern"


@contextmanager
def _maps(subject: Subject) -> Iterator[list[int]]:
    """Descriptors of new maps, as the subject has them."""
    with ExitStack() as stack:
        yield [_map(map_, subject, stack) for map_ in subject.maps]


def _map(map_: Map, subject: Subject, stack: ExitStack) -> int:
    inner = _map(map_.inner, subject, stack) if map_.inner is not None else 0
    types, btf = None, subject.btf
    if btf is not None and map_.value_type and map_.kind not in _UNTYPED:
        key = map_.key_type or next(
            number for number, one in enumerate(btf.types) if one.kind is Kind.INT and one.size == 4
        )
        types = (encoded(btf, subject.maps), 0 if map_.is_data else key, map_.value_type)
    flags = map_.flags | RDONLY_PROG * map_.readonly
    descriptor = syscall.create_map(
        map_.name,
        MAP_TYPES[map_.kind].number,
        map_.key_size,
        map_.value_size,
        map_.max_entries,
        flags,
        inner,
        types,
        map_.extra,
    )
    stack.callback(os.close, descriptor)
    if map_.initial and map_.kind != "arena":  # which is memory, of no element
        syscall.update(descriptor, bytes(map_.key_size), map_.initial.ljust(map_.value_size, b"\0"))
    if map_.readonly:
        syscall.freeze(descriptor)
    return descriptor


def _bound(subject: Subject, descriptors: list[int]) -> bytes:
    """The code with the maps' descriptors, and the kernel's numbers of its functions, in it."""
    code = bytearray(subject.code)
    wide = False
    for pc, raw in enumerate(slots(subject.code, subject.order)):
        if wide:
            wide = False
            continue
        wide = raw.code == calls.WIDE
        number = raw.imm
        if wide and raw.src in _BY_DESCRIPTOR:
            if 0 <= raw.imm < len(descriptors):
                number = descriptors[raw.imm]
            elif _STANDARD_STREAMS < raw.imm < _MANY:
                raise OSError(errno.EMFILE, f"descriptor {raw.imm} may be one of this process")
        elif pc in subject.kfuncs:
            number = kernel_type(subject.kfuncs[pc], Kind.FUNC)
        code[pc * SLOT + 4 : pc * SLOT + 8] = number.to_bytes(4, HOST, signed=True)
    return bytes(code)

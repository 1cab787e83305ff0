"""What the live kernel says of a Subject: the same program with maps made for it, loaded and let go."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bpf.errors import Refused
from bpf.isa import opcodes
from bpf.object.btf import Btf, Kind, Type
from bpf.object.btf_wire import encode
from bpf.program import Map
from bpf.spec.attach import PREFIXES, attach_name
from bpf.spec.maps import MAP_TYPES, RDONLY_PROG
from engines import syscall
from engines.function_info import FunctionInfo
from verifier import calls
from verifier.kernel_types import kernel_types
from verifier.options import Options
from verifier.raw import SLOT, slots
from verifier.subject import Subject

STRICT, ANY, SLEEPABLE = 1, 2, 16  # BPF_F_*
_UNTYPED = frozenset({
    "perf_event_array", "cgroup_array", "stack_trace", "array_of_maps", "hash_of_maps", "devmap", "devmap_hash", "cpumap",
    "xskmap", "sockmap", "sockhash", "prog_array", "ringbuf", "user_ringbuf", "queue", "stack", "bloom_filter", "lpm_trie",
})  # fmt: skip
"""Kinds whose maps are made without types, as libbpf makes most of them."""

_FIGURES = ("processed ", "verification time ", "stack depth ")


@dataclass(frozen=True, slots=True)
class Answer:
    """errno: 0 for accepted; log: all that the verifier wrote."""

    errno: int
    log: str

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
    """The live kernel's answer, to a loader with all capabilities. flags: further BPF_F_*.

    Raises OSError, NotHere, and Refused for a program of the other byte order.
    """
    if subject.order != sys.byteorder:
        raise Refused(f"the live kernel takes no {subject.order}-endian program")
    flags |= STRICT * options.strict | ANY * options.any_alignment | SLEEPABLE * subject.sleepable
    with _maps(subject) as descriptors:
        code = _bound(subject, descriptors)
        answer = _load(subject, code, flags, options.log_level if level is None else level)
        if answer.errno == errno.ENOSPC:  # the log has no room
            answer = _load(subject, code, flags, syscall.LOG_STATS)
    return answer


def _load(subject: Subject, code: bytes, flags: int, level: int) -> Answer:
    try:
        descriptor, log = syscall.load(
            code, log_level=level, kind=subject.type.number, flags=flags, attach=subject.attach, target=target(subject),
            functions=_functions(subject), license_name=subject.license,
        )  # fmt: skip
    except syscall.LoadError as error:
        return Answer(error.errno or 0, error.log)
    os.close(descriptor)
    return Answer(0, log)


def _functions(subject: Subject) -> FunctionInfo | None:
    if subject.btf is None or not subject.types:
        return None
    order = sys.byteorder
    records = b"".join(
        start.to_bytes(4, order) + number.to_bytes(4, order) for start, number in sorted(subject.types.items())
    )
    return FunctionInfo(encode(_plain(subject.btf), order), records)


def _plain(btf: Btf) -> Btf:
    """Types without sections and variables, whose sizes only a loader knows; the numbers of the others stay."""
    if not any(one.kind in (Kind.DATASEC, Kind.VAR) for one in btf.types):
        return btf
    number = Type(Kind.INT, "int", 4, encoding=1, bits=32)
    return replace(btf, types=tuple(number if one.kind in (Kind.DATASEC, Kind.VAR) else one for one in btf.types))


@contextmanager
def _maps(subject: Subject) -> Iterator[list[int]]:
    """Descriptors of new maps, as the subject has them."""
    with ExitStack() as stack:
        yield [_map(map_, subject.btf, stack) for map_ in subject.maps]


def _map(map_: Map, btf: Btf | None, stack: ExitStack) -> int:
    inner = _map(map_.inner, btf, stack) if map_.inner is not None else 0
    types = None
    if btf is not None and map_.value_type and map_.kind not in _UNTYPED:
        key = map_.key_type or next(
            number for number, one in enumerate(btf.types) if one.kind is Kind.INT and one.size == 4
        )
        types = (encode(_plain(btf), sys.byteorder), key, map_.value_type)
    flags = map_.flags | RDONLY_PROG * map_.readonly
    descriptor = syscall.create_map(
        map_.name, MAP_TYPES[map_.kind].number, map_.key_size, map_.value_size, map_.max_entries, flags, inner, types
    )
    stack.callback(os.close, descriptor)
    if map_.initial:
        syscall.update(descriptor, bytes(map_.key_size), map_.initial.ljust(map_.value_size, b"\0"))
    if map_.readonly:
        syscall.freeze(descriptor)
    return descriptor


def _bound(subject: Subject, descriptors: list[int]) -> bytes:
    """The code with the maps' descriptors, and the kernel's numbers of its functions, in it."""
    code = bytearray(subject.code)
    wide = False
    named = (opcodes.WIDE_FORMS["map_fd"], opcodes.WIDE_FORMS["map_fd_value"])
    for pc, raw in enumerate(slots(subject.code, subject.order)):
        if wide:
            wide = False
            continue
        wide = raw.code == calls.WIDE
        number = raw.imm
        if wide and raw.src in named and 0 <= raw.imm < len(descriptors):
            number = descriptors[raw.imm]
        elif calls.is_kfunc_call(raw) and pc in subject.kfuncs:
            number = kernel_type(subject.kfuncs[pc], Kind.FUNC)
        code[pc * SLOT + 4 : pc * SLOT + 8] = number.to_bytes(4, sys.byteorder, signed=True)
    return bytes(code)

"""What the live kernel says of a Subject: the same program with maps made for it, loaded and let go."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bpf.isa import opcodes
from bpf.object.btf import Btf, Kind
from bpf.object.btf_wire import decode, encode
from bpf.program import Map
from bpf.spec.maps import MAP_TYPES
from engines import syscall
from engines.function_info import FunctionInfo
from verifier import calls
from verifier.options import Options
from verifier.raw import SLOT, slots
from verifier.subject import Subject

KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")
STRICT, ANY, SLEEPABLE = 1, 2, 16  # BPF_F_*
_FIGURES = ("processed ", "verification time ", "stack depth ")
_HOOKS = {23: "btf_trace_", 27: "bpf_lsm_", 28: "bpf_iter_", 43: "bpf_lsm_"}
"""expected_attach_type -> what the kernel's BTF has before the name of a target."""


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


@cache
def kernel_types() -> tuple[Btf, dict[str, int]]:
    """The kernel's own BTF and its functions and typedefs by name; raises OSError where it shows none."""
    types = decode(KERNEL_BTF.read_bytes())
    kinds = (Kind.FUNC, Kind.TYPEDEF)
    return types, {one.name: number for number, one in enumerate(types.types) if one.kind in kinds}


def target(subject: Subject) -> int:
    """The number of what a subject is attached to, 0 for nothing or what this kernel lacks."""
    if not subject.target:
        return 0
    return kernel_types()[1].get(_HOOKS.get(subject.attach, "") + subject.target, 0)


def ask(subject: Subject, options: Options, flags: int = 0, level: int | None = None) -> Answer:
    """The live kernel's answer, to a loader with all capabilities. flags: further BPF_F_*. Raises OSError, NotHere."""
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
    return FunctionInfo(encode(subject.btf, order), records)


@contextmanager
def _maps(subject: Subject) -> Iterator[list[int]]:
    """Descriptors of new maps, as the subject has them."""
    with ExitStack() as stack:
        yield [_map(map_, subject.btf, stack) for map_ in subject.maps]


def _map(map_: Map, btf: Btf | None, stack: ExitStack) -> int:
    inner = _map(map_.inner, btf, stack) if map_.inner is not None else 0
    types = None
    if btf is not None and map_.value_type:
        key = map_.key_type or next(
            number for number, one in enumerate(btf.types) if one.kind is Kind.INT and one.size == 4
        )
        types = (encode(btf, sys.byteorder), key, map_.value_type)
    flags = map_.flags
    descriptor = syscall.create_map(
        map_.name, MAP_TYPES[map_.kind].number, map_.key_size, map_.value_size, map_.max_entries, flags, inner, types
    )
    stack.callback(os.close, descriptor)
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
            number = kernel_types()[1].get(subject.kfuncs[pc], 0)
        code[pc * SLOT + 4 : pc * SLOT + 8] = number.to_bytes(4, sys.byteorder, signed=True)
    return bytes(code)

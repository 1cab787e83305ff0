"""Maps that a program names: are they there, and may a program of its type, sleeping or not, use them?

As resolve_pseudo_ldimm64 and check_map_prog_compatibility of Linux 6.18's kernel/bpf/verifier.c. Unknown opcodes are
refused in the same walk over the slots, so which of two faults is reported is a matter of which slot is first.
"""

from __future__ import annotations

from bpf.isa import opcodes
from bpf.isa.opcodes import LDX, MEM, MEMSX
from bpf.isa.table import BY_OPCODE
from bpf.object.btf import COMPOSITE, Btf, Kind
from bpf.program import Map
from bpf.spec import type_rules
from bpf.spec.errno import E2BIG, EBADF, EBUSY, EFAULT, EINVAL, ENOENT, ENOTSUPP, EPERM, EPROTO, ERANGE
from verifier import calls
from verifier.kernel_types import kernel_types
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.shape import Structure

MAX_MAPS = 64  # MAX_USED_MAPS
MAX_OFFSET = 1 << 29  # BPF_MAX_VAR_OFF
_STANDARD_STREAMS = 3  # descriptors that are open, and no map's
_SLEEPABLE = frozenset({
    "hash", "lru_hash", "array", "percpu_hash", "percpu_array", "lru_percpu_hash", "array_of_maps", "hash_of_maps",
    "ringbuf", "user_ringbuf", "inode_storage", "sk_storage", "task_storage", "cgrp_storage", "queue", "stack", "arena",
})  # fmt: skip
_CALLX = opcodes.JMP | opcodes.JMP_OPS["call"] | opcodes.X
_FORM = {number: name for name, number in opcodes.WIDE_FORMS.items()}
SPECIAL = frozenset({
    "bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_list_head", "bpf_list_node", "bpf_rb_root",
    "bpf_rb_node", "bpf_refcount", "bpf_task_work",
})  # fmt: skip
"""Structs that are more than bytes where they lie in a map's value."""


def resolve(found: Structure) -> None:
    """Every opcode is one, every lddw whole, every map there and fit for the program."""
    raws, pc = found.raws, 0
    while pc < len(raws):
        raw = raws[pc]
        code = raw.code
        if code == calls.WIDE:
            _wide(found, pc, raw)
            pc += 2
            continue
        if code & 7 == LDX and (code & 0xE0 not in (MEM, MEMSX) or raw.imm):
            raise Rejection(EINVAL, "BPF_LDX uses reserved fields", pc)
        if code not in BY_OPCODE or code == _CALLX:
            raise Rejection(EINVAL, f"unknown opcode {code:02x}", pc)
        pc += 1


def _wide(found: Structure, pc: int, raw: Raw) -> None:
    raws = found.raws
    if pc + 1 == len(raws) or raws[pc + 1][:4] != (0, 0, 0, 0):
        raise Rejection(EINVAL, "invalid bpf_ld_imm64 insn", pc)
    high = raws[pc + 1].imm
    form = _FORM.get(raw.src, "")
    if form == "btf_id" and pc not in found.subject.kfuncs:
        _check_variable(raw.imm, high, pc)
    if form in ("imm", "btf_id", "func"):
        return
    value = form in ("map_fd_value", "map_idx_value")
    if not value and (form not in ("map_fd", "map_idx") or high):
        raise Rejection(EINVAL, "unrecognized bpf_ld_imm64 insn", pc)
    if form.startswith("map_idx") and not found.subject.maps:
        raise Rejection(EPROTO, "fd_idx without fd_array is invalid", pc)
    number = raw.imm
    if form.startswith("map_idx") and not 0 <= number < len(found.subject.maps):
        raise Rejection(EFAULT, "", pc, reason=f"map {number} of {len(found.subject.maps)}")
    if not 0 <= number < len(found.subject.maps):
        errno = EINVAL if 0 <= number < _STANDARD_STREAMS else EBADF
        raise Rejection(errno, f"fd {number} is not pointing to valid bpf_map", pc)
    map_ = found.subject.maps[number]
    if number not in found.maps:
        if len(found.maps) >= MAX_MAPS:
            raise Rejection(E2BIG, f"The total number of maps per program has reached the limit of {MAX_MAPS}", pc)
        _check_map(found, map_, pc)
        found.maps.append(number)
    found.map_of[pc] = found.maps.index(number)
    if value:
        _check_value(map_, high & 0xFFFFFFFF, pc)
        found.values[pc] = high & 0xFFFFFFFF


def _check_variable(number: int, module: int, pc: int) -> None:
    """A variable or function of the kernel is named; of its modules none is known."""
    if module:
        raise Rejection(EINVAL, "invalid module BTF object FD specified.", pc)
    types = kernel_types()
    if types is None or not 0 <= number < len(types):
        raise Rejection(ENOENT, f"ldimm64 insn specifies invalid btf_id {number}.", pc)
    if types[number].kind not in (Kind.VAR, Kind.FUNC):
        raise Rejection(EINVAL, f"pseudo btf_id {number} in ldimm64 isn't KIND_VAR or KIND_FUNC", pc)


def _check_value(map_: Map, offset: int, pc: int) -> None:
    """The address of a place in a map's value is loaded."""
    if offset >= MAX_OFFSET:
        raise Rejection(EINVAL, f"direct value offset of {offset} is not allowed", pc)
    if map_.kind not in ("array", "arena"):
        raise Rejection(EINVAL, "no direct value access support for this map type", pc)
    errno = 0
    if map_.kind == "arena":
        errno = ERANGE if offset > map_.max_entries << 12 else 0
    elif map_.max_entries != 1:
        errno = ENOTSUPP
    elif offset >= map_.value_size:
        errno = EINVAL
    if errno:
        size = map_.value_size
        raise Rejection(errno, f"invalid access to map value pointer, value_size={size} off={offset}", pc)


def _check_map(found: Structure, map_: Map, pc: int) -> None:
    """May this program use this map?"""
    subject, kind = found.subject, found.subject.type.name
    inside = special(map_, subject.btf)
    if kind in type_rules.TRACING and inside & {"bpf_list_head", "bpf_rb_root"}:
        raise Rejection(EINVAL, "tracing progs cannot use bpf_{list_head,rb_root} yet", pc)
    if inside & {"bpf_spin_lock", "bpf_res_spin_lock"}:
        if kind == "socket_filter":
            raise Rejection(EINVAL, "socket filter progs cannot use bpf_spin_lock yet", pc)
        if kind in type_rules.TRACING:
            raise Rejection(EINVAL, "tracing progs cannot use bpf_spin_lock yet", pc)
    if kind in type_rules.TRACING and "bpf_timer" in inside:
        raise Rejection(EINVAL, "tracing progs cannot use bpf_timer yet", pc)
    if kind in type_rules.TRACING and "bpf_wq" in inside:
        raise Rejection(EINVAL, "tracing progs cannot use bpf_wq yet", pc)
    if map_.kind == "struct_ops":
        raise Rejection(EINVAL, "bpf_struct_ops map cannot be used in prog", pc)
    if subject.sleepable and map_.kind not in _SLEEPABLE:
        raise Rejection(EINVAL, "Sleepable programs can only use array, hash, ringbuf and local storage maps", pc)
    used = {subject.maps[number].kind for number in found.maps}
    if map_.kind in ("cgroup_storage", "percpu_cgroup_storage") and map_.kind in used:
        raise Rejection(EBUSY, "only one cgroup storage of each type is allowed", pc)
    if map_.kind == "arena":
        if "arena" in used:
            raise Rejection(EBUSY, "Only one arena per program", pc)
        if not found.sees_pointers or not found.capable:
            raise Rejection(EPERM, "CAP_BPF and CAP_PERFMON are required to use arena", pc)
        if not map_.extra:
            raise Rejection(EINVAL, "arena's user address must be set via map_extra or mmap()", pc)


def special(map_: Map, btf: Btf | None) -> frozenset[str]:
    """The names of the structs in a map's value that are more than bytes."""
    found = set()
    if map_.lock is not None:
        found.add("bpf_spin_lock")
    if map_.timer is not None:
        found.add("bpf_timer")
    waiting, seen = [map_.value_type] if btf is not None and map_.value_type else [], set[int]()
    while waiting and btf is not None:
        number = btf.strip(waiting.pop())
        if number in seen:
            continue
        seen.add(number)
        type_ = btf[number]
        if type_.kind is Kind.ARRAY:
            waiting.append(type_.type)
        elif type_.kind in COMPOSITE and type_.name in SPECIAL:
            found.add(type_.name)
        elif type_.kind is Kind.STRUCT:
            waiting.extend(member.type for member in type_.members)
        elif type_.kind is Kind.DATASEC:
            waiting.extend(btf[placed.type].type for placed in type_.variables)
    return frozenset(found)

"""Stores through a pointer to one of the kernel's structures: a few members of a few of them may be written.

Source: the btf_struct_access functions of net/core/filter.c, nf_conntrack_bpf.c, bpf_tcp_ca.c and
bpf_dummy_struct_ops.c of Linux 6.18.
"""

from __future__ import annotations

from bpf.object.btf import Btf
from bpf.spec.errno import EACCES
from bpf.spec.traced import WRITABLE
from verifier.btf_walk import walk
from verifier.rejection import Rejection
from verifier.subject import Subject
from verifier.types import ALLOC, UNTRUSTED

READ_ONLY = "only read is supported"
_PACKET = frozenset({"sched_cls", "sched_act", "xdp"})
_RUNS = frozenset({"icsk_ca_priv"})  # any part of these may be written, of others what begins with them


def check_write(subject: Subject, btf: Btf, number: int, type_: int, off: int, size: int) -> None:
    """A store that `btf_walk.check` has let pass. Raises Rejection. type_: the pointer's, number: its structure's."""
    name = btf[number].name
    if type_ & ALLOC and not type_ & UNTRUSTED:
        walk(btf, number, off, size)
        return
    if type_ & UNTRUSTED:
        raise Rejection(EACCES, READ_ONLY)
    who = "packet" if subject.type.name in _PACKET else subject.target if subject.type.name == "struct_ops" else ""
    if who == "bpf_dummy_ops":
        if name != "bpf_dummy_ops_state":
            raise Rejection(EACCES, "only access to bpf_dummy_ops_state is supported")
        if off + size > btf[number].size:
            raise Rejection(EACCES, f"write access at off {off} with size {size}")
        return
    structures, members = WRITABLE.get(who, ((), ()))
    if name not in structures:
        raise Rejection(EACCES, READ_ONLY)
    first = structures[0]
    for owner, path in members:
        start, end = _place(btf, owner, path)
        if off == start or (path in _RUNS and start <= off < end):
            if off + size > end:
                where = f"beyond the member of {first} ended at {end}"
                raise Rejection(EACCES, f"write access at off {off} with size {size} {where}")
            return
    raise Rejection(EACCES, f"no write support to {first} at off {off}")


def _place(btf: Btf, owner: str, path: str) -> tuple[int, int]:
    """Where a member lies, in bytes: `member` or `member.member`. (-1, -1) where the types do not have it."""
    number, start, end = btf.find(owner), 0, 0
    for word in path.split("."):
        member = next((one for one in btf[number].members if one.name == word), None) if number else None
        if member is None:
            return -1, -1
        start += member.offset // 8
        number = btf.strip(member.type)
        end = start + btf.size(number)
    return start, end

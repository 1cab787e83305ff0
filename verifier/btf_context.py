"""Contexts that are the arguments of a kernel function: of tracing and LSM programs, iterators and struct_ops.

What such a program is attached to is named by Subject.target, with or without the prefix that its attach type gives
(`sched_switch`, `btf_trace_sched_switch`); for struct_ops it names the structure, and Subject.attach the member.
Source: btf_ctx_access, bpf_check_attach_target and check_struct_ops_btf_id of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from bpf.object.btf import COMPOSITE, ENUMS, Btf, Kind, Type
from bpf.spec.attach import PREFIXES, attach_name
from bpf.spec.errno import EINVAL, ENOENT, ENOTSUPP
from bpf.spec.traced import DISABLED_HOOKS, ITERATORS, NULLABLE, SLEEPING, UNSUPPORTED, UNTRUSTED_HOOKS
from verifier.kernel_types import kernel_types
from verifier.rejection import Rejection
from verifier.rules import gpl_compatible, hook_range
from verifier.subject import Subject
from verifier.types import BTF, MAYBE_NULL, PERCPU, SCALAR, TRUSTED, USER, by_name

_NO_TARGET = "Tracing programs must provide btf_id"
TYPES = frozenset({"tracing", "lsm", "struct_ops"})
WORD = 8
_MOST = 12 * WORD  # MAX_BPF_FUNC_ARGS
_TAGS = {"user": USER, "percpu": PERCPU}
_RETURNS = frozenset({"lsm_mac", "lsm_cgroup", "trace_fexit", "modify_return"})  # the result lies behind the arguments


class Target(NamedTuple):
    """What a program is attached to.

    name   of the function, as the log has it
    proto  number of its prototype in the kernel's types
    skip   whether the prototype's first parameter is none of the program's
    known  argument -> type that it has whatever the prototype says
    """

    name: str
    proto: int
    skip: bool = False
    known: Mapping[int, int] = MappingProxyType({})


class Argument(NamedTuple):
    """An argument that is loaded. type: of verifier/types.py; id: of BTF the structure; low, high: of a result."""

    type: int
    id: int = 0
    low: int = 0
    high: int = -1


_targets: dict[tuple[str, int, str], Target] = {}


def target_of(subject: Subject) -> Target:
    """What a program is attached to. Raises Rejection as the kernel does while it has seen no instruction."""
    key = (subject.type.name, subject.attach, subject.target)
    found = _targets.get(key)
    if found is None:
        found = _targets[key] = _resolve(subject)
    return found


def check_target(subject: Subject) -> None:
    """Whether a program can be attached to what it names. Raises Rejection; rules.check_sleepable comes first."""
    name = subject.type.name
    if name == "ext":
        raise Rejection(EINVAL, "Cannot replace kernel functions" if subject.target else _NO_TARGET)
    if name not in TYPES:
        return
    if name == "struct_ops" and not gpl_compatible(subject.license):
        raise Rejection(EINVAL, "struct ops programs must have a GPL compatible license")
    target_of(subject)
    if name == "lsm" and not gpl_compatible(subject.license):
        raise Rejection(EINVAL, "LSM programs must have a GPL compatible license")
    if name == "lsm" and target_of(subject).name in DISABLED_HOOKS:
        hook = target_of(subject).name
        number = _types().find(hook, Kind.FUNC)
        raise Rejection(EINVAL, f"attach_btf_id {number} points to disabled hook {hook}")
    if name == "struct_ops" and subject.sleepable and subject.target in SLEEPING:
        member = target_of(subject).name
        if member not in SLEEPING[subject.target]:
            raise Rejection(EINVAL, f"attach to unsupported member {member} of struct {subject.target}")


def _types() -> Btf:
    types = kernel_types()
    if types is None:
        raise Rejection(EINVAL, "", reason="the kernel has no types")
    return types


def _resolve(subject: Subject) -> Target:
    if subject.type.name == "struct_ops":
        return _member(subject)
    if not subject.target:
        raise Rejection(EINVAL, _NO_TARGET)
    types, attach = _types(), attach_name(subject.type.name, subject.attach)
    prefix = PREFIXES.get(attach, "")
    short = subject.target.removeprefix(prefix)
    number = types.find(prefix + short, Kind.TYPEDEF if attach == "trace_raw_tp" else Kind.FUNC)
    if number is None:
        raise Rejection(ENOENT, f"the kernel's types have no {prefix}{short}")
    if attach == "trace_raw_tp":
        template = types.find(f"__bpf_trace_{short}", Kind.FUNC)
        proto = types[template].type if template else types[types[number].type].type
        nulls = NULLABLE.get(short, ())
        return Target(short, proto, True, dict.fromkeys(nulls, BTF | TRUSTED | MAYBE_NULL))
    if attach == "trace_iter":
        if short not in ITERATORS:
            raise Rejection(EINVAL, "", reason=f"there is no iterator {short}")
        return Target(prefix + short, types[number].type, False, {at: by_name(w) for at, w in ITERATORS[short].items()})
    if attach not in _RETURNS and attach != "trace_fentry":
        raise Rejection(EINVAL, "", reason=f"{attach or 'its attach type'} is not for {subject.type.name} programs")
    return Target(prefix + short, types[number].type)


def _member(subject: Subject) -> Target:
    """The function of a structure of functions."""
    if not subject.target:
        raise Rejection(ENOTSUPP, "", reason="no structure of functions is named")
    types = _types()
    number = types.find(subject.target, Kind.STRUCT)
    if number is None or types.find(f"bpf_struct_ops_{subject.target}", Kind.STRUCT) is None:
        raise Rejection(ENOTSUPP, f"attach_btf_id {number or 0} is not a supported struct")
    members = types[number].members
    if subject.attach >= len(members):
        raise Rejection(EINVAL, f"attach to invalid member idx {subject.attach} of struct {subject.target}")
    member = members[subject.attach]
    pointer = types[types.strip(member.type)]
    proto = types.strip(pointer.type) if pointer.kind is Kind.PTR else 0
    if not proto or types[proto].kind is not Kind.FUNC_PROTO:
        where = f"{member.name}(@idx {subject.attach}) of struct {subject.target}"
        raise Rejection(EINVAL, f"attach to invalid member {where}")
    if member.name in UNSUPPORTED.get(subject.target, ()):
        raise Rejection(ENOTSUPP, f"attach to unsupported member {member.name} of struct {subject.target}")
    stub = types.find(f"{subject.target}__{member.name}", Kind.FUNC)
    names = [one.name for one in types[types[stub].type].params] if stub else []
    nulls = [at for at, name in enumerate(names) if name.endswith("__nullable")]
    return Target(member.name, proto, False, dict.fromkeys(nulls, BTF | TRUSTED | MAYBE_NULL))


def result(subject: Subject) -> int:
    """The number of the type that the function returns which a program is attached to; 0 for void."""
    types = _types()
    return types.strip(types[target_of(subject).proto].type)


def void(subject: Subject) -> bool:
    """Whether it is an LSM hook's or a structure's function that returns nothing: then R0 at exit says nothing."""
    return subject.type.name in ("lsm", "struct_ops") and result(subject) == 0


def result_kind(subject: Subject) -> Kind | None:
    """What kind of type that is; None for void."""
    number = result(subject)
    return _types()[number].kind if number else None


def access(subject: Subject, off: int, size: int, *, write: bool) -> tuple[Argument | None, str]:
    """The argument that a load means, None where it is not allowed; and what the kernel's log says of it, or "".

    The log's line stands in front of the state behind the load, or of the sentence that refuses it.
    """
    if write or not 0 <= off < _MOST or off % size:
        return None, ""
    target, types = target_of(subject), _types()
    if off % WORD:
        return None, f"func '{target.name}' offset {off} is not multiple of 8"
    return _Access(subject, types, target, off, size).answer()


class _Access:
    """One load of an argument."""

    def __init__(self, subject: Subject, types: Btf, target: Target, off: int, size: int) -> None:
        self.subject = subject
        self.types = types
        self.target = target
        self.off = off
        self.size = size
        self.attach = attach_name(subject.type.name, subject.attach)
        if subject.type.name == "struct_ops":
            self.attach = "struct_ops"

    def answer(self) -> tuple[Argument | None, str]:
        """The argument and the log's line."""
        types, name = self.types, self.target.name
        proto = types[self.target.proto]
        params = proto.params[self.target.skip :]
        number, count = self.index(proto), len(params)
        low, high = 0, -1
        if number > count or (number == count and self.attach not in _RETURNS):
            return None, f"func '{name}' doesn't have {number + 1}-th argument"
        if number == count:
            if self.attach == "lsm_mac" and proto.type:
                low, high = hook_range(name)
            at = proto.type
        else:
            at = params[number].type
        at = types.strip(at)
        one = types[at]
        if self.attach == "modify_return" and number == count and one.kind is not Kind.INT:
            return None, f"ret type {_kind(one, at)} not allowed for fmod_ret"
        if at and (one.kind in (Kind.INT, *ENUMS) or one.kind in COMPOSITE):
            return Argument(SCALAR, 0, low, high), ""
        if one.kind is not Kind.PTR:
            what = f"has type {_kind(one, at)}. Only pointer access is allowed"
            return None, f"func '{name}' arg{number} '{one.name if at else '(anon)'}' {what}"
        if self.size != WORD:
            return None, f"func '{name}' size {self.size} must be 8"
        return self.pointer(one, number)

    def index(self, proto: Type) -> int:
        """The number of the argument that lies at the offset; structures take as many words as they need."""
        end = 0
        for number, param in enumerate(proto.params):
            end += self.room(param.type)
            if self.off < end:
                return number
        return len(proto.params) + (self.off >= end + self.room(proto.type))

    def room(self, number: int) -> int:
        """The bytes that a value takes among the arguments."""
        at = self.types.strip(number)
        return -(-self.types.size(at) // WORD) * WORD if at else 0

    def pointer(self, one: Type, number: int) -> tuple[Argument | None, str]:
        """A pointer among the arguments."""
        types, name = self.types, self.target.name
        at = types.strip(one.type)
        known = self.target.known.get(number)
        if known is not None and known & 0xFF != BTF:
            return Argument(known), ""
        pointed = types[at]
        if not at or pointed.kind in (Kind.INT, Kind.PTR, *ENUMS):
            return Argument(SCALAR), ""
        if known is not None and self.attach != "trace_raw_tp":
            return Argument(known, self.promoted(at)), ""
        type_ = known or (BTF | TRUSTED if self.trusted() else BTF)
        if pointed.kind not in COMPOSITE:
            return None, f"func '{name}' arg{number} type {_kind(pointed, at)} is not a struct"
        tag = types[one.type]
        if tag.kind is Kind.TYPE_TAG and not tag.flag:
            type_ |= _TAGS.get(tag.name, 0)
        word = pointed.name or "(anon)"
        note = f"func '{name}' arg{number} has btf_id {at} type {pointed.kind.name} '{word}'"
        return Argument(type_, self.promoted(at)), note

    def trusted(self) -> bool:
        """Whether the arguments are."""
        if self.subject.type.name == "lsm":
            return self.target.name not in UNTRUSTED_HOOKS
        return self.attach in ("trace_raw_tp", "trace_iter", "struct_ops")

    def promoted(self, number: int) -> int:
        """A congestion control's socket is a TCP socket."""
        if self.subject.type.name != "struct_ops" or self.subject.target != "tcp_congestion_ops":
            return number
        is_sock = number == self.types.find("sock", Kind.STRUCT)
        return (is_sock and self.types.find("tcp_sock", Kind.STRUCT)) or number


def _kind(one: Type, number: int) -> str:
    return one.kind.name if number else "UNKNOWN"

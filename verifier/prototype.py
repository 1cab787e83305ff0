"""What functions take, by their BTF: as btf_prepare_func_args and what it asks (kernel/bpf/btf.c) of Linux 6.18 say."""

from __future__ import annotations

from typing import NamedTuple

from bpf.object.btf import ENUMS, MODIFIERS, Btf, Kind, Type
from bpf.spec.errno import EINVAL, ENOENT, EOPNOTSUPP, ESRCH
from verifier.kernel_types import kernel_types
from verifier.rejection import Rejection
from verifier.rules import attached_to
from verifier.subject import Subject

_MOST = 5
_TAG = "arg:"
_TAGS = frozenset({"ctx", "trusted", "untrusted", "nonnull", "nullable", "arena"})
_DYNPTRS = frozenset({"bpf_dynptr", "bpf_dynptr_kern"})
_REGISTERS = "bpf_user_pt_regs_t"
_CONTEXTS = {
    "kprobe": "pt_regs",
    "raw_tracepoint": "bpf_raw_tracepoint_args",
    "raw_tracepoint_writable": "bpf_raw_tracepoint_args",
    "tracepoint": "",
    "lirc_mode2": "",
    "tracing": "",
    "lsm": "",
    "syscall": "",
}  # else ProgramType.context
_PROJECTIONS = {"__sk_buff": "sk_buff", "xdp_md": "xdp_buff"}
_BY_NUMBERS = {"raw_tracepoint", "raw_tracepoint_writable", "lsm", "struct_ops"}  # context may be an array of numbers
_TRACED_BY_NUMBERS = {"trace_raw_tp", "trace_fentry", "trace_fexit", "modify_return"}
_ANY_CONTEXT = {"tracepoint", "syscall", "ext"}
_STRUCTS = (Kind.STRUCT, Kind.UNION)


class Argument(NamedTuple):
    """What a parameter takes. kind: "number", "context", "memory", "dynptr", "object", "arena", "untrusted object",
    "untrusted memory"; size: bytes of memory; null: it may be null; number: of an object's type, of the kernel's.
    """

    kind: str
    size: int = 0
    null: bool = False
    number: int = 0


def prototype(subject: Subject, number: int) -> tuple[Argument, ...]:
    """What a function takes. number: of its type. Raises Rejection, of a static one without a sentence."""
    btf = subject.btf
    assert btf is not None
    function = btf[number]
    shared = function.linkage == 1
    proto = btf[function.type]
    if len(proto.params) > _MOST:
        count = len(proto.params)
        raise _no(shared, f"Global function {function.name}() with {count} > {_MOST} args. Buggy compiler.")
    if not _is_number(btf[_bare(btf, proto.type)]):
        text = f"Global function {function.name}() doesn't return scalar. Only those are supported."
        raise _no(shared, text)
    tags: dict[int, list[str]] = {}
    for one in btf.types:
        if one.kind is Kind.DECL_TAG and one.type == number and one.component >= 0 and one.name.startswith(_TAG):
            tags.setdefault(one.component, []).append(one.name.removeprefix(_TAG))
    return tuple(
        _argument(subject, btf, function, at, parameter.type, tags.get(at, []))
        for at, parameter in enumerate(proto.params)
    )


def _no(shared: bool, text: str) -> Rejection:
    return Rejection(EINVAL, text if shared else "")


def _bare(btf: Btf, number: int) -> int:
    return btf.strip(number) if number else 0


def _is_number(type_: Type) -> bool:
    return type_.kind is Kind.INT or type_.kind in ENUMS


def _word(type_: Type, number: int) -> str:
    return type_.kind.name if number else "UNKNOWN"


def _argument(subject: Subject, btf: Btf, function: Type, at: int, number: int, said: list[str]) -> Argument:
    shared = function.linkage == 1
    if said and not shared:
        raise Rejection(EOPNOTSUPP, f"arg#{at} type tag is not supported in static functions")
    tags = set(said)
    if tags - _TAGS:
        raise Rejection(EOPNOTSUPP, f"arg#{at} has unsupported set of tags")
    bare = _bare(btf, number)
    type_ = btf[bare]
    if type_.kind is Kind.PTR and bare:
        found = _pointer(subject, btf, at, type_.type, tags, shared)
        if found is not None:
            return found
    if tags:
        raise Rejection(EINVAL, f"arg#{at} has pointer tag, but is not a pointer type")
    if bare and _is_number(type_):
        return Argument("number")
    raise _no(shared, f"Arg#{at} type {_word(type_, bare)} in {function.name}() is not supported yet.")


def _pointer(subject: Subject, btf: Btf, at: int, number: int, tags: set[str], shared: bool) -> Argument | None:
    """What a pointer to a type is; None for what a static function is not asked for."""
    pointed = _bare(btf, number)
    type_ = btf[pointed]
    if "ctx" in tags or _is_context(subject, btf, number):
        _alone(at, tags - {"ctx"})
        if "ctx" in tags:
            _check_context(subject, btf, at, number)
        return Argument("context")
    if type_.kind is Kind.STRUCT and type_.name in _DYNPTRS:
        _alone(at, tags)
        return Argument("dynptr")
    if "trusted" in tags:
        _alone(at, tags & {"nonnull"})
        return Argument("object", 0, "nullable" in tags, _of_kernel(type_, pointed, at))
    if "untrusted" in tags:
        if len(tags) > 1:
            raise Rejection(EINVAL, f"arg#{at} untrusted cannot be combined with any other tags")
        if not pointed or _is_number(type_) or type_.kind is Kind.PTR:
            return Argument("untrusted memory")
        found = _of_kernel(type_, pointed, at)
        return Argument("untrusted object", 0, False, found)
    if "arena" in tags:
        if len(tags) > 1:
            raise Rejection(EINVAL, f"arg#{at} arena cannot be combined with any other tags")
        return Argument("arena")
    if not shared:
        return None
    _alone(at, tags & {"nullable"})
    size = _size(btf, pointed)
    if size < 0:
        text = f"arg#{at} reference type('{_word(type_, pointed)} {type_.name if pointed else ''}')"
        raise Rejection(EINVAL, f"{text} size cannot be determined: {-EINVAL}")
    return Argument("memory", size, "nonnull" not in tags)


def _alone(at: int, others: set[str]) -> None:
    if others:
        raise Rejection(EINVAL, f"arg#{at} has invalid combination of tags")


def _size(btf: Btf, number: int) -> int:
    """Bytes of a type, -1 for what has no size."""
    type_ = btf[number]
    if not number or type_.kind in (Kind.FWD, Kind.FUNC, Kind.FUNC_PROTO):
        return -1
    if type_.kind is not Kind.ARRAY:
        return btf.size(number)
    element = _size(btf, _bare(btf, type_.type))
    return element * type_.count if element >= 0 else -1


def _of_kernel(type_: Type, number: int, at: int) -> int:
    """The kernel's type of the kind and the name of one of the program's. Raises Rejection."""
    types = kernel_types()
    name = type_.name.split("___")[0]
    found = [] if types is None else [one for one in types.named(name) if types[one].kind is type_.kind]
    if len(found) != 1:
        text = f"arg#{at} reference type('{_word(type_, number)} {type_.name if number else ''}')"
        raise Rejection(ESRCH if found else ENOENT, f"{text} {'is ambiguous' if found else 'has no matches'}")
    return found[0]


# Contexts --------------------------------------------------------------------------------------------


def _context(subject: Subject) -> str:
    """The structure that programs of a type are given, "" where it has no name."""
    type_ = subject.type
    return _CONTEXTS.get(type_.name, type_.context)


def _typedef(btf: Btf, number: int) -> str:
    """The name of the typedef that is met first, "" for none."""
    while number and btf[number].kind in MODIFIERS:
        number = btf[number].type
    return btf[number].name if number and btf[number].kind is Kind.TYPEDEF else ""


def _is_context(subject: Subject, btf: Btf, number: int) -> bool:
    """Whether a pointer to a type is one to the context, by its name alone."""
    if subject.type.name == "kprobe" and _typedef(btf, number) == _REGISTERS:
        return True
    type_ = btf[_bare(btf, number)]
    context = _context(subject)
    return type_.kind is Kind.STRUCT and type_.name != "" and type_.name in (context, _PROJECTIONS.get(context))


def _check_context(subject: Subject, btf: Btf, at: int, number: int) -> None:
    """A pointer that is tagged as one to the context is to what is given. Raises Rejection."""
    kind = subject.type.name
    if kind in ("kprobe", "perf_event") and _typedef(btf, number) == _REGISTERS:
        return
    bare = _bare(btf, number)
    type_ = btf[bare]
    if not bare:
        return
    if not type_.name:
        raise Rejection(EINVAL, f"arg#{at} type doesn't have a name")
    struct = type_.name if type_.kind in _STRUCTS else ""
    attached = attached_to(subject) if kind == "tracing" else ""
    numbers = type_.kind is Kind.INT and type_.size == 8
    if (
        (kind in ("kprobe", "perf_event") and struct == "pt_regs")
        or (numbers and (kind in _BY_NUMBERS or attached in _TRACED_BY_NUMBERS))
        or (attached == "trace_raw_tp" and struct == "bpf_raw_tracepoint_args")
        or (attached == "trace_iter" and struct.startswith("bpf_iter__"))
        or kind in _ANY_CONTEXT
    ):
        return
    context = _context(subject)
    if not context:
        raise Rejection(EINVAL, f"arg#{at} should be void pointer")
    if struct != context:
        raise Rejection(EINVAL, f"arg#{at} should be `struct {context} *`")

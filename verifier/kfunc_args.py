"""Arguments of kernel functions: what the function's prototype takes there, and whether the register is that.

Source: check_kfunc_args of Linux 6.18.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.object.btf import Btf, Kind
from bpf.program import Map
from bpf.spec.errno import EACCES, EFAULT, EINVAL
from bpf.spec.kfunc_signatures import KfuncSignature, Parameter
from verifier import (
    arguments,
    dynptr_args,
    dynptrs,
    fields,
    graphs,
    irq_flags,
    iterators,
    locks,
    memory,
    nullness,
    precision,
    rules,
)  # fmt: skip
from verifier.btf_match import matches
from verifier.env import Env
from verifier.kernel_types import kernel_types
from verifier.kfunc_kinds import KERNEL, SCALARS, TRUSTING, described, is_null, is_trusted, sort, structure
from verifier.registers import passed, unmoved
from verifier.rejection import Rejection
from verifier.state import Dynptr, Reg
from verifier.types import (
    ALLOC,
    BASE,
    BTF,
    CTX,
    DYNPTR,
    FLAGS,
    FUNC,
    MAP_VALUE,
    MAYBE_NULL,
    NON_OWNING,
    PERCPU,
    RCU,
    SCALAR,
    STACK,
    name,
)  # fmt: skip

_PROJECTIONS = frozenset({("__sk_buff", "sk_buff"), ("xdp_md", "xdp_buff")})
_MAKES = {"bpf_dynptr_from_skb": "skb", "bpf_dynptr_from_xdp": "xdp", "bpf_dynptr_from_skb_meta": "skb_meta"}


class Found(NamedTuple):
    """A dynptr argument: its number, kind and reference."""

    id: int = 0
    kind: str = ""
    ref: int = 0


class Given:
    """What the arguments of one call say.

    constant    of a constant argument; ref: the reference of an argument; released: the register that is given back
    dynptr      the initialized dynptr; iterator: its frame and slot
    root        the list or tree; object: the structure of the object, and whether it is owned
    map, map_uid  the map; function: the callback
    """

    __slots__ = (
        "constant",
        "dynptr",
        "function",
        "iterator",
        "map",
        "map_uid",
        "object",
        "owned",
        "ref",
        "released",
        "root",
    )

    def __init__(self) -> None:
        self.constant: int | None = None
        self.ref = 0
        self.released = 0
        self.dynptr = Found()
        self.iterator = (0, 0)
        self.root: graphs.Root | None = None
        self.object: tuple[Btf, int] | None = None
        self.owned = False
        self.map: Map | None = None
        self.map_uid = 0
        self.function = -1


def check(env: Env, one: KfuncSignature) -> Given:
    """All arguments of a call. Raises Rejection."""
    given = Given()
    skip = False
    for at, parameter in enumerate(one.parameters):
        if skip or parameter.suffix in ("ign", "prog"):
            skip = False
            continue
        if parameter.pointer:
            skip = _pointer(env, one, given, at, parameter)
        else:
            _scalar(env, given, at + 1, parameter)
    if one.releases and not given.released:
        text = f"release kernel function {one.name} expects refcounted PTR_TO_BTF_ID"
        raise Rejection(EINVAL, text, env.pc)
    return given


def _reg(env: Env, number: int) -> Reg:
    return env.state.frames[-1].regs[number]


def _scalar(env: Env, given: Given, number: int, parameter: Parameter) -> None:
    reg = _reg(env, number)
    if reg.type != SCALAR:
        raise Rejection(EINVAL, f"R{number} is not a scalar", env.pc)
    if parameter.suffix == "k":
        _constant(env, given, number)
        precision.register(env, number)


def _constant(env: Env, given: Given, number: int) -> None:
    num = _reg(env, number).num
    if num.mask:
        raise Rejection(EINVAL, f"R{number} must be a known constant", env.pc)
    given.constant = num.value


def _pointer(env: Env, one: KfuncSignature, given: Given, at: int, parameter: Parameter) -> bool:
    """A pointer; whether the argument behind it, its size, is looked at with it. Raises Rejection."""
    number = at + 1
    reg = _reg(env, number)
    nullable = parameter.suffix == "nullable"
    if (one.trusted or one.releases or one.rcu) and not nullable and (is_null(reg) or reg.type & MAYBE_NULL):
        raise Rejection(EACCES, f"Possibly NULL pointer passed to trusted arg{at}", env.pc)
    if reg.ref:
        if one.releases and given.ref:
            text = f"more than one arg with ref_obj_id R{number} {reg.ref} {given.ref}"
            raise Rejection(EFAULT, text, env.pc)
        given.ref = reg.ref
        if one.releases:
            given.released = number
    kind = sort(env, one, at, parameter, reg)
    if kind == "null":
        precision.register(env, number)  # no other number is taken for null
        return False
    if kind == "map":
        _same_map(env, one, given, number, reg)
    if kind in ("map", "object", "struct") and (one.trusted or one.releases or one.rcu) and not is_trusted(reg):
        if not one.rcu:
            raise Rejection(EINVAL, f"R{number} must be referenced or trusted", env.pc)
        if not reg.type & RCU:
            raise Rejection(EINVAL, f"R{number} must be a rcu pointer", env.pc)
    _offset(env, number, reg, bool(one.releases and reg.ref), kind == "context")
    _CHECKS[kind](env, one, given, number, reg)
    return kind == "sized"


def _offset(env: Env, number: int, reg: Reg, release: bool, context: bool) -> None:
    """The pointer may be moved as it is. Raises Rejection."""
    if release:
        if reg.type in (STACK, DYNPTR):
            return
        if reg.off:
            text = f"R{number} must have zero offset when passed to release func or trusted arg to kfunc"
            raise Rejection(EINVAL, text, env.pc)
        unmoved(env, number, reg)
    else:
        passed(env, number, reg)


# One after the other ---------------------------------------------------------------------------------


def _context(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type != CTX:
        raise Rejection(EINVAL, f"arg#{number - 1} expected pointer to ctx, but got {name(reg.type)}", env.pc)


def _object(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type == BTF | ALLOC:
        if one.name != "bpf_obj_drop_impl":
            raise Rejection(EINVAL, f"arg#{number - 1} expected for bpf_obj_drop_impl()", env.pc)
    elif reg.type == BTF | ALLOC | PERCPU:
        if one.name != "bpf_percpu_obj_drop_impl":
            raise Rejection(EINVAL, f"arg#{number - 1} expected for bpf_percpu_obj_drop_impl()", env.pc)
    else:
        raise Rejection(EINVAL, f"arg#{number - 1} expected pointer to allocated object", env.pc)
    _referenced(env, reg)
    assert isinstance(reg.of, Btf)
    given.object = reg.of, reg.aux


def _referenced(env: Env, reg: Reg) -> None:
    if not reg.ref:
        raise Rejection(EINVAL, "allocated object must be referenced", env.pc)


def _counted(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type & BASE != BTF or not reg.type & ALLOC:
        raise Rejection(EINVAL, f"arg#{number - 1} is neither owning or non-owning ref", env.pc)
    given.owned = not reg.type & NON_OWNING
    assert isinstance(reg.of, Btf)
    found = fields.of_object(reg.of, reg.aux)
    if not found:
        raise Rejection(EFAULT, "verifier bug: Couldn't find btf_record", env.pc)
    if not any(field.kind == "bpf_refcount" for field in found):
        text = f"arg#{number - 1} doesn't point to a type with bpf_refcount field"
        raise Rejection(EINVAL, text, env.pc)
    given.object = reg.of, reg.aux


def _dynptr(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if one.parameters[number - 1].suffix == "uninit":
        parent = given.dynptr
        kind = _MAKES.get(one.name) or parent.kind
        dynptr_args.initialize(env, number, reg, kind, parent.ref)
        return
    found = dynptr_args.use(env, number, reg, mutates=False)
    dynptrs.read(env, reg)
    assert isinstance(found.of, Dynptr)
    given.dynptr = Found(found.id, found.of.kind, found.ref)


def _iterator(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if one.name == "bpf_iter_css_task_new" and not _may_walk_tasks(env):
        text = "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs"
        raise Rejection(EINVAL, text, env.pc)
    frame, index, ref = iterators.argument(env, one, number, reg)
    given.iterator = frame, index
    given.ref = ref or given.ref


def _may_walk_tasks(env: Env) -> bool:
    subject = env.subject
    if subject.type.name == "lsm":
        return True
    return rules.attached_to(subject) == "trace_iter" or env.state.sleepable


def _allocation(env: Env, number: int, reg: Reg) -> None:
    if reg.type not in (MAP_VALUE, BTF | ALLOC):
        text = f"arg#{number - 1} expected pointer to map value or allocated object"
        raise Rejection(EINVAL, text, env.pc)
    if reg.type == BTF | ALLOC:
        _referenced(env, reg)


def _root(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    _allocation(env, number, reg)
    given.root = graphs.root(env, number, reg, one.parameters[number - 1].struct)


def _list_node(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type != BTF | ALLOC:
        raise Rejection(EINVAL, f"arg#{number - 1} expected pointer to allocated object", env.pc)
    _referenced(env, reg)
    assert given.root is not None
    graphs.node(env, number, reg, given.root)


def _tree_node(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if one.name == "bpf_rbtree_add_impl":
        _list_node(env, one, given, number, reg)
        return
    if not reg.type & NON_OWNING and not reg.ref:
        text = f"{one.name} can only take non-owning or refcounted bpf_rb_node pointer"
        raise Rejection(EINVAL, text, env.pc)
    if graphs.in_callback(env):
        raise Rejection(EINVAL, f"{one.name} not allowed in rbtree cb", env.pc)
    assert given.root is not None
    graphs.node(env, number, reg, given.root)


def _same_map(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    map_ = reg.of
    if map_ is None:
        raise Rejection(EINVAL, f"pointer in R{number} isn't map pointer", env.pc)
    if not isinstance(map_, Map):
        return  # of another type, as is said when types are compared
    if given.map is not None and (given.map is not map_ or given.map_uid != reg.aux):
        work = "bpf_task_work pointer in R2" if "task_work" in one.name else "workqueue pointer in R1"
        text = f"{work} map_uid={given.map_uid} doesn't match map pointer in R{number} map_uid={reg.aux}"
        raise Rejection(EINVAL, text, env.pc)
    given.map, given.map_uid = map_, reg.aux


def _struct(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    base, flags = reg.type & BASE, reg.type & FLAGS
    unsafe = bool(flags & ~TRUSTING) and not reg.type & RCU
    if (base != BTF or unsafe) and base not in KERNEL:
        text = f"arg#{number - 1} is {name(reg.type)} expected {name(base | flags & TRUSTING)} or socket"
        raise Rejection(EINVAL, text, env.pc)
    parameter = one.parameters[number - 1]
    kind, word = ("STRUCT", "bpf_map") if parameter.suffix == "map" else described(parameter)
    types = kernel_types()
    wanted = types.find(word, Kind.STRUCT, Kind.UNION) if types is not None else None
    if types is None or wanted is None:
        raise Rejection(EINVAL, f"struct {word} is not known", env.pc)
    if base == BTF and isinstance(reg.of, Btf):
        btf, have = reg.of, reg.of.strip(reg.aux)
    else:
        btf, have = types, types.find(KERNEL[base], Kind.STRUCT) or 0
    found = btf[have]
    alias = found.name.removesuffix("___init") == word.removesuffix("___init") and found.name != word
    strict = one.acquires or (one.releases and bool(reg.ref)) or alias
    same, said = matches(btf, have, reg.off, types, wanted, strict=strict)
    if not same and (word, found.name) not in _PROJECTIONS:
        text = (
            f"kernel function {one.name} args#{number - 1} expected pointer to {kind} {word} but R{number} has a "
            f"pointer to {'UNION' if found.kind is Kind.UNION else 'STRUCT'} {found.name}"
        )
        raise Rejection(EINVAL, said + text, env.pc)


def _memory(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    parameter = one.parameters[number - 1]
    if parameter.struct:
        found = structure(parameter)
        size = found[0].size(found[1]) if found is not None else 0
    else:
        size = 4 if parameter.is_enum else SCALARS[parameter.type][0]
    if is_null(reg):
        precision.register(env, number)
    else:
        _accessed(env, number, reg, size)


def _sized(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    behind = one.parameters[number]
    if is_null(reg) and one.parameters[number - 1].suffix == "opt":
        precision.register(env, number)
    else:
        try:
            _accessed(env, number, reg, -1)
        except Rejection as inner:
            text = f"{inner.message}\narg#{number - 1} arg#{number} memory, len pair leads to invalid memory access"
            raise Rejection(inner.errno, text, env.pc) from None
    if behind.suffix == "szk":
        _constant(env, given, number + 1)


def _accessed(env: Env, number: int, reg: Reg, size: int) -> None:
    """Memory is read and written; size: -1 where the next register says it. Raises Rejection."""
    regs = env.state.frames[-1].regs
    if reg.type & MAYBE_NULL:
        regs[number] = nullness.not_null(env, reg)
    try:
        for write in (False, True):
            if size < 0:
                memory.sized(env, number, number + 1, write, True, False)
            else:
                memory.for_helper(env, number, size, write, True)
    finally:
        if reg.type & MAYBE_NULL:
            regs[number] = reg


def _callback(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type != FUNC:
        raise Rejection(EINVAL, f"arg{number - 1} expected pointer to func", env.pc)
    given.function = reg.aux


def _string(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type != MAP_VALUE:
        raise Rejection(EINVAL, f"arg#{number - 1} doesn't point to a const string", env.pc)
    arguments.string(env, number, reg)


def _work(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type != MAP_VALUE:
        raise Rejection(EINVAL, f"arg#{number - 1} doesn't point to a map value", env.pc)
    given.map, given.map_uid = locks.work(env, number, reg, one.parameters[number - 1].struct)


def _irq_flag(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    save = one.name in ("bpf_local_irq_save", "bpf_res_spin_lock_irqsave")
    irq_flags.process(env, number, reg, save=save, by="lock" if "_spin_" in one.name else "native")


def _lock(env: Env, one: KfuncSignature, given: Given, number: int, reg: Reg) -> None:
    if reg.type not in (MAP_VALUE, BTF | ALLOC):
        text = f"arg#{number - 1} doesn't point to map value or allocated object"
        raise Rejection(EINVAL, text, env.pc)
    locks.process(env, number, reg, "unlock" not in one.name, "bpf_res_spin", "irq" in one.name)


_CHECKS = {
    "context": _context, "object": _object, "counted": _counted, "dynptr": _dynptr, "iterator": _iterator,
    "root": _root, "list node": _list_node, "tree node": _tree_node, "map": _struct, "struct": _struct,
    "memory": _memory, "sized": _sized, "callback": _callback, "string": _string, "work": _work, "task work": _work,
    "irq flag": _irq_flag, "lock": _lock,
}  # fmt: skip

"""Calls of kernel functions by name: may this program call it here, and what is known afterwards.

Source: check_kfunc_call and check_special_kfunc of Linux 6.18. What it takes is data: bpf/spec/kfunc_signatures.py.
"""

from __future__ import annotations

from bpf.object.btf import Kind
from bpf.spec.errno import EACCES, EFAULT, EINVAL
from bpf.spec.kfunc_signatures import SIGNATURES, KfuncSignature
from verifier import (
    callbacks,
    calls,
    fields,
    graphs,
    held,
    iterators,
    kfunc_args,
    kfunc_kinds,
    objects,
    rules,
)  # fmt: skip
from verifier.env import Env, each_reg
from verifier.exits import check_return
from verifier.frames import clobber, forget_packets
from verifier.kernel_types import kernel_types
from verifier.kfunc_args import Given
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.scalar import settled
from verifier.state import ANY, UNINIT, ZERO, Iterator, Reg, Slice, const, scalar
from verifier.tnum import U64
from verifier.types import (
    ALLOC,
    BTF,
    MAYBE_NULL,
    MEM,
    PERCPU,
    RCU,
    RDONLY,
    TRUSTED,
    UNTRUSTED,
)  # fmt: skip

DONE = -1  # in place of the next slot: the path has ended
_MAX_ERRNO = 4095
_MOST_PER_CPU = 512  # bytes of an object that each CPU has its own of
_NEW = frozenset({"bpf_obj_new_impl", "bpf_percpu_obj_new_impl"})
_SLICES = frozenset({"bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"})
_RESILIENT = frozenset({"bpf_res_spin_lock", "bpf_res_spin_lock_irqsave"})
_INSERTS = frozenset({"bpf_list_push_front_impl", "bpf_list_push_back_impl", "bpf_rbtree_add_impl"})
_GRAPHS = _INSERTS | {
    "bpf_list_pop_front", "bpf_list_pop_back", "bpf_list_front", "bpf_list_back", "bpf_rbtree_remove",
    "bpf_rbtree_first", "bpf_rbtree_root", "bpf_rbtree_left", "bpf_rbtree_right",
}  # fmt: skip
_UNDER_LOCK = (
    _GRAPHS
    | _RESILIENT
    | {"bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy", "bpf_refcount_acquire_impl"}
    | {"bpf_res_spin_unlock", "bpf_res_spin_unlock_irqrestore"}
)  # fmt: skip
"""What may be called while a lock is held."""

_RCU = frozenset({"bpf_rcu_read_lock", "bpf_rcu_read_unlock"})
_MOVES_PACKET = frozenset({"bpf_xdp_pull_data"})


def call(env: Env, raw: Raw) -> int:
    """Execute a call of a kernel function: the slot to go on at, or DONE. Raises Rejection."""
    state = env.state
    name = env.subject.kfuncs.get(env.pc, "")
    if state.locks and name not in _UNDER_LOCK:
        raise Rejection(EINVAL, "function calls are not allowed while holding a lock", env.pc)
    if not name:
        return env.pc + 1  # number 0, of no function: check_numbers
    subject = env.subject
    one = SIGNATURES.get(name)
    if one is None or not one.allows(subject.type.name, rules.attached_to(subject)):
        raise Rejection(EACCES, f"calling kernel function {name} is not allowed", env.pc)
    if name in _RESILIENT:
        _contended(env)
    if name == "__bpf_trap":  # a compiler puts it where it found that nothing can be meant
        raise Rejection(EFAULT, "unexpected __bpf_trap() due to uninitialized variable?", env.pc)
    if one.destroys and "CAP_SYS_BOOT" not in env.options.caps:
        raise Rejection(EACCES, "destructive kfunc calls require CAP_SYS_BOOT capability", env.pc)
    if one.sleeps and not state.sleepable:
        raise Rejection(EACCES, f"program must be sleepable to call sleepable kfunc {name}", env.pc)
    given = kfunc_args.check(env, one)
    if name in callbacks.OF_KFUNCS:
        callbacks.push_kfunc(env, name, given.function, given.root)
    _region(env, one)
    if given.released:
        _release(env, one, given)
    if name in _INSERTS:
        _insert(env, one)
    if name == "bpf_throw":
        if not env.structure.exception_callback:
            check_return(env, 1)
        held.check_leak(env, True, True, "bpf_throw")
        return DONE
    clobber(env)
    _result(env, one, given)
    if name in _MOVES_PACKET:
        forget_packets(env)
    if one.step[1] == "next":
        iterators.step(env, *given.iterator)
    env.live.stored(state, env.pc)
    return env.pc + 1


def of_number_0(env: Env) -> list[int]:
    """Slots that call a kernel function of number 0, which there is not."""
    numbered = env.subject.kfuncs
    return [pc for pc, raw in enumerate(env.structure.raws) if calls.is_kfunc_call(raw) and pc not in numbered]


def check_numbers(env: Env) -> None:
    """Refuse calls of number 0 when all is walked: those that no path reaches are taken out. Raises Rejection."""
    for pc in of_number_0(env):
        if env.aux[pc].seen:
            raise Rejection(EINVAL, "invalid kernel function call not eliminated in verifier pass", pc)


def _contended(env: Env) -> None:
    """The lock may not be given: another path, where R0 is an error."""
    queued = env.push(env.pc + 1, env.pc)
    regs = queued.frames[-1].regs
    for number in range(6):
        regs[number] = UNINIT
    low = -_MAX_ERRNO
    regs[0] = scalar(settled(0, U64, low, -1, 0, U64, low, -1, 0, 0xFFFF_FFFF))


def _region(env: Env, one: KfuncSignature) -> None:
    """Regions are entered and left; what sleeps is in none. Raises Rejection."""
    state, name = env.state, one.name
    if state.rcu and name in _RCU and graphs.in_callback(env):
        text = "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback"
        raise Rejection(EACCES, text, env.pc)
    if name == "bpf_rcu_read_lock":
        if state.rcu:
            raise Rejection(EINVAL, f"nested rcu read lock (kernel function {name})", env.pc)
        state.rcu = 1
    elif name == "bpf_rcu_read_unlock":
        if not state.rcu:
            raise Rejection(EINVAL, f"unmatched rcu read unlock (kernel function {name})", env.pc)
        state.rcu = 0
        each_reg(state, _unguarded)
        iterators.unguard(state)
    elif state.rcu and one.sleeps:
        raise Rejection(EACCES, f"kernel func {name} is sleepable within rcu_read_lock region", env.pc)
    if name == "bpf_preempt_disable":
        state.preempt += 1
    elif name == "bpf_preempt_enable":
        if not state.preempt:
            text = f"unmatched attempt to enable preemption (kernel function {name})"
            raise Rejection(EINVAL, text, env.pc)
        state.preempt -= 1
    elif state.preempt and one.sleeps:
        raise Rejection(EACCES, f"kernel func {name} is sleepable within non-preemptible region", env.pc)
    if state.irq and one.sleeps:
        raise Rejection(EACCES, f"kernel func {name} is sleepable within IRQ-disabled region", env.pc)
    if one.guarded and not objects.in_rcu(env):
        raise Rejection(EACCES, f"kernel func {name} requires RCU critical section protection", env.pc)


def _unguarded(reg: Reg) -> Reg:
    """A pointer that RCU guarded, after its read section."""
    return reg.typed(reg.type & ~(RCU | MAYBE_NULL) | UNTRUSTED) if reg.type & RCU else reg


def _release(env: Env, one: KfuncSignature, given: Given) -> None:
    ref = env.state.frames[-1].regs[given.released].ref
    if not held.release(env, ref):
        raise Rejection(EINVAL, f"kfunc {one.name}#0 reference has not been acquired before", env.pc)


def _insert(env: Env, one: KfuncSignature) -> None:
    """A node belongs to a list or tree: pointers to it are no longer the program's own."""
    ref = env.state.frames[-1].regs[2].ref
    graphs.given(env, ref)
    held.release(env, ref)


# The result ------------------------------------------------------------------------------------------


def _result(env: Env, one: KfuncSignature, given: Given) -> None:
    result = one.result
    if not result.pointer:
        if result.type != "void":
            env.set(0, const(0) if one.name in _RESILIENT else ANY)
        return
    reg = _special(env, one, given)
    if reg is None:
        if result.type == "void":
            env.set(0, ANY)
            return
        reg = _pointer(env, one, given)
    id_ = reg.id
    may_be_null = one.may_be_null and not given.owned
    if may_be_null:
        reg = reg.typed(reg.type | MAYBE_NULL)
        id_ = env.new_id()
    ref = reg.ref
    if one.acquires:
        ref = held.acquire(env)
        if may_be_null:
            id_ = ref
    elif result.struct in ("bpf_rb_node", "bpf_list_node"):
        reg = graphs.non_owning(reg)
    reg = Reg(reg.type, reg.num, reg.off, id_, ref, reg.of, reg.aux)
    if not id_ and fields.may_hold_lock(reg, env.subject.btf):
        reg = reg.identified(env.new_id())
    env.set(0, reg)


def _pointer(env: Env, one: KfuncSignature, given: Given) -> Reg:
    """A pointer to memory or to one of the kernel's structures. Raises Rejection."""
    result = one.result
    if not result.struct:
        flags = RCU if one.guarded else 0
        cookie = one.name == "bpf_session_cookie"
        size = 8 if result.type.endswith("64") else 4
        return Reg(MEM | flags | (0 if cookie else RDONLY), ZERO, 0, 0, given.ref, None, size)
    flags = 0
    if one.name == "bpf_get_kmem_cache":
        flags = UNTRUSTED
    elif one.guarded:
        flags = RCU
    if one.step[1] == "next":
        frame, index = given.iterator
        of = env.state.frames[frame].stack[index].reg.of
        flags |= RCU if isinstance(of, Iterator) and of.trust == "rcu" else TRUSTED
    return objects.kernel_object(env, result.struct).typed(BTF | flags)


def _special(env: Env, one: KfuncSignature, given: Given) -> Reg | None:
    """What functions give whose result hangs on their arguments; None for others. Raises Rejection."""
    name = one.name
    if name in _NEW:
        return _allocated(env, name, given.constant or 0)
    if name == "bpf_refcount_acquire_impl":
        assert given.object is not None
        return Reg(BTF | ALLOC, ZERO, 0, 0, 0, *given.object)
    if given.root is not None and one.result.struct:
        return graphs.element(given.root)
    if name == "bpf_cast_to_kern_ctx":
        return _kernel_context(env)
    if name == "bpf_rdonly_cast":
        return _cast(env, given.constant or 0)
    if name in _SLICES:
        found = given.dynptr
        readonly = name == "bpf_dynptr_slice"
        if not readonly and not rules.may_write_packet(env.subject):
            raise Rejection(EINVAL, "the prog does not allow writes to packet data", env.pc)
        of = Slice(found.id, found.kind)
        return Reg(MEM | (RDONLY if readonly else 0), ZERO, 0, 0, 0, of, given.constant or 0)
    return None


def _allocated(env: Env, name: str, number: int) -> Reg:
    """A new object of one of the program's own types. Raises Rejection."""
    per_cpu = name == "bpf_percpu_obj_new_impl"
    if number >> 32:
        raise Rejection(EINVAL, "local type ID argument must be in range [0, U32_MAX]", env.pc)
    btf = env.subject.btf
    if btf is None:
        raise Rejection(EINVAL, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF", env.pc)
    if not 0 < number < len(btf.types) or btf[number].kind is not Kind.STRUCT:
        text = "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct"
        raise Rejection(EINVAL, text, env.pc)
    if per_cpu:
        size = btf[number].size
        if size > _MOST_PER_CPU:
            text = f"bpf_percpu_obj_new type size ({size}) is greater than {_MOST_PER_CPU}"
            raise Rejection(EINVAL, text, env.pc)
        if not kfunc_kinds.plain_struct(env, btf, number):
            raise Rejection(EINVAL, "bpf_percpu_obj_new type ID argument must be of a struct of scalars", env.pc)
        if fields.of_object(btf, number):
            text = "bpf_percpu_obj_new type ID argument must not contain special fields"
            raise Rejection(EINVAL, text, env.pc)
    return Reg(BTF | ALLOC | (PERCPU if per_cpu else 0), ZERO, 0, 0, 0, btf, number)


def _kernel_context(env: Env) -> Reg:
    """The kernel's own structure behind a program's context. Raises Rejection."""
    types = kernel_types()
    table = types.find("bpf_ctx_convert", Kind.STRUCT) if types is not None else None
    if types is None or table is None:
        raise Rejection(EINVAL, "btf_vmlinux is malformed", env.pc)
    word = f"BPF_PROG_TYPE_{env.subject.type.name.upper()}_kern"
    found = next((member.type for member in types[table].members if member.name == word), 0)
    if types[found].kind is not Kind.STRUCT:
        raise Rejection(EINVAL, f"kern ctx type id {found} is not a struct", env.pc)
    return Reg(BTF | TRUSTED, ZERO, 0, 0, 0, types, found)


def _cast(env: Env, number: int) -> Reg:
    """A pointer that is said to be to one of the kernel's types, which it need not be. Raises Rejection."""
    types = kernel_types()
    if number == 0:
        return Reg(MEM | RDONLY | UNTRUSTED, ZERO)
    if types is None or not 0 < number < len(types):
        raise Rejection(EINVAL, f"Unknown type ID {number} passed to kfunc bpf_rdonly_cast", env.pc)
    if types[number].kind is not Kind.STRUCT:
        text = "kfunc bpf_rdonly_cast type ID argument must be of a struct or void"
        raise Rejection(EINVAL, text, env.pc)
    return Reg(BTF | UNTRUSTED, ZERO, 0, 0, 0, types, number)

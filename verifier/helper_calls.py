"""Calls of helpers: may this program call it, are the arguments what it takes, what is known afterwards.

Source: check_helper_call of Linux 6.18. What it takes is data: bpf/spec/signatures.py, bpf/spec/callers.py.
"""

from __future__ import annotations

from bpf.program import Map
from bpf.spec import callers
from bpf.spec.attach import attach_name
from bpf.spec.errno import EACCES, EINVAL, ENOTSUPP
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import Kind, Signature, signature
from verifier import callbacks, dynptr_args, fields, formats, held, map_calls, memory, objects, precision, rules, types
from verifier.arguments import Call, check
from verifier.env import ANYTHING, NEVER, Env, each_reg
from verifier.frames import clobber, forget_packets
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.scalar import settled
from verifier.state import ANY, UNINIT, ZERO, Reg, scalar
from verifier.tnum import U64
from verifier.types import (
    ALLOC,
    BTF,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    PERCPU,
    RCU,
    RDONLY,
    RINGBUF,
    SCALAR,
    SOCK_COMMON,
    SOCKET,
    TCP_SOCK,
    TRUSTED,
)  # fmt: skip

_MAX_ERRNO = 4095
_RESULTS = {
    "RET_PTR_TO_SOCKET": SOCKET, "RET_PTR_TO_SOCK_COMMON": SOCK_COMMON, "RET_PTR_TO_TCP_SOCK": TCP_SOCK,
    "RET_PTR_TO_MEM": MEM, "RET_PTR_TO_BTF_ID": BTF, "RET_PTR_TO_MEM_OR_BTF_ID": MEM,
}  # fmt: skip
_CASTS = frozenset({
    "tcp_sock", "sk_fullsock", "skc_to_tcp_sock", "skc_to_tcp6_sock", "skc_to_udp6_sock", "skc_to_mptcp_sock",
    "skc_to_tcp_timewait_sock", "skc_to_tcp_request_sock",
})  # fmt: skip
_BOUNDED = frozenset({
    "get_stack", "get_task_stack", "probe_read_str", "probe_read_kernel_str", "probe_read_user_str",
})  # fmt: skip
_TRAMPOLINES = frozenset({"trace_fentry", "trace_fexit", "modify_return"})


def call(env: Env, raw: Raw) -> int:
    """Execute a call of a helper. Raises Rejection."""
    state = env.state
    number = raw.imm
    prototype = PROTOTYPES.get(number)
    name = prototype.name if prototype is not None else "" if number else "unspec"
    if state.locks and name not in ("spin_unlock", "kptr_xchg"):
        raise Rejection(EINVAL, "function calls are not allowed while holding a lock", env.pc)
    shown = f"bpf_{name}#{number}" if name else f"invalid func unknown#{number}"
    if not name:
        raise Rejection(EINVAL, shown, env.pc)
    subject = env.subject
    attach = attach_name(subject.type.name, subject.attach)
    needs = callers.allowed(subject.type.name, attach).get(number)
    if needs is None or not all(cap in env.options.caps or "CAP_SYS_ADMIN" in env.options.caps for cap in needs):
        raise Rejection(EINVAL, f"program of this type cannot use helper {shown}", env.pc)
    sign = signature(number, subject.type.name, attach)
    if sign.gpl_only and not rules.gpl_compatible(subject.license):
        raise Rejection(EINVAL, "cannot call GPL-restricted function from non-GPL compatible program", env.pc)
    _sleeps(env, sign, shown)
    made = Call(number, name, sign)
    for at, kind in enumerate(sign.arguments, 1):
        check(env, made, at, kind)
    map_calls.record(env, made)
    regs = state.frames[-1].regs
    if made.written >= 0:
        for byte in range(made.written):
            memory.access(env, made.written_by, byte, 1, True, -1)
    if sign.releases:
        _release(env, made, sign.releases, shown)
    _special(env, made)
    own = made.name == "tail_call" and len(state.frames) == 1  # only a caller sees what another program did
    moves = (sign.changes_packet and not own) or dynptr_args.moves_packet(env, made)
    clobber(env)
    _result(env, made, sign)
    if made.dynptr is not None or made.makes:
        env.live.stored(state, env.pc)
    map_calls.compatible(env, made)
    if name == "get_func_ip":
        _traces_a_function(env, shown)
    if moves and name != "tail_call":  # a program that goes on was not left
        forget_packets(env)
    assert regs is state.frames[-1].regs
    return env.pc + 1


def _sleeps(env: Env, sign: Signature, shown: str) -> None:
    state = env.state
    if not sign.might_sleep:
        return
    if not state.sleepable:
        raise Rejection(EINVAL, "helper call might sleep in a non-sleepable prog", env.pc)
    regions = ((state.rcu, "rcu_read_lock"), (state.preempt, "non-preemptible"), (state.irq, "IRQ-disabled"))
    for inside, region in regions:
        if inside:
            raise Rejection(EINVAL, f"sleepable helper {shown} in {region} region", env.pc)


def _release(env: Env, made: Call, number: int, shown: str) -> None:
    reg = env.state.frames[-1].regs[number]
    if made.signature.arguments[number - 1].base == "ARG_PTR_TO_DYNPTR":
        dynptr_args.release(env, reg)
        return
    if made.ref:
        if made.name == "kptr_xchg":
            done = held.forget(env.state, made.ref)
            if done:
                _exchanged(env, made.ref)
        else:
            done = held.release(env, made.ref)
    else:
        done = reg.type == SCALAR and reg.num == ZERO
    if not done:
        raise Rejection(EINVAL, f"func {shown} reference has not been acquired before", env.pc)


def _exchanged(env: Env, ref: int) -> None:
    """What was given to a map belongs to the map."""
    in_rcu = env.state.rcu > 0 or not env.state.sleepable

    def change(reg: Reg) -> Reg:
        if reg.ref != ref:
            return reg
        if in_rcu and reg.type & ALLOC and reg.type & PERCPU:
            return Reg(reg.type & ~ALLOC | RCU, reg.num, reg.off, reg.id, 0, reg.of, reg.aux)
        return ANY if env.leaks else UNINIT

    each_reg(env.state, change)


def _special(env: Env, made: Call) -> None:
    """What one helper asks that no other does. Raises Rejection."""
    regs = env.state.frames[-1].regs
    name = made.name
    if name == "tail_call":
        held.check_leak(env, False, True, "tail_call")
    elif name == "get_local_storage":
        if not (regs[2].type == SCALAR and regs[2].num == ZERO):
            raise Rejection(EINVAL, "get_local_storage() doesn't support non-zero flags", env.pc)
    elif name == "snprintf":
        formats.check(env)
    elif name in callbacks.CALLBACKS:
        if name == "loop":
            _inlines(env, regs[2].aux)
            precision.register(env, 1)
            frame = env.state.frames[-1]
            if frame.depth >= regs[1].num.umax:
                frame.depth = 0
                if env.level == 2:
                    env.log.add(f"frame{frame.number} bpf_loop iteration limit reached")
                return
        callbacks.push(env, made)
    elif name == "dynptr_from_mem" and regs[1].type != MAP_VALUE:
        raise Rejection(EACCES, f"Unsupported reg type {types.name(regs[1].type)} for bpf_dynptr_from_mem data", env.pc)
    elif name == "dynptr_data":
        dynptr_args.lends(env, made)


def _traces_a_function(env: Env, shown: str) -> None:
    """There is a function whose address can be told: that of a probe or a trampoline. Raises Rejection."""
    kind = env.subject.type
    if kind.name == "tracing" and rules.attached_to(env.subject) not in _TRAMPOLINES:
        raise Rejection(ENOTSUPP, f"func {shown} supported only for fentry/fexit/fmod_ret programs", env.pc)
    if kind.name not in ("tracing", "kprobe"):
        raise Rejection(ENOTSUPP, f"func {shown} not supported for program type {kind.number}", env.pc)


def _inlines(env: Env, subprog: int) -> None:
    """A loop is compiled inline if all ways to it have the same function and no flags, which is then relied on."""
    aux = env.aux[env.pc]
    if aux.inlined == NEVER:
        return
    flags = env.state.frames[-1].regs[4]
    none = flags.type == SCALAR and flags.num == ZERO
    if none:
        precision.register(env, 4)
    aux.inlined = subprog if none and aux.inlined in (ANYTHING, subprog) else NEVER


# The result ------------------------------------------------------------------------------------------


def _flags(kind: Kind) -> int:
    flags = 0
    if "PTR_MAYBE_NULL" in kind.flags:
        flags |= MAYBE_NULL
    if "PTR_TRUSTED" in kind.flags:
        flags |= TRUSTED
    if "MEM_RDONLY" in kind.flags:
        flags |= RDONLY
    if "MEM_RINGBUF" in kind.flags:
        flags |= RINGBUF
    return flags


def _result(env: Env, made: Call, sign: Signature) -> None:
    kind = sign.result
    base = kind.base
    if base == "RET_VOID":
        return
    if base == "RET_INTEGER":
        env.set(0, _number(env, made))
        return
    flags = _flags(kind)
    id_ = 0
    if base == "RET_PTR_TO_MAP_VALUE":
        map_ = made.map
        assert isinstance(map_, Map)
        if (
            made.name == "map_lookup_elem" and map_calls.has_all_keys(map_) and made.key is not None
            and 0 <= made.key < map_.max_entries
        ):  # fmt: skip
            flags &= ~MAYBE_NULL
        reg = Reg(MAP_VALUE | flags, ZERO, 0, 0, 0, map_, made.map_uid)
        if not flags & MAYBE_NULL and fields.may_hold_lock(reg, env.subject.btf):
            id_ = env.new_id()
    elif base == "RET_PTR_TO_MEM":
        reg = Reg(MEM | flags, ZERO, 0, 0, 0, made.owner, made.mem_size)
    elif base in _RESULTS and base not in ("RET_PTR_TO_BTF_ID", "RET_PTR_TO_MEM_OR_BTF_ID"):
        reg = Reg(_RESULTS[base] | flags)
    else:
        reg = objects.result(env, made, kind, flags)
    if flags & MAYBE_NULL:
        id_ = env.new_id()
    ref = 0
    if made.name in _CASTS or made.name == "dynptr_data":
        ref = made.ref
    elif sign.acquires or (made.name == "map_lookup_elem" and map_calls.holds_sockets(made.map)):
        id_ = ref = held.acquire(env)
    env.set(0, Reg(reg.type, reg.num, reg.off, id_, ref, reg.of, reg.aux))


def _number(env: Env, made: Call) -> Reg:
    """An integer; of a few helpers it is known between what it lies."""
    if made.name in _BOUNDED and made.most >= 0:
        most = made.most
        num = settled(0, U64, -_MAX_ERRNO, most, 0, U64, -_MAX_ERRNO, min(most, (1 << 31) - 1), 0, 0xFFFF_FFFF)
        return scalar(num)
    if made.name == "get_smp_processor_id":
        most = env.options.cpus - 1
        return scalar(settled(0, U64, 0, most, 0, most, 0, most, 0, most))
    return ANY

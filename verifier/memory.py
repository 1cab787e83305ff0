"""Loads and stores: what may be accessed through a register, and what a load leaves.

Source: check_mem_access and check_helper_mem_access of Linux 6.18. One thing is done where Linux does not: a helper
that takes null for no bytes is given no pointer that may be null for some.
"""

from __future__ import annotations

from bpf.map_rules import readonly, writeonly
from bpf.program import Map
from bpf.spec import type_rules
from bpf.spec.errno import EACCES, EINVAL
from verifier import context, fields, kptr, objects, precision, rules, stack, tnum
from verifier.arith import sign_extended, truncated
from verifier.env import Env
from verifier.log import tnum_text
from verifier.registers import unmoved
from verifier.rejection import Rejection
from verifier.scalar import constant, settled
from verifier.state import ANY, MAX_VAR_OFF, ZERO, Reg, scalar
from verifier.tnum import S64_MIN, U64
from verifier.types import (
    ARENA,
    BASE,
    BTF,
    BUF,
    CTX,
    FLOW_KEYS,
    MAP_KEY,
    MAP_PTR,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    PACKET,
    PACKET_META,
    RDONLY,
    SCALAR,
    SOCK_COMMON,
    SOCKET,
    STACK,
    TCP_SOCK,
    TP_BUFFER,
    UNTRUSTED,
    XDP_SOCK,
    name,
)  # fmt: skip

_ALIGNED = {
    FLOW_KEYS: "flow keys ", MAP_KEY: "key ", MAP_VALUE: "value ", CTX: "context ", STACK: "stack ", SOCKET: "sock ",
    SOCK_COMMON: "sock_common ", TCP_SOCK: "tcp_sock ", XDP_SOCK: "xdp_sock ",
}  # fmt: skip
_LEAKS = {MAP_VALUE: "map", MEM: "mem", CTX: "ctx", PACKET: "packet", PACKET_META: "packet", FLOW_KEYS: "flow keys"}
_LEAKS_LATER = frozenset({MEM, PACKET, PACKET_META})  # may it be written at all? is asked first
_IP_ALIGN = 2  # the network header's bytes, which the packet's start makes aligned


def access(
    env: Env, number: int, off: int, size: int, write: bool, value: int, strict: bool = False, sign: bool = False
) -> None:
    """Access `size` bytes at register `number` + off; value: the register stored or loaded into, -1 for none.

    strict: this access must be aligned; sign: the load sign-extends. Raises Rejection.
    """
    reg = env.state.frames[-1].regs[number]
    type_ = reg.type
    if type_ == STACK:
        aligned_access(env, reg, off, size, True)
        stack.within(env, number, off + reg.off, size, write)
        if write:
            stack.write(env, number, off + reg.off, size, value)
        else:
            stack.read(env, number, off + reg.off, size, value)
    else:
        aligned_access(env, reg, off, size, env.strict or strict)
        if write and value >= 0 and type_ in _LEAKS and type_ not in _LEAKS_LATER:
            _leaks(env, type_, value)
        _ACCESS.get(type_ & BASE, _invalid)(env, number, reg, off + reg.off, size, write, value, sign)
    if not write and value >= 0 and size < 8:
        loaded = env.state.frames[-1].regs[value]
        if loaded.type == SCALAR:
            num = sign_extended(loaded.num, size * 8, 64) if sign else truncated(loaded.num, size)
            env.set(value, Reg(SCALAR, num, loaded.off, loaded.id))


def _invalid(env: Env, number: int, reg: Reg, *_: object) -> None:
    raise Rejection(EACCES, f"R{number} invalid mem access '{name(reg.type)}'", env.pc)


def _leaks(env: Env, base: int, value: int) -> None:
    if env.is_pointer(env.state.frames[-1].regs[value]):
        raise Rejection(EACCES, f"R{value} leaks addr into {_LEAKS[base]}", env.pc)


def aligned_access(env: Env, reg: Reg, off: int, size: int, strict: bool) -> None:
    if not strict or size == 1 or reg.type == ARENA:
        return
    num, packet = reg.num, reg.type in (PACKET, PACKET_META)
    fixed = reg.off + off + (_IP_ALIGN if packet else 0)
    value, mask = (num.value + fixed) & U64, num.mask
    if mask:
        value, mask = tnum.add(num.value, num.mask, fixed & U64, 0)
    if (value | mask) & size - 1:
        if packet:
            text = f"misaligned packet access off {_IP_ALIGN}+{tnum_text(num)}+{reg.off}+{off} size {size}"
        else:
            text = f"misaligned {_ALIGNED.get(reg.type, '')}access off {tnum_text(num)}+{reg.off}+{off} size {size}"
        raise Rejection(EACCES, text, env.pc)


# Regions of a known size ---------------------------------------------------------------------------


def _inside(env: Env, number: int, reg: Reg, off: int, size: int, region: int, zero_allowed: bool) -> None:
    """Bytes off .. off + size lie in a region. Raises Rejection."""
    if off >= 0 and (size > 0 or (size == 0 and zero_allowed)) and off + size <= region:
        return
    type_ = reg.type  # with its flags: one that may be null is no value yet
    if type_ == MAP_KEY:
        text = f"invalid access to map key, key_size={region} off={off} size={size}"
    elif type_ == MAP_VALUE:
        text = f"invalid access to map value, value_size={region} off={off} size={size}"
    elif type_ in (PACKET, PACKET_META):
        text = f"invalid access to packet, off={off} size={size}, R{number}(id={reg.id},off={off},r={region})"
    elif type_ == CTX:
        text = f"invalid access to context, ctx_size={region} off={off} size={size}"
    else:
        text = f"invalid access to memory, mem_size={region} off={off} size={size}"
    raise Rejection(EACCES, text, env.pc)


def region(env: Env, number: int, reg: Reg, off: int, size: int, length: int, zero_allowed: bool = False) -> None:
    """An access lies in `length` bytes wherever the pointer's variable part puts it. Raises Rejection."""
    num = reg.num
    if num.smin < 0 and (num.smin == S64_MIN or not -(1 << 31) <= off + num.smin < 1 << 31 or num.smin + off < 0):
        raise Rejection(
            EACCES,
            f"R{number} min value is negative, either use unsigned index or do a if (index >=0) check.",
            env.pc,
        )
    try:
        _inside(env, number, reg, num.smin + off, size, length, zero_allowed)
    except Rejection as inner:
        text = f"{inner.message}\nR{number} min value is outside of the allowed memory range"
        raise Rejection(inner.errno, text, env.pc) from None
    if num.mask == 0:
        return
    if num.umax >= MAX_VAR_OFF:
        raise Rejection(EACCES, f"R{number} unbounded memory access, make sure to bounds check any such access", env.pc)
    try:
        _inside(env, number, reg, num.umax + off, size, length, zero_allowed)
    except Rejection as inner:
        text = f"{inner.message}\nR{number} max value is outside of the allowed memory range"
        raise Rejection(inner.errno, text, env.pc) from None


def map_access(env: Env, number: int, reg: Reg, off: int, size: int, zero_allowed: bool, direct: bool) -> None:
    """An access of a map's value; direct: by an instruction, not by a helper. Raises Rejection."""
    map_ = reg.of
    assert isinstance(map_, Map)
    region(env, number, reg, off, size, map_.value_size, zero_allowed)
    low, high = reg.num.smin + off, reg.num.umax + off + size
    for field in fields.of_value(map_, env.subject.btf):
        if low < field.offset + field.size and field.offset < high:
            fields.accessed(env, reg, field, off, size, direct)


def may_access_map(env: Env, reg: Reg, off: int, size: int, write: bool) -> None:
    """A map whose creator lets programs only read, or only write it. Raises Rejection."""
    map_ = reg.of
    assert isinstance(map_, Map)
    if write and readonly(map_):
        text = f"write into map forbidden, value_size={map_.value_size} off={off} size={size}"
    elif not write and writeonly(map_):
        text = f"read from map forbidden, value_size={map_.value_size} off={off} size={size}"
    else:
        return
    raise Rejection(EACCES, text, env.pc)


def _map_value(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    map_ = reg.of
    if reg.type != MAP_VALUE or not isinstance(map_, Map):
        _invalid(env, number, reg)
    assert isinstance(map_, Map)
    may_access_map(env, reg, off, size, write)
    map_access(env, number, reg, off, size, False, direct=True)
    if reg.num.mask == 0:
        field = fields.pointer_at(map_, env.subject.btf, off + reg.num.value)
        if field is not None:
            kptr.access(env, reg, field, write, value)
            return
    if write or value < 0:
        return
    at = off + reg.num.value
    if reg.num.mask == 0 and map_.readonly and map_.kind == "array" and map_.max_entries == 1:
        data = map_.initial.ljust(map_.value_size, b"\0")[at : at + size]
        if env.subject.order == "big":
            data = data[::-1]
        env.set(value, Reg(SCALAR, constant(int.from_bytes(data, "little", signed=sign))))
    else:
        env.set_unknown(value)


def _map_key(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if reg.type != MAP_KEY:
        _invalid(env, number, reg)
    if write:
        raise Rejection(EACCES, f"write to change key R{number} not allowed", env.pc)
    assert isinstance(reg.of, Map)
    region(env, number, reg, off, size, reg.of.key_size)
    if value >= 0:
        env.set_unknown(value)


def _memory(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if reg.type & MAYBE_NULL:
        _invalid(env, number, reg)
    readonly = reg.type & RDONLY
    if write and readonly:
        raise Rejection(EACCES, f"R{number} cannot write into {name(reg.type)}", env.pc)
    if write and value >= 0:
        _leaks(env, MEM, value)
    if not (readonly and reg.type & UNTRUSTED):
        region(env, number, reg, off, size, reg.aux)
    if value >= 0 and (not write or readonly):
        env.set_unknown(value)


def _context(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if reg.type != CTX:
        _invalid(env, number, reg)
    unmoved(env, number, reg)
    found = context.access(env.subject, off, size, write, env.options, signed=sign)
    if found is None:
        raise Rejection(EACCES, context.invalid(env.subject, off, size, write), env.pc)
    if not write and value >= 0:
        env.set(value, _loaded(env, found))


def _loaded(env: Env, found: context.Access) -> Reg:
    """What a load from the context gives."""
    if found.note and env.level:
        env.log.add(found.note)
    type_ = found.type
    if type_ == SCALAR:
        if found.low <= found.high:
            bounds = (found.low, found.high)
            num = settled(0, U64, *bounds, 0, U64, *bounds, 0, 0xFFFF_FFFF)
            return scalar(num)
        return ANY
    id_ = env.new_id() if type_ & MAYBE_NULL else 0
    if type_ & BASE == BTF:
        return objects.of_kernel(found.id, type_, id_)
    return Reg(type_, ZERO, 0, id_)


def _packet(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if write:
        if not rules.may_write_packet(env.subject):
            raise Rejection(EACCES, rules.CANNOT_WRITE, env.pc)
        env.writes_packet = True
        if value >= 0:
            _leaks(env, reg.type, value)
    packet_access(env, number, reg, off, size, False)
    if not write and value >= 0:
        env.set_unknown(value)


def packet_access(env: Env, number: int, reg: Reg, off: int, size: int, zero_allowed: bool) -> None:
    """An access of bytes that a comparison with the packet's end has shown to be there. Raises Rejection."""
    if reg.num.smin < 0:
        raise Rejection(
            EACCES,
            f"R{number} min value is negative, either use unsigned index or do a if (index >=0) check.",
            env.pc,
        )
    if reg.aux < 0:
        raise Rejection(EINVAL, f"R{number} offset is outside of the packet", env.pc)
    try:
        _inside(env, number, reg, off, size, reg.aux, zero_allowed)
    except Rejection as inner:
        text = f"{inner.message}\nR{number} offset is outside of the packet"
        raise Rejection(inner.errno, text, env.pc) from None


def _flow_keys(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    try:
        rules.check_flow_keys(off, size)
    except Rejection as inner:
        raise Rejection(inner.errno, inner.message, env.pc) from None
    if not write and value >= 0:
        env.set_unknown(value)


def _socket(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if reg.type & MAYBE_NULL:
        _invalid(env, number, reg)
    if write:
        raise Rejection(EACCES, f"R{number} cannot write into {name(reg.type)}", env.pc)
    if reg.num.smin < 0:
        raise Rejection(
            EACCES,
            f"R{number} min value is negative, either use unsigned index or do a if (index >=0) check.",
            env.pc,
        )
    if rules.socket_width(name(reg.type), off, size) is None:
        raise Rejection(EACCES, f"R{number} invalid {name(reg.type)} access off={off} size={size}", env.pc)
    if value >= 0:
        env.set_unknown(value)


def _buffer(env: Env, number: int, reg: Reg, off: int, size: int, word: str) -> None:
    """An access of a buffer whose length is checked when the program is attached. Raises Rejection."""
    if off < 0:
        raise Rejection(EACCES, f"R{number} invalid {word} buffer access: off={off}, size={size}", env.pc)
    if reg.num.mask or reg.num.value:
        raise Rejection(
            EACCES, f"R{number} invalid variable buffer offset: off={off}, var_off={tnum_text(reg.num)}", env.pc
        )


def _tracepoint(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    _buffer(env, number, reg, off, size, "tracepoint")
    if not write and value >= 0:
        env.set_unknown(value)


def _buf(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if reg.type & MAYBE_NULL:
        _invalid(env, number, reg)
    if write and reg.type & RDONLY:
        raise Rejection(EACCES, f"R{number} cannot write into {name(reg.type)}", env.pc)
    _buffer(env, number, reg, off, size, "rdonly" if reg.type & RDONLY else "rdwr")
    if value >= 0 and (reg.type & RDONLY or not write):
        env.set_unknown(value)


def _arena(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if not write and value >= 0:
        env.set_unknown(value)


def _map_pointer(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    objects.map_access(env, number, reg, off, size, write, value)


def _object(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int, sign: bool) -> None:
    if reg.type & MAYBE_NULL:
        _invalid(env, number, reg)
    objects.access(env, number, reg, off, size, write, value)


_ACCESS = {
    MAP_VALUE: _map_value, MAP_KEY: _map_key, MEM: _memory, CTX: _context, PACKET: _packet, PACKET_META: _packet,
    FLOW_KEYS: _flow_keys, SOCKET: _socket, SOCK_COMMON: _socket, TCP_SOCK: _socket, XDP_SOCK: _socket,
    TP_BUFFER: _tracepoint, BUF: _buf, ARENA: _arena, MAP_PTR: _map_pointer, BTF: _object,
}  # fmt: skip


# Helpers -----------------------------------------------------------------------------------------


def for_helper(env: Env, number: int, size: int, write: bool, zero_allowed: bool, raw_mode: bool = False) -> bool:
    """A helper accesses `size` bytes at register `number`. True: see stack.initialized. Raises Rejection."""
    reg = env.state.frames[-1].regs[number]
    base = reg.type & BASE
    if base in (PACKET, PACKET_META):
        packet_access(env, number, reg, reg.off, size, zero_allowed)
    elif base == MAP_KEY:
        if write:
            raise Rejection(EACCES, f"R{number} cannot write into {name(reg.type)}", env.pc)
        assert isinstance(reg.of, Map)
        region(env, number, reg, reg.off, size, reg.of.key_size)
    elif base == MAP_VALUE:
        may_access_map(env, reg, reg.off, size, write)
        map_access(env, number, reg, reg.off, size, zero_allowed, direct=False)
    elif base == MEM:
        if reg.type & RDONLY and write:
            raise Rejection(EACCES, f"R{number} cannot write into {name(reg.type)}", env.pc)
        region(env, number, reg, reg.off, size, reg.aux, zero_allowed)
    elif base == BUF:
        if reg.type & RDONLY and write:
            raise Rejection(EACCES, f"R{number} cannot write into {name(reg.type)}", env.pc)
        _buffer(env, number, reg, reg.off, size, "rdonly" if reg.type & RDONLY else "rdwr")
    elif base == STACK:
        return stack.initialized(env, number, reg.off, size, zero_allowed, write, raw_mode)
    elif base == BTF:
        objects.for_helper(env, number, reg, size, write)
    elif base == CTX and env.subject.type.name in type_rules.UNCONVERTED:
        _context_memory(env, number, reg, size, write, zero_allowed)
    elif zero_allowed and size == 0 and reg.type == SCALAR and reg.num.mask == 0 and reg.num.value == 0:
        pass
    else:
        raise Rejection(EACCES, f"R{number} type={name(reg.type)} expected={name(STACK)}", env.pc)
    return False


def _context_memory(env: Env, number: int, reg: Reg, size: int, write: bool, zero_allowed: bool) -> None:
    """A context that is memory as it stands. Raises Rejection."""
    off = reg.off + size - 1
    if size == 0 and not zero_allowed:
        raise Rejection(EACCES, f"R{number} invalid zero-sized read", env.pc)
    if size:
        access(env, number, size - 1, 1, write, -1)
    elif off < -1:
        unmoved(env, number, reg)


def sized(env: Env, number: int, length: int, write: bool, zero_allowed: bool, raw_mode: bool) -> int:
    """A helper accesses as many bytes at register `number` as register `length` says.

    The size that the caller marks as written after the call, or -1. Raises Rejection.
    """
    regs = env.state.frames[-1].regs
    size = regs[length]
    if size.num.mask:
        raw_mode = False
    num = size.num
    if num.smin < 0:
        raise Rejection(EACCES, f"R{length} min value is negative, either use unsigned or 'var &= const'", env.pc)
    if num.umin == 0 and not zero_allowed:
        raise Rejection(EACCES, f"R{length} invalid zero-sized read: u64=[{num.umin},{num.umax}]", env.pc)
    if num.umax >= MAX_VAR_OFF:
        raise Rejection(EACCES, f"R{length} unbounded memory access, use 'var &= const' or 'if (var < const)'", env.pc)
    if regs[number].type & MAYBE_NULL and num.umax:
        raise Rejection(EACCES, f"R{number} type={name(regs[number].type)} expected={name(STACK)}", env.pc)
    marked = for_helper(env, number, num.umax, write, zero_allowed, raw_mode)
    precision.register(env, length)
    return num.umax if marked else -1

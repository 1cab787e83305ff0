"""lddw: constants, maps, addresses in maps' values, functions, the kernel's variables.

Source: check_ld_imm of Linux 6.18.
"""

from __future__ import annotations

from bpf.isa.table import Row
from verifier import global_functions, objects
from verifier.env import Env
from verifier.raw import Raw
from verifier.registers import writable
from verifier.scalar import constant
from verifier.state import ANY, ZERO, Reg
from verifier.types import FUNC, MAP_PTR, MAP_VALUE, SCALAR


def load(env: Env, raw: Raw, row: Row) -> None:
    """Execute an lddw whose form is right. Raises Rejection."""
    writable(env, raw.dst)
    form, pc = row.op, env.pc
    if form == "imm":
        high = env.structure.raws[pc + 1].imm & 0xFFFF_FFFF
        env.set(raw.dst, Reg(SCALAR, constant(high << 32 | raw.imm & 0xFFFF_FFFF)))
    elif form == "btf_id":
        env.set(raw.dst, objects.variable(env, raw))
    elif form == "func":
        subprog = env.structure.subprogram_at(pc + 1 + raw.imm)
        global_functions.check_callback(env, subprog)
        env.set(raw.dst, Reg(FUNC, ZERO, 0, 0, 0, None, subprog))
    else:
        map_ = env.subject.maps[env.structure.maps[env.structure.map_of[pc]]]
        if form in ("map_fd", "map_idx"):
            env.set(raw.dst, Reg(MAP_PTR, ZERO, 0, 0, 0, map_))
        elif map_.kind == "arena":
            env.set(raw.dst, ANY)
        else:
            env.set(raw.dst, Reg(MAP_VALUE, ZERO, env.structure.values.get(pc, 0), 0, 0, map_))

"""Functions that others may call: they are verified on their own, for any argument that their prototype allows.

Source: btf_prepare_func_args and btf_check_subprog_call of Linux 6.18.
"""

from __future__ import annotations

from bpf.object.btf import LINKAGE
from verifier.env import Env
from verifier.rejection import Rejection


def linkage(env: Env, subprog: int) -> str:
    """"static", "global" or "extern"; "" where no BTF says it."""
    subject = env.subject
    number = subject.types.get(env.structure.starts[subprog], 0)
    if subject.btf is None or not number:
        return ""
    return LINKAGE[subject.btf[number].linkage]


def is_global(env: Env, subprog: int) -> bool:
    """Whether a function is verified on its own."""
    return subprog > 0 and linkage(env, subprog) == "global"


def check_call(env: Env, subprog: int) -> None:
    """The arguments of a call of a global function fit. Raises Rejection."""


def check_static_call(env: Env, subprog: int) -> None:
    """What is asked of a call of a static function."""


def check_callback(env: Env, subprog: int) -> None:
    """A function whose address is taken is static. Raises Rejection."""
    kind = linkage(env, subprog)
    if not kind:
        raise Rejection(22, "missing btf func_info", env.pc)
    if kind != "static":
        raise Rejection(22, "callback function not static", env.pc)

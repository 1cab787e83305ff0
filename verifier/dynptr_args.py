"""Dynptrs as arguments of helpers and kfuncs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpf.spec.signatures import Kind
from verifier.env import Env
from verifier.rejection import Rejection
from verifier.state import Reg

if TYPE_CHECKING:
    from verifier.arguments import Call


def check(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    """A dynptr argument. Raises Rejection."""
    raise Rejection(22, f"arg {number} is a dynptr, which is not known yet", env.pc)


def check_release(env: Env, number: int, reg: Reg) -> None:
    """A dynptr that is given back. Raises Rejection."""


def release(env: Env, reg: Reg) -> None:
    """Give a dynptr back."""


def lends(env: Env, made: Call) -> None:
    """The result is a slice of a dynptr."""


def moves_packet(env: Env, made: Call) -> bool:
    """Whether it writes to the packet through a dynptr."""
    return False

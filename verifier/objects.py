"""Objects of the kernel that BTF describes: what a load through a pointer to one gives."""

from __future__ import annotations

from verifier.env import Env
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.state import Reg
from verifier.types import name


def access(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int) -> None:
    """A load or store through a pointer to an object. Raises Rejection."""
    raise Rejection(13, f"R{number} invalid mem access '{name(reg.type)}'", env.pc)


def map_access(env: Env, number: int, reg: Reg, off: int, size: int, write: bool, value: int) -> None:
    """A load through a pointer to a map itself. Raises Rejection."""
    raise Rejection(13, f"R{number} invalid mem access '{name(reg.type)}'", env.pc)


def for_helper(env: Env, number: int, reg: Reg, size: int, write: bool) -> None:
    """A helper reads an object. Raises Rejection."""
    access(env, number, reg, reg.off, size, write, -1)


def variable(env: Env, raw: Raw) -> Reg:
    """What an lddw of a kernel variable gives. Raises Rejection."""
    raise Rejection(22, "invalid module BTF object FD specified.", env.pc)


def of_kernel(env: Env, struct: str, type_: int, id_: int) -> Reg:
    """A pointer to a struct of the kernel."""
    raise Rejection(22, f"struct {struct} is not known", env.pc)


def kernel_object(env: Env, struct: str) -> Reg:
    """A pointer to a struct of the kernel that a callback is given."""
    return of_kernel(env, struct, 0, 0)

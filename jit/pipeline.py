"""The order of the phases: Program -> Ops (once for all targets) -> Image (once per target)."""

from __future__ import annotations

from bpf.errors import Refused
from bpf.plan import Unit
from bpf.program import Program
from jit.image import Image
from jit.ops import Front, front
from jit.registry import backend
from jit.target import Target


def compile_program(
    unit: Unit, program: Program, target: Target, *, observe: bool = False, features: frozenset[str] | None = None
) -> Image:
    """Compile Unit.whole, or what starts like it, for a target. Raises Refused when the byte orders differ."""
    return compile_front(front(unit, program, observe=observe), target, features=features)


def compile_front(ops: Front, target: Target, *, features: frozenset[str] | None = None) -> Image:
    """Compile Ops, which several targets of one byte order may share, for one target."""
    if ops.unit.order != target.order:
        raise Refused(
            f"a {ops.unit.order}-endian program does not run on {target.name}, which is {target.order}-endian"
        )
    return backend(target)(target, ops, target.features if features is None else features).compile()

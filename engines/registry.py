"""Every engine, the interpreter first."""

from __future__ import annotations

from bpf.errors import BadInput
from engines.base import Engine
from engines.emulated import EmulatedEngine
from engines.interpreter import InterpreterEngine
from jit.registry import TARGETS, target

ENGINES: dict[str, Engine] = {
    "interpreter": InterpreterEngine(),
    **{name: EmulatedEngine(machine) for name, machine in TARGETS.items()},
}


def engine(name: str) -> Engine:
    """The engine of that name; a target's other spellings are accepted. Raises BadInput with the names there are."""
    found = ENGINES.get(name)
    if found is not None:
        return found
    try:
        return ENGINES[target(name).name]
    except BadInput:
        raise BadInput(f"no engine named {name!r}", remedy="engines: " + ", ".join(ENGINES)) from None

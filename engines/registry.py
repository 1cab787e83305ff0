"""Every engine, the interpreter first."""

from __future__ import annotations

from importlib import import_module

from bpf.errors import BadInput
from engines.base import Engine
from engines.emulated import EmulatedEngine
from engines.interpreter import InterpreterEngine
from jit.registry import TARGETS, target

ENGINES: dict[str, Engine] = {
    "interpreter": InterpreterEngine(),
    **{name: EmulatedEngine(machine) for name, machine in TARGETS.items()},
}

EXTRA: dict[str, str] = {"native": "engines.native:NativeEngine", "linux": "engines.linux:LinuxEngine"}
"""Engines that only some machines have, by where their class is: they run when they are asked for by name."""

_made: dict[str, Engine] = {}


def engine(name: str) -> Engine:
    """The engine of that name; a target's other spellings are accepted.

    Raises BadInput with the names there are, or Refused for an engine that this machine cannot be.
    """
    found = ENGINES.get(name) or _made.get(name)
    if found is not None:
        return found
    if name in EXTRA:
        module, _, made = EXTRA[name].partition(":")
        _made[name] = getattr(import_module(module), made)()
        return _made[name]
    try:
        return ENGINES[target(name).name]
    except BadInput:
        raise BadInput(f"no engine named {name!r}", remedy="engines: " + ", ".join((*ENGINES, *EXTRA))) from None

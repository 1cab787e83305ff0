"""The targets: the one list that a new machine adds a line to."""

from __future__ import annotations

from importlib import import_module

from bpf.errors import BadInput
from jit.backend import Backend
from jit.target import Target

_FOLDERS = ("x86_64", "arm64", "riscv64", "ppc64", "s390x")
_BACKENDS: dict[str, str] = {}


def _load() -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for folder in _FOLDERS:
        for target in import_module(f"jit.{folder}.target").TARGETS:
            targets[target.name] = target
            _BACKENDS[target.name] = f"jit.{folder}.lower"
    return targets


TARGETS: dict[str, Target] = _load()


def target(name: str) -> Target:
    """The target of that name or alias, in any case. Raises BadInput with the names there are."""
    wanted = name.lower()
    for candidate in TARGETS.values():
        if wanted == candidate.name or wanted in candidate.aliases:
            return candidate
    raise BadInput(f"no target named {name!r}", remedy="targets: " + ", ".join(TARGETS))


def backend(machine: Target) -> type[Backend]:
    """The backend class of a target."""
    found: type[Backend] = import_module(_BACKENDS[machine.name]).LOWER
    return found

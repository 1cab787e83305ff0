"""Engines made of edited source: a private copy of the JIT, next to the real one.

Nothing that exists is changed, so nothing has to be put back. The compiler, the backends that are asked for and what
calls the compiler by name (the engine, the guest, the batch driver) are executed again, each as a module object of its
own that only its copies see. So tables, aliases such as `lower_add = _arith`, functions imported by name, caches and
the Ops that engines share are all the copy's own, and none of them can be missed.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pkgutil import walk_packages
from types import ModuleType, SimpleNamespace
from typing import Any

import jit
from engines import Engine
from jit.backend import Backend
from jit.registry import backend
from jit.target import Target

_SHARED = frozenset({"jit.target", "jit.registry", "jit.encoding"})  # facts and an error class: nothing to edit
_COPIED = frozenset({"emu.batch", "emu.guest", "engines.emulated"}) | {
    module.name
    for module in walk_packages(jit.__path__, "jit.")
    if not (module.ispkg or module.name in _SHARED or module.name.endswith(".target"))
}
Edits = Mapping[str, Sequence[tuple[str, str]]]


def variant(targets: Sequence[Target], edits: Edits) -> list[Engine]:
    """Engines for the targets, compiled by a JIT with edits: module -> (text that stands there once, other text).

    Raises ValueError for an edit that does not fit the source.
    """
    copy = _Copy(edits)
    copy.load("jit.pipeline").backend = copy.backend
    engine = copy.load("engines.emulated").EmulatedEngine
    for target in targets:
        copy.backend(target)
    unused = set(edits) - set(copy.modules)
    if unused:
        raise ValueError(f"edits of modules that no variant loads: {', '.join(sorted(unused))}")
    return [engine(target) for target in targets]


class _Copy:
    """The copied modules by name. A module is executed when the first of them imports it."""

    def __init__(self, edits: Edits) -> None:
        self.edits = edits
        self.modules: dict[str, Any] = {}

    def backend(self, target: Target) -> type[Backend]:
        """The backend class of a target, instead of jit.registry.backend."""
        found: type[Backend] = self.load(backend(target).__module__).LOWER
        return found

    def load(self, name: str) -> Any:
        """The copy of a module."""
        module = self.modules.get(name)
        if module is None:
            spec = find_spec(name)
            assert spec is not None
            loader: Any = spec.loader
            code = loader.get_code(name)
            if name in self.edits:
                source = edited(name, loader.get_source(name), self.edits[name])
                code = compile(source, f"<mutant of {spec.origin}>", "exec", dont_inherit=True)
            module = self.modules[name] = ModuleType(name)
            module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
            exec(code, module.__dict__)
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        """What `import` does in a copied module: copies instead of originals."""
        if name in _COPIED:
            return self.load(name)
        submodules = {item: self.load(f"{name}.{item}") for item in fromlist or () if f"{name}.{item}" in _COPIED}
        if submodules:  # from jit.arm64 import encode
            return SimpleNamespace(**submodules)
        return builtins.__import__(name, globals, locals, fromlist or (), level)


def edited(module: str, source: str, edits: Sequence[tuple[str, str]]) -> str:
    """The source with each edit made. Raises ValueError where the old text does not stand there exactly once."""
    for old, new in edits:
        count = source.count(old)
        if count != 1:
            raise ValueError(f"{module}: this stands there {count} times, not once: {old!r}")
        source = source.replace(old, new)
    return source

"""Engines and verifiers made of edited source: a private copy of the JIT or the verifier, next to the real one.

Nothing that exists is changed, so nothing has to be put back. The compiler, the backends that are asked for and what
calls the compiler by name (the engine, the guest, the batch driver) are executed again, each as a module object of its
own that only its copies see; so are the modules of the verifier from which an edited one can be reached. So tables,
aliases such as `lower_add = _arith`, functions imported by name, caches and the Ops that engines share are all the
copy's own, and none of them can be missed.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pkgutil import walk_packages
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import jit
import verifier
from engines import Engine
from engines.emulated import shared_front
from jit.backend import Backend
from jit.registry import backend
from jit.target import Target

_SHARED = frozenset({"jit.target", "jit.registry", "jit.encoding"})  # facts and an error class: nothing to edit
_CALLERS = frozenset({"jit.pipeline", "emu.batch", "emu.guest", "engines.emulated"})
_MODULES = frozenset(
    module.name
    for module in walk_packages(jit.__path__, "jit.")
    if not (module.ispkg or module.name in _SHARED or module.name.endswith(".target"))
)
_BASE = frozenset(name for name in _MODULES if name.count(".") == 1)
_VERIFIER = frozenset(module.name for module in walk_packages(verifier.__path__, "verifier.")) - {
    "verifier.kernel_types",  # the running kernel's types, which take long to read
    "verifier.subject",
}
Edits = Mapping[str, Sequence[tuple[str, str]]]


def variant(targets: Sequence[Target], edits: Edits) -> list[Engine]:
    """Engines for the targets, compiled by a JIT with edits: module -> (text that stands there once, other text).

    Raises ValueError for an edit that does not fit the source.
    """
    folders = {backend(target).__module__.rpartition(".")[0] for target in targets}
    copy = _Compiler({name for name in _MODULES if name.rpartition(".")[0] in folders} | _CALLERS, edits)
    if _BASE & set(edits):
        copy.names |= _BASE
    copy.load("jit.pipeline").backend = copy.backend
    emulated = copy.load("engines.emulated")
    if not copy.names >= _BASE:
        emulated.shared_front = shared_front  # the same Ops as ever
    for target in targets:
        copy.backend(target)
    copy.check()
    return [emulated.EmulatedEngine(target) for target in targets]


def judging(edits: Edits) -> Any:
    """`verifier.verify.walked` of a verifier with edits. Raises ValueError for an edit that does not fit the source."""
    names = set(edits) & _VERIFIER | {"verifier.verify"}
    waiting = list(names)
    while waiting:  # what imports an edited module, and so on, is a copy too
        module = waiting.pop()
        new = {other for other, imported in _imports().items() if module in imported} - names
        names |= new
        waiting += new
    copy = _Copy(names, edits)
    found = copy.load("verifier.verify").walked
    copy.check()
    return found


@cache
def _imports() -> dict[str, frozenset[str]]:
    """Which modules of the verifier each of them imports, anywhere in it."""
    found = {}
    for name in _VERIFIER:
        names = set()
        for node in ast.walk(ast.parse(_loader(name).get_source(name))):
            if isinstance(node, ast.ImportFrom):
                names |= {str(node.module), *(f"{node.module}.{item.name}" for item in node.names)}
        found[name] = frozenset(names & _VERIFIER)
    return found


class _Copy:
    """Modules that import each other instead of the originals. One is executed when the first of them imports it."""

    def __init__(self, names: set[str], edits: Edits) -> None:
        self.names = names
        self.edits = edits
        self.modules: dict[str, Any] = {}

    def check(self) -> None:
        """Every edit is in a module that was loaded. Raises ValueError."""
        unused = set(self.edits) - set(self.modules)
        if unused:
            raise ValueError(f"edits of modules that the variant does not load: {', '.join(sorted(unused))}")

    def load(self, name: str) -> Any:
        """The copy of a module."""
        module = self.modules.get(name)
        if module is None:
            code = _code(name)
            if name in self.edits:
                source = edited(name, _loader(name).get_source(name), self.edits[name])
                code = compile(source, f"<variant of {name}>", "exec", dont_inherit=True)
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
        if name in self.names:
            return self.load(name)
        submodules = {item: self.load(f"{name}.{item}") for item in fromlist or () if f"{name}.{item}" in self.names}
        real = builtins.__import__(name, globals, locals, fromlist or (), level)
        if submodules:  # from jit.arm64 import encode
            return SimpleNamespace(**{item: getattr(real, item) for item in fromlist or ()} | submodules)
        return real


class _Compiler(_Copy):
    """The JIT's modules."""

    def backend(self, target: Target) -> type[Backend]:
        """The backend class of a target, instead of jit.registry.backend."""
        found: type[Backend] = self.load(backend(target).__module__).LOWER
        return found


def _loader(name: str) -> Any:
    spec = find_spec(name)
    assert spec is not None
    return spec.loader


@cache
def _code(name: str) -> CodeType:
    """The code of a module as it is."""
    found: CodeType = _loader(name).get_code(name)
    return found


def edited(module: str, source: str, edits: Sequence[tuple[str, str]]) -> str:
    """The source with each edit made. Raises ValueError where the old text does not stand there exactly once."""
    for old, new in edits:
        count = source.count(old)
        if count != 1:
            raise ValueError(f"{module}: this stands there {count} times, not once: {old!r}")
        source = source.replace(old, new)
    return source

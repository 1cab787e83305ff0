"""How tests plant a fault: a subclass of the backend that the pipeline then uses. The backends know nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from jit.backend import Backend
from jit.registry import TARGETS, backend
from jit.target import Target
from vm.world import Limits

LIMITS = Limits(seconds=0.3)
"""A fault may make an endless loop."""

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))


def faulty(target: Target, **methods: Callable[..., Any]) -> type[Backend]:
    """The target's backend with other methods; each gets the right one as its first argument, then self."""
    base = backend(target)

    def method(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        right = getattr(base, name)
        return lambda self, *arguments: act(partial(right, self), self, *arguments)

    return type(base.__name__, (base,), {name: method(name, act) for name, act in methods.items()})


def use(monkeypatch: pytest.MonkeyPatch, backend_class: type[Backend]) -> None:
    """Have the pipeline compile with this class."""
    monkeypatch.setattr("jit.pipeline.backend", lambda target: backend_class)

"""Calls of kernel functions by name."""

from __future__ import annotations

from verifier.env import Env
from verifier.raw import Raw
from verifier.rejection import Rejection


def call(env: Env, raw: Raw) -> int:
    """Execute a call of a kernel function. Raises Rejection."""
    raise Rejection(22, f"calling kernel function {env.subject.kfuncs.get(env.pc, '')} is not allowed", env.pc)

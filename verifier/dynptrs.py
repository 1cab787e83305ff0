"""Dynptrs on the stack: made, used, given back, and lost when something else is written there."""

from __future__ import annotations

from verifier.env import Env
from verifier.rejection import Rejection
from verifier.state import DYNPTR_SLOT, Frame


def destroy_slot(env: Env, frame: Frame, index: int) -> None:
    """A slot is written: a dynptr there is gone. Raises Rejection for one that has to be released."""
    if frame.stack[index].kinds[7] == DYNPTR_SLOT:
        raise Rejection(22, "cannot overwrite referenced dynptr", env.pc)

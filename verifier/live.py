"""Which stack slots are still read: every one, until it is known better."""

from __future__ import annotations

from verifier.env import Env
from verifier.state import Frame, State


def read(env: Env, frame: Frame, slots: int) -> None:
    """This instruction reads slots of a frame, given as bits."""


def wrote(env: Env, frame: Frame, slots: int) -> None:
    """This instruction writes whole slots."""


def alive(env: Env, state: State, frame: int, slot: int) -> bool:
    """Whether a slot of a stored state may still be read."""
    return True

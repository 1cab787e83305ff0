"""One interface over everything that can run a program."""

from engines.base import Engine, Options, Prepared
from engines.registry import ENGINES, engine

__all__ = ["ENGINES", "Engine", "Options", "Prepared", "engine"]

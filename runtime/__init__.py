"""The kernel's bpf() seen from outside: load, maps, runs, permissions, pins on disk."""

from runtime.kernel import Kernel, MapObject, ProgramObject
from runtime.loaded import Loaded
from runtime.permission import Caller
from runtime.store import Store

__all__ = ["Caller", "Kernel", "Loaded", "MapObject", "ProgramObject", "Store"]

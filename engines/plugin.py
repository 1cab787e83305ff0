"""Somebody else's runtime as an engine, over the public suite's plugin protocol.

The program goes to the command's standard input as space-separated hex bytes (little-endian wire form), the memory
as hex bytes in the first argument, if there is any; the command prints R0 in hex and exits with 0. Whatever else it
does, crash, hang, eat memory, print garbage, is an Outcome that says so and never an exception.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from bpf.errors import BadInput, Refused
from bpf.plan import Unit
from engines.base import Abilities, Engine, Options, Prepared
from vm.outcome import Fault, Outcome
from vm.step import Step
from vm.world import Input, Limits, World

OUTPUT_LIMIT = 1 << 20
MEMORY_LIMIT = 4 << 30
_TEXT = 300  # characters of a plugin's words that are kept


def _bounds() -> Callable[[], None] | None:
    """What the child calls before it becomes the plugin: bounds on memory, files and core dumps (POSIX only)."""
    if sys.platform == "win32":
        return None
    import resource

    def bound() -> None:
        for what, value in (
            (resource.RLIMIT_AS, MEMORY_LIMIT),
            (resource.RLIMIT_FSIZE, OUTPUT_LIMIT),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):  # a stricter bound is there already
                resource.setrlimit(what, (value, value))

    return bound


class PluginPrepared(Prepared):
    """A program for the plugin; each run is a process of its own."""

    def __init__(self, command: tuple[str, ...], unit: Unit) -> None:
        self._command = command
        self._code = unit.programs[0].encode("little").hex(" ").encode()

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """One process. Only the memory of the input reaches it."""
        arguments = [*self._command, *([entry.memory.hex()] if entry.memory else [])]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                process = subprocess.Popen(  # noqa: S603 (running the user's command is the point)
                    arguments, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True,
                    preexec_fn=_bounds(),  # noqa: PLW1509 (nothing between fork and exec takes a lock)
                )  # fmt: skip
            except OSError as error:
                raise BadInput(f"plugin cannot be started: {error.strerror}", file=self._command[0]) from None
            try:
                process.communicate(self._code, timeout=limits.seconds)
            except subprocess.TimeoutExpired:
                return Outcome("limit")
            finally:
                _kill(process)
            return _outcome(process.returncode, _said(out), _said(err))

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """The protocol shows no steps."""
        raise Refused("a plugin cannot be traced")


def _kill(process: subprocess.Popen[Any]) -> None:
    """End the plugin and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(file: IO[bytes]) -> str:
    file.seek(0)
    return " ".join(file.read(OUTPUT_LIMIT).decode("utf-8", "replace").split())


def _outcome(code: int, said: str, complained: str) -> Outcome:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return _fault(f"crashed with {name}", complained)
    if code:
        return _fault(complained or said or f"exit code {code}")
    try:
        r0 = int(said, 16)
    except ValueError:
        return _fault(f"printed no result but {said[:_TEXT]!r}", complained)
    if not 0 <= r0 < 1 << 64:
        return _fault(f"printed a result of more than 64 bits: {said[:_TEXT]}")
    return Outcome("done", r0)


def _fault(*words: str) -> Outcome:
    return Outcome("fault", fault=Fault("error", detail=": ".join(word[:_TEXT] for word in words if word)))


class PluginEngine(Engine):
    """An external command. Raises BadInput for an empty one."""

    def __init__(self, command: str) -> None:
        self._command = tuple(shlex.split(command))
        if not self._command:
            raise BadInput("is empty", file="--plugin")
        self.name = f"plugin {self._command[0]}"
        self.abilities = Abilities(
            orders=frozenset({"little"}), plans=False, conventions=frozenset({"plain", "suite"}), shows=frozenset()
        )

    def prepare(self, unit: Unit, options: Options | None = None) -> PluginPrepared:
        """See Engine. Refuses programs that need more than code and memory."""
        if unit.maps:
            raise Refused(f"{self.name} takes no maps")
        if unit.convention.context:
            raise Refused(f"{self.name} takes no packets")
        return PluginPrepared(self._command, unit)

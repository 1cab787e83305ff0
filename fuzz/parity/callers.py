"""The live kernel's answers to a loader with fewer capabilities: a child process gives the others up and is asked.

Its user id stays; what a capability is needed for is decided by capabilities alone. Source: capabilities(7).
"""

from __future__ import annotations

import ctypes
import os
import pickle
import struct
from collections.abc import Callable, Iterable
from types import TracebackType

from bpf.errors import NotHere
from fuzz.parity.oracle import Answer, ask
from verifier.options import BPF, NET_ADMIN, PERFMON, SYS_ADMIN, Options
from verifier.subject import Subject

BITS = {NET_ADMIN: 12, SYS_ADMIN: 21, PERFMON: 38, BPF: 39}
"""Numbers of linux/capability.h."""
_VERSION = 0x2008_0522
_LENGTH = struct.Struct("=I")


def keep_only(caps: Iterable[str]) -> None:
    """Give up all capabilities of this process but these, for good. Raises OSError."""
    mask = sum(1 << BITS[name] for name in caps)
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)  # effective, permitted, inheritable; twice
    if ctypes.CDLL(None, use_errno=True).capset(header, data):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Loader:
    """A child process with some capabilities that loads what it is given; a context manager."""

    def __init__(self, caps: frozenset[str]) -> None:
        self.caps = caps
        question, self._questions = os.pipe()
        self._answers, answer = os.pipe()
        self._child = os.fork()
        if self._child:
            os.close(question)
            os.close(answer)
            return
        code = 1
        try:
            os.close(self._questions)
            os.close(self._answers)
            keep_only(caps)
            _serve(question, answer)
            code = 0
        finally:
            os._exit(code)

    def ask(self, subject: Subject, options: Options, flags: int = 0, level: int | None = None) -> Answer:
        """As oracle.ask. Raises what it raises; OSError too where the child is gone."""
        _put(self._questions, (ask, subject, options, flags, level))
        return self._answer()

    def do(self, act: Callable[..., object], *arguments: object) -> object:
        """What a function of a module gives when the child calls it. Raises OSError, NotHere."""
        _put(self._questions, (act, *arguments))
        return self._answer()

    def _answer(self) -> Answer:
        found = _get(self._answers)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise OSError(f"the loader with {' '.join(sorted(self.caps)) or 'no capabilities'} has ended")
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let the child end."""
        os.close(self._questions)
        os.close(self._answers)
        os.waitpid(self._child, 0)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _serve(questions: int, answers: int) -> None:
    while (question := _get(questions)) is not None:
        act, *arguments = question
        found: object
        try:
            found = act(*arguments)
        except OSError as error:
            found = OSError(error.errno, error.strerror)
        except NotHere as error:
            found = NotHere(str(error))
        _put(answers, found)


def _put(pipe: int, what: object) -> None:
    data = pickle.dumps(what)
    data = _LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(pipe, data) :]


def _get(pipe: int) -> object:
    """What comes next, None at the end."""
    head = _read(pipe, _LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return pickle.loads(_read(pipe, _LENGTH.unpack(head)[0]))  # noqa: S301 - it comes from this process's own child


def _read(pipe: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := os.read(pipe, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

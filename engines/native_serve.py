"""What the process does that engines/native.py starts: `main` reads requests and answers them.

Requests come on standard input, answers go to standard output, each a pickle behind its length.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import IO

from engines.native_child import LENGTH, Host, Load, Unavailable, send
from engines.native_cpus import RunCpus, run_cpus


def _read(pipe: IO[bytes], size: int) -> bytes:
    """Exactly so many bytes. The pipe has no buffer: what one runner does not read is there for the next."""
    data = bytearray()
    while len(data) < size:
        data += pipe.read(size - len(data)) or sys.exit(1)
    return bytes(data)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are none."""
    machine = Host()
    while head := requests.read(LENGTH.size):
        message = pickle.loads(_read(requests, *LENGTH.unpack(head)))  # noqa: S301 (from the process that started us)
        try:
            if isinstance(message, Load):
                machine.load(message)
                send(answers, {"loaded": True})
            elif isinstance(message, RunCpus):
                send(answers, run_cpus(machine, message))
            else:
                send(answers, machine.run(message))
        except Unavailable as reason:
            send(answers, {"refused": str(reason)})


def main() -> None:
    """Serve on the pipes that standard input and output are; print nothing to them.

    A fork of this process does the work, so that the next one is there at once when code has killed it.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    while True:
        runner = os.fork()
        if not runner:
            serve(requests, answers)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1])
        if code >= 0:
            sys.exit(code)
        send(answers, {"killed": -code})

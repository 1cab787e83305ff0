"""A program that may not run, and why."""

from __future__ import annotations

# Linux's numbers, which are not those of the host


class Rejection(Exception):
    """The verdict "no".

    errno    what bpf() gives: EACCES, EINVAL, EPERM, E2BIG, ...
    message  the kernel's sentence; where it says more than one line, several
    pc       slot of the instruction, -1 where it is none's fault
    """

    def __init__(self, errno: int, message: str, pc: int = -1) -> None:
        super().__init__(message)
        self.errno = errno
        self.message = message
        self.pc = pc

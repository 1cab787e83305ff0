"""A program that may not run, and why."""

from __future__ import annotations


class Rejection(Exception):
    """The verdict "no".

    errno    what bpf() gives: EACCES, EINVAL, EPERM, E2BIG, ...
    message  the kernel's sentence; where it says more than one line, several; "" where it says nothing
    pc       slot of the instruction, -1 where it is none's fault
    reason   why, in our words, where the kernel says nothing
    """

    def __init__(self, errno: int, message: str, pc: int = -1, *, reason: str = "") -> None:
        super().__init__(message or reason)
        self.errno = errno
        self.message = message
        self.pc = pc
        self.reason = reason

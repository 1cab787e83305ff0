"""Linux's error numbers (include/uapi/asm-generic/errno*.h): not every host's, and no libc has a name for ENOTSUPP.

Positive, as bpf() puts them into errno; what helpers and kfuncs return is their negative.
"""

from __future__ import annotations

EPERM, ENOENT, ESRCH, E2BIG, EBADF, EAGAIN, ENOMEM, EACCES, EFAULT = 1, 2, 3, 7, 9, 11, 12, 13, 14
EBUSY, EEXIST, ENODEV, EINVAL, ENOSPC, ERANGE, EDEADLK, ENOMSG = 16, 17, 19, 22, 28, 34, 35, 42
EPROTO, EOVERFLOW, EBADFD = 71, 75, 77
ENOTSOCK, EPROTOTYPE, EPROTONOSUPPORT, ESOCKTNOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT = 88, 91, 93, 94, 95, 97
ENOTSUPP = 524

NUMBERS: dict[str, int] = {name: number for name, number in dict(globals()).items() if name.startswith("E")}
NAMES = {number: name for name, number in NUMBERS.items()}
WORDS = {
    ENOENT: "No such file or directory", E2BIG: "Argument list too long", EBADF: "Bad file descriptor",
    EAGAIN: "Resource temporarily unavailable", ENOMEM: "Cannot allocate memory", EFAULT: "Bad address",
    EBUSY: "Device or resource busy", EEXIST: "File exists", ENODEV: "No such device", EINVAL: "Invalid argument",
    ENOSPC: "No space left on device", EOVERFLOW: "Value too large for defined data type",
    EOPNOTSUPP: "Operation not supported", ENOTSUPP: "Unknown error 524",
}  # fmt: skip
"""What a map operation can fail with, as strerror() of glibc puts it."""

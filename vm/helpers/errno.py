"""Linux's error numbers as helpers return them: negative, and not every host's."""

from __future__ import annotations

EPERM, ENOENT, E2BIG, EFAULT, EBUSY, EINVAL, ENOSPC, ERANGE, EDEADLK = -1, -2, -7, -14, -16, -22, -28, -34, -35
EAGAIN, EACCES = -11, -13
EOPNOTSUPP, EBADFD, EPROTOTYPE, EAFNOSUPPORT = -95, -77, -91, -97

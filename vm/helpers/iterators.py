"""Iterators that a program goes through itself: numbers, bits, tasks. Their state lies on the program's stack."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import E2BIG, EFAULT, EINVAL
from vm.helpers.base import Place
from vm.helpers.probe import kernel_bytes

M32, M64 = (1 << 32) - 1, (1 << 64) - 1
MAX_LOOPS = 1 << 23  # BPF_MAX_LOOPS
MAX_WORDS = 511  # BITS_ITER_NR_WORDS_MAX
ALL_PROCS, ALL_THREADS, PROC_THREADS = range(3)  # BPF_TASK_ITER_*


def _get(place: Place, address: int, size: int = 4) -> int:
    return int.from_bytes(place.memory.read(address, size), place.order)


def _put(place: Place, address: int, value: int, size: int = 4) -> None:
    place.memory.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, place.order))


def _signed(value: int) -> int:
    return (value & M32 ^ 0x8000_0000) - 0x8000_0000


def iter_num_new(place: Place, arguments: Sequence[int]) -> int:
    """Make R1 go from R2 to before R3. Its 8 bytes are the number before the next one, and the end."""
    it, start, end = arguments[0], _signed(arguments[1]), _signed(arguments[2])
    failed = -EINVAL if start > end else -E2BIG if end - start > MAX_LOOPS else 0
    _put(place, it, 0 if failed else start - 1)
    _put(place, it + 4, 0 if failed else end)
    return failed & M32


def iter_num_next(place: Place, arguments: Sequence[int]) -> int:
    """The address of the next number of R1, 0 at its end."""
    it = arguments[0]
    following, end = _signed(_get(place, it) + 1), _signed(_get(place, it + 4))
    if following >= end:
        iter_num_destroy(place, arguments)
        return 0
    _put(place, it, following)
    return it


def iter_num_destroy(place: Place, arguments: Sequence[int]) -> int:
    """R1 is done with."""
    _put(place, arguments[0], 0, 8)
    return 0


def iter_bits_new(place: Place, arguments: Sequence[int]) -> int:
    """Make R1 go through the bits that are set in the R3 words at R2.

    Its 16 bytes are the words' address (of one word it is the word itself), how many bits, and the last one found.
    Linux copies what is more than a word; here it is read again.
    """
    it, address, count = arguments[0], arguments[1], arguments[2] & M32
    place.memory.write(it, bytes(16))
    _put(place, it + 12, M32)
    if not address or not count:
        return -EINVAL & M32
    if count > MAX_WORDS:
        return -E2BIG & M32
    found = kernel_bytes(place, address, 8 * count)
    if isinstance(found, int):
        return -EFAULT & M32
    _put(place, it, int.from_bytes(found, place.order) if count == 1 else address, 8)
    _put(place, it + 8, 64 * count)
    return 0


def iter_bits_next(place: Place, arguments: Sequence[int]) -> int:
    """The address of the number of the next bit of R1, 0 at its end."""
    it = arguments[0]
    count, bit = _get(place, it + 8), _signed(_get(place, it + 12)) + 1
    data = place.memory.read(it, 8) if count <= 64 else kernel_bytes(place, _get(place, it, 8), count // 8)
    words = b"" if isinstance(data, int) else data
    while bit < count:
        word = int.from_bytes(words[bit // 64 * 8 :][:8], place.order)
        if word >> bit % 64 & 1:
            _put(place, it + 12, bit)
            return it + 12
        bit += 1
    _put(place, it + 8, 0)
    return 0


def iter_bits_destroy(place: Place, arguments: Sequence[int]) -> int:
    """R1 is done with."""
    return 0


def iter_task_new(place: Place, arguments: Sequence[int]) -> int:
    """Make R1 go through World.tasks: all (R3 = 0 processes, 1 threads), or the threads of task R2 (2).

    Its 24 bytes are the task's address, and in the last 4 the flags; each described task is a process of one thread.
    """
    it, task, flags = arguments[0], arguments[1], arguments[2] & M32
    place.memory.write(it, bytes(24))
    if flags not in (ALL_PROCS, ALL_THREADS, PROC_THREADS) or (flags == PROC_THREADS and not task):
        return -EINVAL & M32
    known = _tasks(place)
    _put(place, it + 8, task if flags == PROC_THREADS else known[0] if known else 0, 8)
    _put(place, it + 16, flags)
    return 0


def iter_task_next(place: Place, arguments: Sequence[int]) -> int:
    """The next task of R1, 0 at its end."""
    it = arguments[0]
    task, flags, known = _get(place, it + 8, 8), _get(place, it + 16), _tasks(place)
    after = known.index(task) + 1 if task in known and flags != PROC_THREADS else len(known)
    _put(place, it + 8, known[after] if after < len(known) else 0, 8)
    return task


def iter_task_destroy(place: Place, arguments: Sequence[int]) -> int:
    """R1 is done with."""
    return 0


def _tasks(place: Place) -> list[int]:
    """The addresses of the tasks that are described, by their pids."""
    return [place.world.tasks[pid] for pid in sorted(place.world.tasks)]

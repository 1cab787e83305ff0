"""What bpf() does with elements besides one by one: looks one up and deletes it, goes through many, changes many.

A batch ends where something fails, and says how far it has come, so an errno comes with a count. Hash tables are gone
through by buckets: `start` and `out` are numbers of buckets there (4 bytes), and a bucket that has more elements than
there is room for is ENOSPC. Which bucket a key is in follows from the key alone (Linux's hash has a random seed).
Other kinds are gone through by keys: `start` is the key before the first, `out` the last that was looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from bpf.spec.errno import EINVAL, ENOENT, ENOSPC, ENOTSUPP
from bpf.spec.maps import BATCHES, BUCKETS, F_LOCK, TAKEN_FROM
from vm.maps.base import MapState, Value, checked

_WORD = 4
_SPREAD = 0x85EB_CA6B  # odd: neighbours are no longer neighbours


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch gave.

    error   0 or Linux's number: ENOENT when a lookup has come to the end, though what is before it was given
    count   elements that were given or changed; keys, values: those that were given
    out     where the next one goes on, None where nothing was given
    """

    error: int
    count: int
    keys: tuple[bytes, ...] = ()
    values: tuple[Value, ...] = ()
    out: bytes | None = None


def take(state: MapState, key: bytes, flags: int = 0) -> Value:
    """BPF_MAP_LOOKUP_AND_DELETE_ELEM. Raises OSError."""
    kind = state.map.kind
    if flags & ~F_LOCK or (flags and (kind in ("queue", "stack") or state.map.lock is None)):
        checked(-EINVAL)
    if kind not in TAKEN_FROM:
        checked(-ENOTSUPP)
    if not state.map.key_size:
        popped = state.pop()
        return popped if isinstance(popped, bytes) else bytes(checked(popped))
    value = state.value(key)
    if value is None:
        checked(-ENOENT)
    assert value is not None
    checked(state.remove(key))
    return value


def refused(state: MapState, command: str, flags: int) -> int:
    """The number of the errno that a whole batch fails with, 0 for none. flags: of the elements."""
    if command not in BATCHES.get(state.map.kind, ()):
        return ENOTSUPP
    return EINVAL if flags & ~F_LOCK or (flags & F_LOCK and state.map.lock is None) else 0


def buckets(state: MapState) -> int:
    """How many buckets a hash table has."""
    return 1 << (state.map.max_entries - 1).bit_length()


def bucket(state: MapState, key: bytes) -> int:
    """The bucket that a key is in: with as many chance meetings as a hash has."""
    return zlib.crc32(key) * _SPREAD >> 15 & buckets(state) - 1


def lookup(
    state: MapState, start: bytes | None, count: int, flags: int = 0, *, delete: bool = False, batch_flags: int = 0
) -> Batch:
    """BPF_MAP_LOOKUP_BATCH and, with `delete`, BPF_MAP_LOOKUP_AND_DELETE_BATCH. count: elements that there is room for.

    start: where the batch before it ended, None for the first.
    """
    by_buckets = state.map.kind in BUCKETS
    failed = refused(state, "lookup_and_delete" if delete else "lookup", flags)
    if failed or (by_buckets and batch_flags):
        return Batch(failed or EINVAL, count)
    if not count:
        return Batch(0, 0)
    return _by_buckets(state, start, count, delete=delete) if by_buckets else _by_keys(state, start, count)


def _by_buckets(state: MapState, start: bytes | None, count: int, *, delete: bool) -> Batch:
    number = 0 if start is None else int.from_bytes(start[:_WORD], state.order)
    if number >= buckets(state):
        return Batch(ENOENT, 0)
    held: dict[int, list[bytes]] = {}
    for key in list(state.keys()):
        held.setdefault(bucket(state, key), []).append(key)
    found: list[bytes] = []
    values: list[Value] = []
    error = ENOENT
    left = sorted(one for one in held if one >= number)
    number = buckets(state)
    for here in left:
        if len(found) + len(held[here]) > count:
            error, number = 0 if found else ENOSPC, here
            break
        for key in held[here]:
            value = state.value(key)
            assert value is not None
            found.append(key)
            values.append(value)
            if delete:
                state.remove(key)
    return Batch(error, len(found), tuple(found), tuple(values), number.to_bytes(_WORD, state.order))


def _by_keys(state: MapState, start: bytes | None, count: int) -> Batch:
    keys: list[bytes] = []
    values: list[Value] = []
    last, error = start, 0
    while len(keys) < count:
        key = state.next_key(last)
        if key is None:
            error = ENOENT
            break
        last, value = key, state.value(key)
        if value is not None:  # an index of a map of maps may be empty
            keys.append(key)
            values.append(value)
    return Batch(error, len(keys), tuple(keys), tuple(values), last if keys else None)


def update(state: MapState, elements: Sequence[tuple[bytes, Value]], flags: int = 0) -> Batch:
    """BPF_MAP_UPDATE_BATCH."""
    if failed := refused(state, "update", flags):
        return Batch(failed, len(elements))
    for done, (key, value) in enumerate(elements):
        try:
            state.update(key, value, flags)
        except OSError as error:
            return Batch(error.errno or 0, done)
    return Batch(0, len(elements))


def delete(state: MapState, keys: Sequence[bytes], flags: int = 0) -> Batch:
    """BPF_MAP_DELETE_BATCH."""
    if failed := refused(state, "delete", flags):
        return Batch(failed, len(keys))
    for done, key in enumerate(keys):
        try:
            state.delete(key)
        except OSError as error:
            return Batch(error.errno or 0, done)
    return Batch(0, len(keys))

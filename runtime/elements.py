"""Elements of a map as bpf() reads and changes them: bytes in and out, Linux's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from bpf.errors import CallFailed
from bpf.map_rules import OF_MAPS
from bpf.spec.errno import E2BIG, ENOTSUPP, NAMES
from bpf.spec.maps import ANY, EXIST, F_LOCK, NOEXIST, RDONLY, WRONLY
from runtime.kernel import Kernel, MapObject, ProgramObject
from vm.maps import MapState, Value, batch
from vm.maps.batch import Batch
from vm.maps.outer import OuterArrayState
from vm.maps.outside import fields

FLAGS = {"any": ANY, "noexist": NOEXIST, "exist": EXIST}
_ID = 4  # bytes of an id
Given = Value | ProgramObject | MapObject


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """An OSError as CallFailed; a wrong size as EINVAL."""
    try:
        yield
    except OSError as error:
        raise CallFailed(NAMES.get(error.errno or 0, "EINVAL"), what) from None
    except (ValueError, OverflowError) as error:
        raise CallFailed("EINVAL", f"{what}: {error}") from None


def _writable(made: MapObject) -> None:
    if made.frozen or made.declared.flags & RDONLY:
        raise CallFailed("EPERM", f"map {made.name} is " + ("frozen" if made.frozen else "read-only"))


def _readable(made: MapObject) -> None:
    if made.declared.flags & WRONLY:
        raise CallFailed("EPERM", f"map {made.name} is write-only")


def _state(made: MapObject) -> MapState:
    if made.state is None:
        raise CallFailed("EOPNOTSUPP", f"map {made.name} of type {made.declared.kind} has no elements")
    return made.state


def _locked(made: MapObject, flags: int, allowed: int) -> None:
    """Raise CallFailed for flags that bpf() does not take, and for F_LOCK where values have no spin lock."""
    if flags & ~allowed or (flags & F_LOCK and made.declared.lock is None):
        raise CallFailed("EINVAL", f"flags 0x{flags:x} for map {made.name}")


def lookup(made: MapObject, key: bytes, flags: int = 0) -> Value | None:
    """The value of a key; an id where it is a program or a map. Raises CallFailed.

    Of a bloom filter, which has no keys, the value to look for is given in the key's place.
    """
    _locked(made, flags & ~F_LOCK, 0)
    _readable(made)
    _locked(made, flags, F_LOCK)
    kind = made.declared.kind
    if kind == "prog_array":
        cell = made.cells.get(int.from_bytes(_sized(made, key), made.order))
        return None if cell is None else cell.to_bytes(_ID, made.order)
    state = _state(made)
    if failed := state.hidden():
        raise CallFailed(NAMES[-failed], f"lookup in map {made.name}")
    with _failing(f"lookup in map {made.name}"):
        if kind == "bloom_filter" and len(key) != made.declared.value_size:
            raise CallFailed("EINVAL", f"a value of {len(key)} bytes: map {made.name} has {made.declared.value_size}")
        if not made.declared.key_size:
            found = state.peek(key)
            return None if isinstance(found, int) else found
        if failed := state.named(_sized(made, key)):
            raise CallFailed(NAMES[-failed], f"lookup in map {made.name}")
        if kind == "lpm_trie":  # whose lookup finds the longest prefix
            view = state.lookup(key)
            return None if view is None else bytes(view)
        return _shown(made, state.value(key))


def take(made: MapObject, key: bytes = b"", flags: int = 0) -> Value:
    """The value of a key, which is deleted; of a queue or stack what a program would pop. Raises CallFailed."""
    _locked(made, flags & ~F_LOCK, 0)
    _readable(made)
    _writable(made)
    _locked(made, flags, F_LOCK)
    if made.declared.kind == "prog_array":
        raise CallFailed("ENOTSUPP", f"taking an element out of map {made.name}")
    with _failing(f"taking an element out of map {made.name}"):
        return batch.take(_state(made), key, flags)


def _shown(made: MapObject, value: Value | None) -> Value | None:
    if made.declared.kind in OF_MAPS and isinstance(value, bytes):
        return int(value).to_bytes(_ID, made.order)
    return value


def _sized(made: MapObject, key: bytes) -> bytes:
    if len(key) != made.declared.key_size:
        raise CallFailed("EINVAL", f"a key of {len(key)} bytes: map {made.name} has {made.declared.key_size}")
    return key


def update(kernel: Kernel, made: MapObject, key: bytes, value: Given, flags: int = ANY) -> None:
    """Set the value of a key, on all CPUs or to one for each; push into a map without keys. Raises CallFailed."""
    _writable(made)
    if flags & F_LOCK:
        _locked(made, F_LOCK, F_LOCK)
    if made.declared.kind == "prog_array":
        if flags:
            raise CallFailed("EINVAL", f"flags 0x{flags:x} for map {made.name}")
        _set_cell(kernel, made, key, value)
        return
    with _failing(f"update of map {made.name}"):
        if made.declared.kind in OF_MAPS:
            _join(kernel, made, key, value, flags)
        elif not isinstance(value, bytes | tuple):
            raise CallFailed("EINVAL", f"the values of map {made.name} are bytes")
        elif made.declared.kind in PASSING and isinstance(value, bytes):
            _passing(kernel, made, key, value, flags)
        else:
            _state(made).update(key, value, flags)


def _set_cell(kernel: Kernel, made: MapObject, key: bytes, value: Given) -> None:
    index = int.from_bytes(_sized(made, key), made.order)
    if isinstance(value, ProgramObject):
        kernel.set_cell(made, index, value)
        return
    if index >= made.declared.max_entries:
        raise CallFailed("E2BIG", f"index {index} of map {made.name}")
    raise CallFailed("EBADF" if isinstance(value, bytes) else "EINVAL", f"the values of map {made.name} are programs")


def _join(kernel: Kernel, made: MapObject, key: bytes, value: Given, flags: int) -> None:
    if isinstance(value, MapObject):
        kernel.join(made, key, value, flags)
        return
    state = _state(made)
    assert isinstance(state, OuterArrayState)
    failed = state.room(_sized(made, key), flags) if made.declared.kind == "array_of_maps" else 0
    name = NAMES[-failed] if failed else "EBADF" if isinstance(value, bytes) else "EINVAL"
    raise CallFailed(name, f"the values of map {made.name} are maps")


PASSING = {"devmap": ("EINVAL", "devmap"), "devmap_hash": ("EINVAL", "devmap"), "cpumap": ("ENOMEM", "cpumap")}
"""Kinds with a program in their values: what a wrong one is answered with, and the section that a right one is in."""


def _passing(kernel: Kernel, made: MapObject, key: bytes, value: bytes, flags: int) -> None:
    """An element with the id of a program, where bpf() takes a file descriptor.

    Linux looks at the program last, but before it finds a devmap_hash full.
    """
    state = _state(made)
    before = state.save()
    _, number = fields(value, made.order)
    program = kernel.programs.get(number)
    name, section = PASSING[made.declared.kind]
    right = program is not None and program.type == "xdp" and program.program.section.rpartition("/")[2] == section
    try:
        state.update(key, value, flags)
    except OSError as error:
        full = made.declared.kind == "devmap_hash" and error.errno == E2BIG
        if not (full and number and not right):
            raise
    if number and not right:
        state.load(before)
        raise CallFailed(name, f"program {number} is none for map {made.name}: an xdp/{section} program is needed")


def delete(kernel: Kernel, made: MapObject, key: bytes) -> None:
    """Delete a key. Raises CallFailed."""
    _writable(made)
    if made.declared.kind == "prog_array":
        kernel.set_cell(made, int.from_bytes(_sized(made, key), made.order), None)
        return
    with _failing(f"delete in map {made.name}"):
        _state(made).delete(key)


def next_key(made: MapObject, key: bytes | None) -> bytes:
    """The key after one, the first after None. Raises CallFailed, ENOENT after the last."""
    _readable(made)
    with _failing(f"next key of map {made.name}"):
        if made.declared.kind == "prog_array":
            at = -1 if key is None else int.from_bytes(_sized(made, key), made.order)
            after = at + 1 if at < made.declared.max_entries else 0
            found = after.to_bytes(4, made.order) if after < made.declared.max_entries else None
        else:
            found = _state(made).next_key(key)
    if found is None:
        raise CallFailed("ENOENT", f"no next key in map {made.name}")
    return found


def freeze(made: MapObject) -> None:
    """Let nobody but programs change a map any more. Raises CallFailed."""
    if made.declared.timer is not None or made.declared.lock is not None:
        raise CallFailed("ENOTSUPP", f"map {made.name} has locks or timers in its values")
    _writable(made)
    made.frozen = True


# Batches -----------------------------------------------------------------------------------------


def _barred(made: MapObject, *, reads: bool, writes: bool) -> int:
    """The number of the errno that a batch ends with before it begins, 0 for none."""
    try:
        if reads:
            _readable(made)
        if writes:
            _writable(made)
    except CallFailed as failed:
        return failed.errno
    return ENOTSUPP if made.state is None else 0


def lookup_batch(
    made: MapObject, start: bytes | None, count: int, flags: int = 0, *, delete: bool = False, batch_flags: int = 0
) -> Batch:
    """At most `count` elements; with `delete` they are gone then. start: `out` of the batch before, None at first.

    Batch.error is Linux's number, ENOENT when the end is reached.
    """
    if failed := _barred(made, reads=True, writes=delete):
        return Batch(failed, count)
    found = batch.lookup(_state(made), start, count, flags, delete=delete, batch_flags=batch_flags)
    values = (_shown(made, value) for value in found.values)
    return Batch(found.error, found.count, found.keys, tuple(one for one in values if one is not None), found.out)


def update_batch(kernel: Kernel, made: MapObject, given: Sequence[tuple[bytes, Given]], flags: int = 0) -> Batch:
    """Set values, until one fails: Batch.count says how many are set. flags: F_LOCK or none."""
    failed = _barred(made, reads=False, writes=True) or batch.refused(_state(made), "update", flags)
    if failed:
        return Batch(failed, len(given))
    for done, (key, value) in enumerate(given):
        try:
            update(kernel, made, key, value, flags)
        except CallFailed as error:
            return Batch(error.errno, done)
    return Batch(0, len(given))


def delete_batch(made: MapObject, keys: Sequence[bytes], flags: int = 0) -> Batch:
    """Delete keys, until one fails: Batch.count says how many are gone."""
    failed = _barred(made, reads=False, writes=True)
    with _failing(f"delete in map {made.name}"):
        return Batch(failed, len(keys)) if failed else batch.delete(_state(made), keys, flags)


def dump(made: MapObject) -> Iterator[tuple[bytes | None, Value]]:
    """Every element; without keys every value or record, the oldest first. Raises CallFailed."""
    _readable(made)
    if made.declared.kind == "prog_array":
        for index in sorted(made.cells):
            yield index.to_bytes(4, made.order), made.cells[index].to_bytes(_ID, made.order)
        return
    state = _state(made)
    if isinstance(contents := state.contents(), tuple):
        for one in contents:
            yield None, one
        return
    for key in list(state.keys()):
        value = _shown(made, state.value(key))
        if value is not None:
            yield key, value

"""Elements of a map as bpf() reads and changes them: bytes in and out, Linux's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bpf.errors import ERRNO, CallFailed
from bpf.map_rules import OF_MAPS
from bpf.spec.maps import ANY, EXIST, NOEXIST, RDONLY, WRONLY
from runtime.kernel import Kernel, MapObject, ProgramObject
from vm.maps import MapState, Value

FLAGS = {"any": ANY, "noexist": NOEXIST, "exist": EXIST}
_NAMES = {number: name for name, number in ERRNO.items()}
_ID = 4  # bytes of an id


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """An OSError as CallFailed; a wrong size as EINVAL."""
    try:
        yield
    except OSError as error:
        raise CallFailed(_NAMES.get(error.errno or 0, "EINVAL"), what) from None
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


def lookup(made: MapObject, key: bytes) -> Value | None:
    """The value of a key; an id where it is a program or a map. Raises CallFailed."""
    _readable(made)
    if made.declared.kind == "prog_array":
        cell = made.cells.get(int.from_bytes(_sized(made, key), made.order))
        return None if cell is None else cell.to_bytes(_ID, made.order)
    with _failing(f"lookup in map {made.name}"):
        state = _state(made)
        if not made.declared.key_size:
            found = state.lookup(key)
            return None if found is None else bytes(found)
        if made.declared.kind == "lpm_trie":  # whose lookup finds the longest prefix
            view = state.lookup(key)
            return None if view is None else bytes(view)
        return _shown(made, state.value(key))


def _shown(made: MapObject, value: Value | None) -> Value | None:
    if made.declared.kind in OF_MAPS and isinstance(value, bytes):
        return int(value).to_bytes(_ID, made.order)
    return value


def _sized(made: MapObject, key: bytes) -> bytes:
    if len(key) != made.declared.key_size:
        raise CallFailed("EINVAL", f"a key of {len(key)} bytes: map {made.name} has {made.declared.key_size}")
    return key


def update(
    kernel: Kernel, made: MapObject, key: bytes, value: bytes | ProgramObject | MapObject, flags: int = ANY
) -> None:
    """Set the value of a key, on all CPUs; push into a map without keys. Raises CallFailed."""
    _writable(made)
    if made.declared.kind == "prog_array":
        if not isinstance(value, ProgramObject):
            raise CallFailed("EINVAL", f"the values of map {made.name} are programs")
        kernel.set_cell(made, int.from_bytes(_sized(made, key), made.order), value)
        return
    with _failing(f"update of map {made.name}"):
        if made.declared.kind in OF_MAPS:
            if not isinstance(value, MapObject):
                raise CallFailed("EINVAL", f"the values of map {made.name} are maps")
            kernel.join(made, key, value, flags)
        elif isinstance(value, bytes):
            _check_program(kernel, made, value)
            _state(made).update(key, value, flags)
        else:
            raise CallFailed("EINVAL", f"the values of map {made.name} are bytes")


def _check_program(kernel: Kernel, made: MapObject, value: bytes) -> None:
    """The second word of an entry of a devmap or cpumap is 0, or the id of a program for that. Raises CallFailed."""
    if made.declared.kind not in ("devmap", "devmap_hash", "cpumap") or len(value) != 8:
        return
    number = int.from_bytes(value[4:], made.order)
    found = kernel.programs.get(number)
    section = made.declared.kind.removesuffix("_hash")
    right = found is not None and found.type == "xdp" and found.program.section.rpartition("/")[2] == section
    if number and not right:
        name = "ENOMEM" if section == "cpumap" else "EINVAL"
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
        elif not made.declared.key_size:
            raise CallFailed("EOPNOTSUPP", f"map {made.name} has no keys")
        else:
            found = _state(made).next_key(key)
    if found is None:
        raise CallFailed("ENOENT", f"no next key in map {made.name}")
    return found


def dump(made: MapObject) -> Iterator[tuple[bytes | None, Value]]:
    """Every element; without keys every value or record, the oldest first. Raises CallFailed."""
    _readable(made)
    if made.declared.kind == "prog_array":
        for index in sorted(made.cells):
            yield index.to_bytes(4, made.order), made.cells[index].to_bytes(_ID, made.order)
        return
    state = _state(made)
    if not made.declared.key_size and (contents := state.contents()) is not None:
        for one in contents:
            yield None, one
        return
    if made.declared.kind == "perf_event_array":
        for one in state.contents():
            yield None, one
        return
    for key in list(state.keys()):
        value = _shown(made, state.value(key))
        if value is not None:
            yield key, value

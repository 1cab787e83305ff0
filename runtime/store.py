"""The pin directory: what is loaded, as files that several processes share.

    lock         held by whoever reads or writes
    index.json   ids, names, pins; which of the other files count
    prog-7       a program; never changes
    map-4-19     what map 4 holds since the 19th change of the directory

A change writes new files first and then the index, each to a temporary name that is renamed. The rename of the index is
the change: a process that dies before leaves everything as it was, and the next one removes what it has left behind.
The index has a sum of itself and of every other file, so that what something else has written to is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bpf.errors import BadInput
from bpf.program import Program
from bpf.spec.maps import RULES
from runtime import codec
from runtime.kernel import Attachment, Kernel, MapObject, Pin, ProgramObject
from vm.maps import MapState, new_map

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

VERSION = 2
_PROGRAM = (
    "id", "name", "type", "tag", "order", "gpl", "loaded_at", "uid", "maps", "map_ids", "bytes_xlated", "jited",
    "portable",
)  # fmt: skip


def default_directory() -> Path:
    """Where a user's pins are unless said otherwise."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "crossbpf" / "bpffs"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "crossbpf" / "bpffs"
    return Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "crossbpf" / "bpffs"


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _index_sum(index: dict[str, Any]) -> str:
    """Of all but the sum itself."""
    return _sum(json.dumps({name: part for name, part in index.items() if name != "sum"}, sort_keys=True).encode())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file; it is let go when the process ends, however that happens."""
    with path.open("a+b") as file:
        if sys.platform == "win32":
            file.seek(0)
            while True:  # msvcrt gives up after ten tries
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:
                    continue
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)


@dataclass
class Store:
    """A pin directory. It comes to be with the first change; it is not for nested use by one thread."""

    directory: Path = field(default_factory=default_directory)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.directory = Path(self.directory)  # a name will do

    @contextlib.contextmanager
    def open(self, *, write: bool = True) -> Iterator[Kernel]:
        """What is loaded. write: keep what changed, when the block ends without an error. Raises BadInput.

        The directory is locked meanwhile.
        """
        for path in (self.directory, *self.directory.parents):
            if path.exists() and not path.is_dir():
                raise BadInput("is no directory", file=str(path), remedy="--bpffs names one")
        try:
            if not write and not (self.directory / "index.json").exists():
                yield Kernel(clock=self.clock)
                return
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = _locked(self.directory / "lock")
            lock.__enter__()
        except OSError as error:
            raise BadInput(f"cannot be used: {error.strerror}", file=str(self.directory)) from None
        with contextlib.ExitStack() as stack:
            stack.push(lock.__exit__)
            index = self._index()
            kernel = self._kernel(index)
            yield kernel
            if write:
                kernel.collect()
                self._commit(kernel, index)

    # Reading -----------------------------------------------------------------------------------------

    def _index(self) -> dict[str, Any]:
        path = self.directory / "index.json"
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            found = {
                "version": VERSION, "generation": 0, "next_program": 1, "next_map": 1, "programs": [], "maps": [],
                "pins": {}, "attached": [],
            }  # fmt: skip
            found["sum"] = _index_sum(found)
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(f"is no index of a pin directory: {error}", file=str(path)) from None
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise BadInput("is no index of a pin directory of this version", file=str(path))
        if found.get("sum") != _index_sum(found):
            raise BadInput("broken: something else has written to it", file=str(path))
        return found

    def _kernel(self, index: dict[str, Any]) -> Kernel:
        kernel = Kernel(next_program=index["next_program"], next_map=index["next_map"], clock=self.clock)
        for record in index["maps"]:
            declared = codec.map_of(codec.load(json.dumps(record["declared"]).encode()))
            cells = {int(cell): number for cell, number in record["cells"].items()}
            kernel.maps[record["id"]] = MapObject(
                record["id"], declared, record["order"], record["frozen"], record["typed"], cells,
                partial(self._contents, record["file"], record["sum"]), record.get("unit", ""),
            )  # fmt: skip
        for record in index["programs"]:
            fields = {name: record[name] for name in _PROGRAM}
            fields |= {"maps": tuple(record["maps"]), "map_ids": tuple(record["map_ids"])}
            kernel.programs[record["id"]] = ProgramObject(
                **fields, open=partial(self._body, record["id"], record["sum"])
            )
        kernel.pins = {path: Pin(*pin) for path, pin in index["pins"].items()}
        kernel.attached = [Attachment(*one) for one in index["attached"]]
        return kernel

    def _read(self, name: str, sum_: str) -> bytes:
        path = self.directory / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadInput(f"cannot be read: {error.strerror}", file=str(path)) from None
        if _sum(data) != sum_:
            raise BadInput("broken: something else has written to it", file=str(path))
        return data

    def _body(self, number: int, sum_: str) -> Program:
        return codec.program_of(self._read(f"prog-{number}", sum_))

    def _contents(self, name: str, sum_: str, made: MapObject) -> MapState | None:
        if made.declared.kind not in RULES:
            return None
        state = new_map(made.declared, made.order)
        saved = codec.load(self._read(name, sum_))
        if saved is not None:  # an arena's contents were once not kept
            state.load(saved)
        return state

    # Writing -----------------------------------------------------------------------------------------

    def _commit(self, kernel: Kernel, before: dict[str, Any]) -> None:
        generation = before["generation"] + 1
        files = {record["id"]: (record["file"], record["sum"]) for record in before["maps"]}
        sums = {record["id"]: record["sum"] for record in before["programs"]}
        for number, program in kernel.programs.items():
            if number not in sums:
                text = codec.program_text(program.program)
                sums[number] = _sum(text)
                self._write(f"prog-{number}", text)
        maps: list[dict[str, Any]] = []
        for number, made in kernel.maps.items():
            file, sum_ = files.get(number, ("", ""))
            if made.opened or not file:
                text = codec.dump(None if made.state is None else made.state.save())
                if _sum(text) != sum_:
                    file, sum_ = f"map-{number}-{generation}", _sum(text)
                    self._write(file, text)
            maps.append(
                {
                    "id": number, "file": file, "sum": sum_, "order": made.order, "frozen": made.frozen,
                    "typed": made.typed, "unit": made.unit,
                    "cells": {str(cell): one for cell, one in made.cells.items()},
                    "declared": json.loads(codec.dump(codec.map_record(made.declared))),
                }
            )  # fmt: skip
        after = {
            "version": VERSION, "generation": generation, "next_program": kernel.next_program,
            "next_map": kernel.next_map, "maps": maps,
            "programs": [
                {name: getattr(one, name) for name in _PROGRAM} | {"sum": sums[one.id]}
                for one in kernel.programs.values()
            ],
            "pins": {path: [pin.kind, pin.id] for path, pin in kernel.pins.items()},
            "attached": [astuple(one) for one in kernel.attached],
        }  # fmt: skip
        after = json.loads(json.dumps(after))  # tuples as lists, as in `before`
        if after | {"generation": 0, "sum": ""} != before | {"generation": 0, "sum": ""}:
            self._write("index.json", json.dumps(after | {"sum": _index_sum(after)}, indent=1).encode())
        self._sweep({"lock", "index.json", *(one["file"] for one in maps), *(f"prog-{n}" for n in kernel.programs)})

    def _write(self, name: str, data: bytes) -> None:
        """Write a whole file, or none."""
        temporary = self.directory / f"{name}.new"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.directory / name)
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", file=str(self.directory / name)) from None

    def _sweep(self, kept: set[str]) -> None:
        """Remove files of ours that do not count any more."""
        for path in self.directory.iterdir():
            if path.name not in kept and path.name.startswith(("prog-", "map-", "index.json")):
                with contextlib.suppress(OSError):
                    path.unlink()

"""A program's tag as Linux computes it: a hash of its instructions, map references zeroed.

SHA-1 until Linux 6.17; newer kernels take SHA-256 of the same bytes. Both keep the first 8 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bpf.isa import ROW, Insn, Kind, encode, make
from bpf.program import Program

_BY_FD = {"map_fd": "map_fd", "map_idx": "map_fd", "map_fd_value": "map_fd_value", "map_idx_value": "map_fd_value"}
"""What libbpf writes for a reference to a map."""


def hashed(program: Program) -> bytes:
    """The bytes that the tag is a hash of: wire form, references to maps by descriptor and without number."""
    return encode(_without_maps(program), program.order)


def _without_maps(program: Program) -> Iterator[Insn | None]:
    for insn in program.insns:
        if insn is not None and insn.row.kind is Kind.WIDE and insn.row.op in _BY_FD:
            insn = make(ROW[f"lddw_{_BY_FD[insn.row.op]}"], insn.dst)
        yield insn


def tag(program: Program, algorithm: str = "sha1") -> str:
    """16 hex digits."""
    return hashlib.new(algorithm, hashed(program), usedforsecurity=False).digest()[:8].hex()

"""Tags, against the formula and against the live kernel."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace

import pytest
from samples import COUNTS, counter, text

from bpf.errors import NotHere
from bpf.isa import ROW, make
from bpf.program import Program
from engines import syscall
from runtime.tag import hashed, tag


def test_it_is_the_start_of_a_hash_of_the_instructions() -> None:
    code = bytes.fromhex("b700000001000000 9500000000000000")
    assert tag(text("r0 = 1; exit")) == hashlib.sha1(code).hexdigest()[:16]


def test_which_map_it_is_does_not_count() -> None:
    first, second = counter(COUNTS), counter(replace(COUNTS, name="x"), COUNTS, number=1)
    assert tag(first) == tag(second)
    by_fd = [
        make(ROW["lddw_map_fd"], insn.dst, imm=77) if insn is not None and insn.row.op == "map_idx" else insn
        for insn in first.insns
    ]
    assert tag(replace(first, insns=tuple(by_fd))) == tag(first)
    assert bytes.fromhex("1811000000000000 0000000000000000") in hashed(first)


def test_other_instructions_other_tags() -> None:
    assert tag(text("r0 = 1; exit")) != tag(text("r0 = 2; exit"))
    assert tag(text("r0 = 1 ll; exit")) != tag(text("r0 = 2 ll; exit"))


def live(program: Program, fd: int = 0) -> str:
    """The tag that the kernel gives a program whose maps are `fd`."""
    insns = [
        make(ROW["lddw_map_fd"], insn.dst, imm=fd) if insn is not None and insn.row.op == "map_idx" else insn
        for insn in program.insns
    ]
    descriptor, _ = syscall.load(replace(program, insns=tuple(insns)).encode(), kind=syscall.SOCKET_FILTER)
    try:
        return syscall.program_info(descriptor).tag.hex()
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.byteorder == "big", reason="the programs are little-endian")
def test_the_live_kernel_gives_the_same() -> None:
    """SHA-1, or in newer kernels SHA-256, of the same bytes."""
    call = "call f; exit; f:; r0 = 7; exit"
    programs = [text("r0 = 1; exit"), text("r0 = 81985529216486895 ll; exit"), counter(COUNTS), text(call)]
    try:
        fd = syscall.create_map("counts", syscall.ARRAY, 4, 8, 4)
        found = [live(program, fd) for program in programs]
        os.close(fd)
    except (NotHere, OSError) as error:
        pytest.skip(f"no bpf() here: {error}")
    assert found in ([tag(program, algorithm) for program in programs] for algorithm in ("sha1", "sha256"))

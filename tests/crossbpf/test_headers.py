"""The header of helper declarations is what bpf/spec says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from bpf.object.btf import Btf, Kind
from bpf.object.parts import raw_types
from bpf.spec.helpers import KERNEL
from bpf.spec.kfuncs import KFUNCS
from bpf.spec.prototypes import PROTOTYPES
from crossbpf.headers import HEADER, KERNEL_HEADER, NUMBERS, helper_header, kernel_header, numbers_header

TYPES = Path("/sys/kernel/btf/vmlinux")


@cache
def kernel_types() -> Btf:
    return raw_types(TYPES.read_bytes())


def test_it_is_up_to_date() -> None:
    assert HEADER.read_text("utf-8") == helper_header(), "write it again: python -m crossbpf.headers"
    assert NUMBERS.read_text("utf-8") == numbers_header(), "write it again: python -m crossbpf.headers"
    assert KERNEL_HEADER.read_text("utf-8") == kernel_header(), "write it again: python -m crossbpf.headers"


def test_every_helper_of_linux_6_12() -> None:
    assert list(PROTOTYPES) == list(range(1, 212))
    assert len({one.name for one in PROTOTYPES.values()}) == 211


def test_prototypes_agree_with_the_helpers_that_are_here() -> None:
    for number, helper in KERNEL.items():
        prototype = PROTOTYPES[number]
        assert prototype.name == helper.name
        assert len(prototype.parameters) == helper.arguments or "..." in prototype.parameters


@pytest.mark.skipif(not TYPES.is_file(), reason="this kernel has no types")
def test_kernel_functions_take_what_the_running_kernels_do() -> None:
    types = kernel_types()
    for one in KFUNCS.values():
        number = types.find(one.name, Kind.FUNC)
        if number is not None:
            assert len(types[types[number].type].params) == one.arguments, one.name


@pytest.mark.skipif(not TYPES.is_file(), reason="this kernel has no types")
def test_numbers_are_the_running_kernels() -> None:
    types = kernel_types()
    number = types.find("bpf_func_id", Kind.ENUM)
    assert number is not None
    names = {value.value: value.name for value in types[number].values}
    for one in PROTOTYPES.values():
        assert names.get(one.number, f"BPF_FUNC_{one.name}") == f"BPF_FUNC_{one.name}"

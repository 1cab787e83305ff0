"""What a program takes from the kernel: configuration with values, symbols that are not here."""

from __future__ import annotations

import pytest
from elfs import ORDERS, built, outcome

from bpf.errors import Refused
from bpf.object import load
from bpf.program import Program
from bpf.spec.maps import MMAPABLE, RDONLY_PROG

CONFIGURATION: dict[str, int | str] = {
    "LINUX_KERNEL_VERSION": 0x060C00, "CONFIG_BPF": "m", "CONFIG_SMP": "y", "CONFIG_MODULES": "y", "CONFIG_HZ": "250",
    "CONFIG_DEFAULT_HOSTNAME": '"none"',
}  # fmt: skip


def program(order: str, name: str, **changed: int | str | None) -> Program:
    values = {key: value for key, value in (CONFIGURATION | changed).items() if value is not None}
    return load(built("externs", order), name=name, kconfig=values)[0]


@pytest.mark.parametrize("order", ORDERS)
class TestConfiguration:
    def test_values(self, order: str) -> None:
        assert outcome(program(order, "kernel_version")).r0 == 0x060C00
        assert outcome(program(order, "configuration")).r0 == 2 + 16 + (ord("y") << 8) + (250 << 16) + (ord("o") << 48)
        (map_,) = program(order, "configuration").maps
        assert (map_.name, map_.readonly, map_.flags) == (".kconfig", True, RDONLY_PROG | MMAPABLE)

    def test_a_weak_one_without_a_value_is_zero(self, order: str) -> None:
        found = outcome(program(order, "configuration", CONFIG_BPF=None, CONFIG_HZ=None)).r0
        assert found == 16 + (ord("y") << 8) + (ord("o") << 48)

    def test_another_one_is_refused_by_name(self, order: str) -> None:
        with pytest.raises(Refused, match="CONFIG_SMP has no value: it is kernel configuration"):
            program(order, "configuration", CONFIG_SMP=None)

    def test_what_libbpf_finds_out_itself(self, order: str) -> None:
        (found,) = load(built("externs", order), name="kernel_version")
        assert outcome(found).r0 == 6 << 16 | 18 << 8

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("CONFIG_SMP", 2, "CONFIG_SMP = 2 does not fit its 1 bytes"),
            ("CONFIG_SMP", "m", "does not fit"),
            ("CONFIG_HZ", -1, "CONFIG_HZ = -1 does not fit its 8 bytes"),
            ("CONFIG_HZ", "y", "CONFIG_HZ = y is for a bool, a char or an enum libbpf_tristate"),
            ("CONFIG_HZ", "fast", "CONFIG_HZ is a number, and 'fast' is none"),
            ("CONFIG_DEFAULT_HOSTNAME", 3, "is a text, and 3 is none"),
        ],
    )
    def test_values_that_do_not_fit(self, order: str, name: str, value: int | str, message: str) -> None:
        with pytest.raises(Refused, match=message):
            program(order, "configuration", **{name: value})


@pytest.mark.parametrize("order", ORDERS)
class TestSymbols:
    def test_a_weak_symbol_has_address_zero(self, order: str) -> None:
        found = program(order, "optional")
        assert outcome(found).r0 == 5
        assert not found.maps

    def test_a_weak_function_has_no_address_that_others_give_it(self, order: str) -> None:
        addresses = {"missing_function": 0xFFFFFFFF81000000}
        (found,) = load(built("externs", order), name="optional", symbols=addresses)
        assert outcome(found).r0 == 5

    def test_a_weak_function_that_is_called_all_the_same(self, order: str) -> None:
        message = "insn 1 in careless: kernel function missing_function is called, which is not here"
        with pytest.raises(Refused, match=message):
            program(order, "careless")

    def test_a_function_that_is_needed(self, order: str) -> None:
        with pytest.raises(Refused, match=r"syscall\+0x\w+: kernel function needed_function is not implemented"):
            program(order, "needed")

"""Foreign machine code: what it may find around it, and what becomes of it when it does what it must not."""

from __future__ import annotations

import dataclasses

import pytest

from bpf.errors import BadInput, Refused
from bpf.plan import DEFAULT_PLAN, PAGE, Region
from emu.foreign import ARRAY, Code, KernelMap, run_foreign
from jit.registry import TARGETS
from jit.target import Target
from vm.memory import Cell
from vm.outcome import Call, Outcome
from vm.world import Limits, World

AT = {"x86_64": 0xFFFF_FFFF_C000_0000, "arm64": 0xFFFF_8000_8000_0000, "riscv64": 0xFFFF_FFFF_7800_0000,
      "ppc64le": 0xC008_0000_0000_0000, "s390x": 0x3FF_6000_0000}  # fmt: skip
KERNELS = [target for target in TARGETS.values() if target.kernel is not None]
each = pytest.mark.parametrize("target", KERNELS, ids=lambda target: target.name)

RETURN_7 = {  # r0 = 7; return
    "x86_64": "b807000000 c3", "arm64": "e0008052 c0035fd6", "riscv64": "1d45 8280", "ppc64le": "07006038 2000804e",
    "s390x": "a7290007 07fe",
}  # fmt: skip
LOAD = {  # r0 = 64 bits at R1; return
    "x86_64": "488b07 c3", "arm64": "000040f9 c0035fd6", "riscv64": "0861 8280", "ppc64le": "000063e8 2000804e",
    "s390x": "e32020000004 07fe",
}  # fmt: skip
STORE = {  # 64 bits at R1 = R2; return
    "x86_64": "488937 c3", "arm64": "010000f9 c0035fd6", "riscv64": "0ce1 8280", "ppc64le": "000083f8 2000804e",
    "s390x": "e33020000024 07fe",
}  # fmt: skip
JUMP = {  # go to the address in R1
    "x86_64": "ffe7", "arm64": "00001fd6", "riscv64": "0285", "ppc64le": "a603697c 2004804e", "s390x": "07f2",
}  # fmt: skip
LOOP = {"x86_64": "ebfe", "arm64": "00000014", "riscv64": "01a0", "ppc64le": "00000048", "s390x": "a7f40000"}
ILLEGAL = {"x86_64": "0f0b", "arm64": "00000000", "riscv64": "0000", "ppc64le": "00000000", "s390x": "0000"}
SPOIL = {  # change a callee-saved register; return
    "x86_64": "31db c3", "arm64": "13008052 c0035fd6", "riscv64": "8144 8280", "ppc64le": "00c0e03b 2000804e",
    "s390x": "a7790000 07fe",
}  # fmt: skip


def run(target: Target, code: str, *arguments: int, seconds: float = 5.0, **known: object) -> Outcome:
    whole = Code(target, ((AT[target.name], bytes.fromhex(code)),), arguments=arguments, **known)  # type: ignore[arg-type]
    return run_foreign(whole, World(), Limits(seconds=seconds))


def fault(outcome: Outcome) -> tuple[str, int]:
    """Kind and address of the fault."""
    assert outcome.status == "fault"
    assert outcome.fault is not None
    return outcome.fault.kind, outcome.fault.address


def test_there_are_five_kernels() -> None:
    assert [target.name for target in KERNELS] == ["x86_64", "arm64", "riscv64", "ppc64le", "s390x"]


@each
def test_a_result(target: Target) -> None:
    outcome = run(target, RETURN_7[target.name])
    assert (outcome.status, outcome.r0, outcome.fault) == ("done", 7, None)


def test_a_target_whose_kernel_nobody_knows() -> None:
    with pytest.raises(Refused, match="runs on ppc64"):
        run_foreign(Code(TARGETS["ppc64"], ((0x1000_0000, b"\0"),)), World(), Limits())


@each
def test_memory_that_was_described(target: Target) -> None:
    region = Region("given", 0xFFFF_9000_0000_0FF8, 16)  # over a page's end
    content = bytes(PAGE - 8) + (0xFEDC_BA98_7654_3210).to_bytes(8, target.order) + bytes(PAGE)  # type: ignore[arg-type]
    cell = Cell(region, content)
    assert run(target, LOAD[target.name], region.start, cells=(cell,)).r0 == 0xFEDC_BA98_7654_3210
    outcome = run(target, STORE[target.name], region.start, 5, cells=(cell,))
    assert outcome.regions is not None
    assert outcome.regions["given"][PAGE - 8 : PAGE] == (5).to_bytes(8, target.order)  # type: ignore[arg-type]
    readonly = Cell(dataclasses.replace(region, readonly=True), content)
    assert fault(run(target, STORE[target.name], region.start, 5, cells=(readonly,))) == ("write", region.start)


@each
def test_memory_that_nobody_knows(target: Target) -> None:
    unknown = 0xFFFF_8881_2345_6780
    assert fault(run(target, LOAD[target.name], unknown)) == ("read", unknown)
    assert fault(run(target, STORE[target.name], unknown, 1)) == ("write", unknown)
    assert fault(run(target, LOAD[target.name], 8)) == ("read", 8)


@each
def test_code_is_read_only(target: Target) -> None:
    at = AT[target.name]
    assert fault(run(target, STORE[target.name], at + 0x100, 1)) == ("write", at + 0x100)


@each
def test_data_is_not_executed(target: Target) -> None:
    region = Region("given", 0xFFFF_9000_0000_0000, PAGE)
    cell = Cell(region, bytes.fromhex(RETURN_7[target.name]).ljust(PAGE, b"\0"))
    assert fault(run(target, JUMP[target.name], region.start, cells=(cell,))) == ("fetch", region.start)


@each
def test_the_first_access_to_unknown_memory_goes_to_the_map(target: Target) -> None:
    value = (0x1122_3344_5566_7788).to_bytes(8, target.order)  # type: ignore[arg-type]
    kept = KernelMap(ARRAY, 4, 8, 1, value)
    for address in (0xFFFF_8881_2345_6780, 0xFFFF_8881_2345_6FFC):
        assert run(target, LOAD[target.name], address, map=kept).r0 == 0x1122_3344_5566_7788
        assert run(target, STORE[target.name], address, 9, map=kept).status == "done"
    other = KernelMap(3, 4, 4, 4, b"")  # no values: its page is zeros
    assert run(target, LOAD[target.name], 0xFFFF_8881_2345_6780, map=other).r0 == 0


def test_a_second_unknown_page_is_a_fault() -> None:
    # mov rax, [rdi]; mov rax, [rsi]; ret
    kept = KernelMap(ARRAY, 4, 8, 1, bytes(8))
    first, second = 0xFFFF_8881_0000_0000, 0xFFFF_8882_0000_0000
    outcome = run(TARGETS["x86_64"], "488b07 488b06 c3", first, second, map=kept)
    assert fault(outcome) == ("read", second)


@each
def test_calls_of_functions(target: Target) -> None:
    address = 0xFFFF_FFFF_8123_4560
    jump = JUMP[target.name]  # a tail call: the function returns to whoever called us
    outcome = run(target, jump, address, symbols={address: "bpf_ktime_get_ns"})
    assert outcome.r0 == World().clock + World().tick
    assert outcome.calls == (Call("bpf_ktime_get_ns", outcome.calls[0].arguments if outcome.calls else ()),)
    missing = run(target, jump, address)
    assert fault(missing) == ("fetch", address)
    assert "no symbol names" in str(missing.fault)
    unknown = run(target, jump, address, symbols={address: "schedule"})
    assert fault(unknown) == ("fetch", address)
    assert "a call of schedule, which does not exist here" in str(unknown.fault)


@each
def test_a_helper_that_faults(target: Target) -> None:
    address = 0xFFFF_FFFF_8123_4560
    outcome = run(target, JUMP[target.name], address, 8, symbols={address: "bpf_get_current_comm"})
    assert fault(outcome) == ("write", address)
    assert "in bpf_get_current_comm" in str(outcome.fault)


def test_both_entries_of_a_function() -> None:
    target, address = TARGETS["ppc64le"], 0xC000_0000_0123_4560
    for entry in (address, address + 8):
        assert run(target, JUMP["ppc64le"], entry, symbols={address: "bpf_get_current_pid_tgid"}).r0 == World().pid_tgid
    assert fault(run(target, JUMP["ppc64le"], address + 4, symbols={address: "bpf_ktime_get_ns"}))[0] == "fetch"


@pytest.mark.parametrize("offset", [0, 58, 59, 60, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_loads_from_the_packet_stay_in_it(offset: int) -> None:
    target, address = TARGETS["x86_64"], 0xFFFF_FFFF_8123_4560
    packet = bytes(range(60))
    # movabs rax, address; jmp rax
    code = "48b8" + address.to_bytes(8, "little").hex() + "ffe0"
    outcome = run(target, code, 0, offset, symbols={address: "bpf_skb_load_helper_16_no_cache"}, packet=packet)
    inside = offset + 2 <= len(packet)
    assert outcome.r0 == (int.from_bytes(packet[offset : offset + 2], "big") if inside else -14 & (1 << 64) - 1)


def test_a_stack_that_is_not_aligned_at_a_call() -> None:
    address = 0xFFFF_FFFF_8123_4560
    # sub rsp, 4; movabs rax, address; call rax
    code = "4883ec04 48b8" + address.to_bytes(8, "little").hex() + "ffd0"
    outcome = run(TARGETS["x86_64"], code, symbols={address: "bpf_ktime_get_ns"})
    assert fault(outcome)[0] == "abi"
    assert "misaligned" in str(outcome.fault)


def test_thunks() -> None:
    target, thunk, function = TARGETS["x86_64"], 0xFFFF_FFFF_8200_0000, 0xFFFF_FFFF_8123_4560
    movabs = "48b8" + thunk.to_bytes(8, "little").hex()
    for name in ("__x86_return_thunk", "srso_alias_return_thunk"):
        outcome = run(target, f"{movabs} ffe0", symbols={thunk: name})
        assert (outcome.status, outcome.r0) == ("done", thunk)
    symbols = {thunk: "__x86_indirect_thunk_rdi", function: "bpf_get_smp_processor_id"}
    outcome = run(target, f"{movabs} ffe0", function, symbols=symbols)
    assert (outcome.status, outcome.r0) == ("done", 0)


@each
def test_a_broken_calling_convention(target: Target) -> None:
    outcome = run(target, SPOIL[target.name])
    assert fault(outcome) == ("abi", 0)
    assert "callee-saved" in str(outcome.fault)


@each
def test_an_instruction_that_does_not_exist(target: Target) -> None:
    outcome = run(target, ILLEGAL[target.name])
    assert fault(outcome)[0] == "trap"
    assert f"{AT[target.name]:x}"[:8] in str(outcome.fault)


@each
def test_an_endless_loop(target: Target) -> None:
    assert run(target, LOOP[target.name], seconds=0.1).status == "limit"
    assert run(target, RETURN_7[target.name]).r0 == 7


def test_functions_in_places_of_their_own() -> None:
    target = TARGETS["riscv64"]
    main, other = 0xFFFF_FFFF_7800_0FFC, 0xFFFF_FFFF_7801_0000
    # jal x0, other (over a page's end: no function lies within one)
    jump = (0x6F | _jal(other - main)).to_bytes(4, "little")
    code = Code(target, ((main, jump), (other, bytes.fromhex(RETURN_7["riscv64"]))))
    assert run_foreign(code, World(), Limits()).r0 == 7


def _jal(distance: int) -> int:
    """The immediate of a jal."""
    bits = (distance >> 20 & 1) << 19 | (distance >> 1 & 0x3FF) << 9 | (distance >> 11 & 1) << 8 | distance >> 12 & 0xFF
    return bits << 12


@pytest.mark.parametrize("address", [DEFAULT_PLAN.exit, DEFAULT_PLAN.native - PAGE, DEFAULT_PLAN.stubs])
def test_addresses_of_ours(address: int) -> None:
    code = Code(TARGETS["x86_64"], ((address, b"\xc3"),))
    with pytest.raises(BadInput, match="used by the emulator"):
        run_foreign(code, World(), Limits())
    cell = Cell(Region("given", address & -PAGE, PAGE), bytes(PAGE))
    with pytest.raises(BadInput, match="lies over memory"):
        run(TARGETS["x86_64"], "c3", cells=(cell,))
    assert run(TARGETS["x86_64"], RETURN_7["x86_64"]).r0 == 7


def test_code_past_the_end_of_memory() -> None:
    with pytest.raises(BadInput, match="past the end"):
        run_foreign(Code(TARGETS["x86_64"], (((1 << 64) - 2, b"\x90\x90\x90\xc3"),)), World(), Limits())


@each
def test_the_next_code_at_the_same_address(target: Target) -> None:
    for _ in range(3):
        assert run(target, RETURN_7[target.name]).r0 == 7
        assert fault(run(target, ILLEGAL[target.name]))[0] == "trap"

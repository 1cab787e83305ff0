"""What is wrong with an instruction whatever the state, each sentence by an instruction, as the live kernel says it."""

from __future__ import annotations

import pytest

from bpf.isa import opcodes
from fuzz.parity import oracle
from tests.verifier import programs
from tests.verifier.live import needs_linux
from verifier.instruction import Fault, check, fetches_into
from verifier.options import Options
from verifier.raw import Raw, slots

FAULTS = {
    # ALU
    "87:1:1": (22, "BPF_NEG uses reserved fields", ()),
    "87:1:0:0:1": (22, "BPF_NEG uses reserved fields", ()),
    "84:1:0:1": (22, "BPF_NEG uses reserved fields", ()),
    "87:11": (22, "R11 is invalid", ()),
    "87:10": (13, "frame pointer is read only", ()),
    "d4:1:1:0:16": (22, "BPF_END uses reserved fields", ()),
    "dc:1:0:0:8": (22, "BPF_END uses reserved fields", ()),
    "d4:10:0:0:16": (13, "frame pointer is read only", ()),
    "d7:15:0:0:16": (22, "R15 is invalid", ()),
    "bf:1:2:0:1": (22, "BPF_MOV uses reserved fields", ()),
    "bf:1:2:3": (22, "BPF_MOV uses reserved fields", ()),
    "bc:1:2:32": (22, "BPF_MOV uses reserved fields", ()),
    "bf:1:2:-1": (22, "BPF_MOV uses reserved fields", ()),
    "b7:1:1": (22, "BPF_MOV uses reserved fields", ()),
    "b4:1:0:8": (22, "BPF_MOV uses reserved fields", ()),
    "bf:1:12": (22, "R12 is invalid", ()),
    "bf:13:2": (22, "R13 is invalid", (2,)),
    "bf:10:2": (13, "frame pointer is read only", (2,)),
    "b7:10": (13, "frame pointer is read only", ()),
    "bf:1:2:1": (22, "addr_space_cast insn can only convert between address space 1 and 0", ()),
    "bf:1:2:1:1": (
        22, "addr_space_cast insn can only be used in a program that has an associated arena", (),
    ),
    "0f:1:2:0:1": (22, "BPF_ALU uses reserved fields", ()),
    "0f:1:2:1": (22, "BPF_ALU uses reserved fields", ()),
    "3f:1:2:2": (22, "BPF_ALU uses reserved fields", ()),
    "07:1:1:0:1": (22, "BPF_ALU uses reserved fields", ()),
    "07:1:0:1:1": (22, "BPF_ALU uses reserved fields", ()),
    "0f:11:12": (22, "R12 is invalid", ()),
    "0f:11:2": (22, "R11 is invalid", (2,)),
    "0f:10:2": (13, "frame pointer is read only", (2, 10)),
    "07:10:0:0:8": (13, "frame pointer is read only", (10,)),
    "37:1": (22, "div by zero", (1,)),
    "97:2:0:1": (22, "div by zero", (2,)),
    "34:12": (22, "R12 is invalid", ()),
    "67:1:0:0:64": (22, "invalid shift 64", (1,)),
    "74:1:0:0:32": (22, "invalid shift 32", (1,)),
    "c7:1:0:0:-1": (22, "invalid shift -1", (1,)),
    # memory
    "61:1:11": (22, "R11 is invalid", ()),
    "61:12:10:-4": (22, "R12 is invalid", (10,)),
    "61:10:2": (13, "frame pointer is read only", (2,)),
    "7b:10:2:-8:1": (22, "BPF_STX uses reserved fields", ()),
    "7b:12:11": (22, "R11 is invalid", ()),
    "7b:12:2": (22, "R12 is invalid", (2,)),
    "7a:10:1:-8": (22, "BPF_ST uses reserved fields", ()),
    "7a:11": (22, "R11 is invalid", ()),
    "db:10:2:-8:5": (22, "BPF_ATOMIC uses invalid atomic opcode 05", ()),
    "db:10:2:-8:-1": (22, "BPF_ATOMIC uses invalid atomic opcode ffffffff", ()),
    "d3:10:2:-8:0": (22, "invalid atomic operand size", ()),
    "cb:12:11:-8:0xe1": (22, "invalid atomic operand size", ()),
    "db:12:11:-8": (22, "R11 is invalid", ()),
    "db:12:2:-8": (22, "R12 is invalid", (2,)),
    "d3:10:2:0:0x100": (13, "frame pointer is read only", (2,)),
    "d3:11:12:0:0x110": (22, "R12 is invalid", ()),
    # loads of constants and from the packet
    "18:1:0:1 0": (22, "BPF_LD_IMM64 uses reserved fields", ()),
    "18:10 0": (13, "frame pointer is read only", ()),
    "18:11 0": (22, "R11 is invalid", ()),
    "30:1": (22, "BPF_LD_[ABS|IND] uses reserved fields", ()),
    "20:0:1": (22, "BPF_LD_[ABS|IND] uses reserved fields", ()),
    "48:0:1:1": (22, "BPF_LD_[ABS|IND] uses reserved fields", ()),
    "48:0:13": (22, "R13 is invalid", (6,)),
    # jumps
    "85:0:0:1:7": (22, "BPF_CALL uses reserved fields", ()),
    "85:0:3:0:7": (22, "BPF_CALL uses reserved fields", ()),
    "85:1:0:0:7": (22, "BPF_CALL uses reserved fields", ()),
    "05:1": (22, "BPF_JA uses reserved fields", ()),
    "05:0:1": (22, "BPF_JA uses reserved fields", ()),
    "05:0:0:0:1": (22, "BPF_JA uses reserved fields", ()),
    "06:0:0:1": (22, "BPF_JA uses reserved fields", ()),
    "95:1": (22, "BPF_EXIT uses reserved fields", ()),
    "95:0:0:0:1": (22, "BPF_EXIT uses reserved fields", ()),
    "e5:1": (22, "invalid may_goto imm 0", ()),
    "e5:0:0:0:3": (22, "invalid may_goto imm 3", ()),
    "15:11": (22, "R11 is invalid", ()),
    "15:1:1": (22, "BPF_JMP/JMP32 uses reserved fields", (1,)),
    "1d:1:2:0:1": (22, "BPF_JMP/JMP32 uses reserved fields", (1,)),
    "1d:1:11": (22, "R11 is invalid", (1,)),
}  # fmt: skip
"""Instruction -> errno, sentence, and the registers that are read before it is said."""

GOOD = (
    "b7:1", "bf:1:2:32", "bc:1:2:16", "34:1:0:1:3", "9f:1:2:1", "67:1:0:0:63", "d7:1:0:0:64", "dc:1:0:0:32", "87:1",
    "61:1:10:-8", "91:1:10:-8", "7b:10:1:-8", "7a:10:0:-8:-1", "db:10:1:-8:0xf1", "c3:10:1:-8", "d3:10:1:0:0x110",
    "18:1 0", "85:0:0:0:7", "85:0:1:0:7", "85:0:2:4:7", "05:0:0:1", "06:0:0:0:1", "95", "e5:0:0:1", "15:1:0:1:5",
    "1d:1:2:1", "30", "50:0:10",
)  # fmt: skip


def raw(words: str) -> Raw:
    """The first slot."""
    return slots(programs.code(words), "little")[0]


@pytest.mark.parametrize("words", FAULTS)
def test_faults(words: str) -> None:
    """Errno, sentence and what is read first."""
    assert check(raw(words), True) == Fault(*FAULTS[words])


def test_good_ones() -> None:
    """Nothing is wrong with these."""
    assert [words for words in GOOD if check(raw(words), True) is not None] == []


def test_what_hangs_on_the_program() -> None:
    """Its loader, its arena, its type."""
    assert check(raw("87:10"), False) == Fault(13, "R10 pointer arithmetic prohibited")
    assert check(raw("d4:10:0:0:16"), False) == Fault(13, "R10 pointer arithmetic prohibited")
    assert check(raw("bf:1:2:1:1"), True, arena=True) is None
    refused = check(raw("30:1"), True, packet=False)
    assert refused == Fault(22, "BPF_LD_[ABS|IND] instructions not allowed for this program type")


def test_opcodes_of_nothing() -> None:
    """They are refused before a program is walked; a walk would refuse them too."""
    assert check(Raw(opcodes.LD | opcodes.IMM, 0, 0, 0, 0), True) == Fault(22, "invalid BPF_LD_IMM insn")
    assert check(Raw(0xE6, 0, 0, 0, 0), True) == Fault(22, "invalid may_goto imm 0")
    assert check(Raw(0xF5, 0, 0, 0, 0), True) == Fault(22, "invalid BPF_JMP/JMP32 opcode f0")
    assert check(Raw(0xE7, 1, 0, 0, 0), True) == Fault(22, "invalid BPF_ALU opcode e0")
    assert check(Raw(0x78, 1, 0, 0, 0), True) == Fault(22, "invalid BPF_LD mode")


def test_where_a_fetch_goes() -> None:
    """To the register of the operand, of cmpxchg to R0."""
    assert [fetches_into(raw(f"db:10:3:-8:{imm}")) for imm in (0, 1, 0xE1, 0xF1, 0x100)] == [-1, 3, 3, 0, -1]


class TestLive:
    """The same of the live kernel."""

    pytestmark = needs_linux

    def test_it_says_the_same(self) -> None:
        """With all registers readable, and R1 and R6 the context; and what is read first with none but R1 readable."""
        fill = "bf:6:1 b7:0 " + " ".join(f"b7:{number}" for number in (2, 3, 4, 5, 7, 8, 9))
        differ = []
        for words, (errno, message, reads) in FAULTS.items():
            behind = "" if words.startswith("95") else "b7 95"
            said = oracle.ask(programs.subject(f"{fill} {words} {behind}"), Options())
            if (said.errno, said.message) != (errno, message):
                differ.append((words, message, said.message))
            first = next((number for number in reads if number not in (1, 10)), None)
            if first is not None:
                said = oracle.ask(programs.subject(f"{words} b7 95"), Options())
                if said.message != f"R{first} !read_ok":
                    differ.append((words, f"R{first} !read_ok", said.message))
        assert not differ

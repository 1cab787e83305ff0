"""What a program that writes to its packet does first: it makes sure that the packet is its own.

Source: bpf_unclone_prologue of Linux 6.18, for which types and with which verdict where there is no memory.
"""

from __future__ import annotations

from bpf.facts import Facts
from bpf.isa import ROW, make
from bpf.program import Program
from bpf.rewrite.replace import replace

CLONED = 126  # of struct sk_buff: the byte with its bit
_PULL = 39  # bpf_skb_pull_data
_DROPPED = {"sched_cls": 2, "sched_act": 2, "lwt_xmit": 2, "sk_skb": 0}
"""Program type -> the verdict without memory."""


def unclone(prog: Program, facts: Facts, kind: str) -> Program:
    """The program with that before it, if its type needs it and it stores through a packet pointer."""
    if kind not in _DROPPED or not facts.writes_packet:
        return prog
    first = [
        make(ROW["ldx8"], 6, 1, off=CLONED), make(ROW["and32_imm"], 6, imm=1), make(ROW["jeq64_imm"], 6, off=7),
        make(ROW["mov64_reg"], 6, 1), make(ROW["xor64_reg"], 2, 2), make(ROW["call_helper"], imm=_PULL),
        make(ROW["jeq64_imm"], 0, off=2), make(ROW["mov32_imm"], 0, imm=_DROPPED[kind]), make(ROW["exit"]),
        make(ROW["mov64_reg"], 1, 6),
    ]  # fmt: skip
    return replace(prog, {}, {0: first})

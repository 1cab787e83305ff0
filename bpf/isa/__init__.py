"""Instructions: the encoding, the table of semantics, the wire form."""

from bpf.isa.insn import Insn, make
from bpf.isa.table import BY_OPCODE, ROW, ROWS, Kind, Row
from bpf.isa.wire import SLOT, decode, decode_all, encode

__all__ = ["BY_OPCODE", "ROW", "ROWS", "SLOT", "Insn", "Kind", "Row", "decode", "decode_all", "encode", "make"]

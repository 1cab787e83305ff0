"""Assembly text: reading and writing programs, one grammar in both directions."""

from bpf.text.reader import assemble
from bpf.text.writer import disassemble, format_insn

__all__ = ["assemble", "disassemble", "format_insn"]

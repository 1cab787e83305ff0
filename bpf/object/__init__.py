"""Object files: ELF as clang's BPF target makes it."""

from bpf.object.elf import Entry, Object, load

__all__ = ["Entry", "Object", "load"]

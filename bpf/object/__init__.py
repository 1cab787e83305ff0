"""Object files: ELF as clang's BPF target makes it."""

from bpf.object.elf import Entry, Object, load
from bpf.object.link import link

__all__ = ["Entry", "Object", "link", "load"]

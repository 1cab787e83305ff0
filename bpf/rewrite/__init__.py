"""Pure passes from Program to Program."""

from bpf.rewrite.insert import Rewritten, insert

__all__ = ["Rewritten", "insert"]

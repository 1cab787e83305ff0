"""Pure passes from Program to Program."""

from bpf.rewrite.context import convert_context
from bpf.rewrite.insert import Rewritten, insert
from bpf.rewrite.replace import replace

__all__ = ["Rewritten", "convert_context", "insert", "replace"]

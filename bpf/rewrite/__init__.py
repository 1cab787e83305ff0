"""Pure passes from Program to Program."""

from bpf.rewrite.context import convert_context
from bpf.rewrite.insert import Rewritten, insert
from bpf.rewrite.remove import remove
from bpf.rewrite.replace import Away, replace
from bpf.rewrite.verdict import after_verdict, reduced

__all__ = ["Away", "Rewritten", "after_verdict", "convert_context", "insert", "reduced", "remove", "replace"]

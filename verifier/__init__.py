"""May this program run? An eBPF verifier that decides as Linux does."""

from verifier.options import Options
from verifier.rejection import Rejection
from verifier.subject import Subject
from verifier.verify import Verdict, verify

__all__ = ["Options", "Rejection", "Subject", "Verdict", "verify"]

"""The mark of tests that ask the live kernel."""

from __future__ import annotations

import pytest

from engines.linux import unavailable

live = pytest.mark.skipif(bool(unavailable()), reason=f"no live kernel: {unavailable()}")

"""The byte orders, as int.to_bytes names them."""

from __future__ import annotations

from typing import Literal

Order = Literal["little", "big"]
ORDERS: tuple[Order, ...] = ("little", "big")

"""What helpers do: functions on the World and on guest memory that know nothing of who called them."""

from vm.helpers.base import Exit, Helper, Place
from vm.helpers.registry import implementation

__all__ = ["Exit", "Helper", "Place", "implementation"]

"""What helpers do: functions on the World and on guest memory that know nothing of who called them."""

from vm.helpers.base import Calling, Exit, Helper, Invoke, Place, entered
from vm.helpers.registry import implementation, implementations

__all__ = ["Calling", "Exit", "Helper", "Invoke", "Place", "entered", "implementation", "implementations"]

"""What helpers do: functions on the World and on guest memory that know nothing of who called them."""

from vm.helpers.base import Calling, Exit, Helper, Invoke, Place, entered
from vm.helpers.registry import implementation, implementations
from vm.helpers.timers import expire

__all__ = ["Calling", "Exit", "Helper", "Invoke", "Place", "entered", "expire", "implementation", "implementations"]

"""Facts about the kernel as data."""

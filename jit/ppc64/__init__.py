"""64-bit POWER in both byte orders: one backend, fixed-width code of 4-byte words."""

"""arm64: AAPCS64 calling convention, 4-byte instruction words, little-endian data."""

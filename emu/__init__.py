"""Machine code to outcome: Unicorn, set up by the facts of a Target."""

"""`python -m crossbpf`."""

import sys

from crossbpf.cli import main

sys.exit(main())

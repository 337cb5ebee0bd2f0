"""`python -m ctrlnet.cli`, the same as `ctrlnet`."""

import sys

from ctrlnet.cli import main

sys.exit(main())

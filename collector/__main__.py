"""`python -m sockwarden.collector`."""

import sys

from sockwarden.collector.main import main

sys.exit(main())

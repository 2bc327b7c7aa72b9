"""`python -m sockwarden.agent`: the agent's main process."""

import sys

from sockwarden.agent.main import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m sockwarden.agent`: the agent's main process."""

import sys

from sockwarden.daemon import complaints

if __name__ == "__main__":
    try:
        from sockwarden.agent.main import main
    except ImportError as error:
        sys.stderr.write(f"sockwarden agent: {complaints.of_library(error)}\n")
        sys.exit(2)
    sys.exit(main())

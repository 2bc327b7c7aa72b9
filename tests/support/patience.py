"""How long tests wait for what must come: longer on a slow machine, never longer than it takes.

SOCKWARDEN_PATIENCE=20 stretches every deadline twenty times: for an emulated processor.
"""

import os

PATIENCE = float(os.environ.get("SOCKWARDEN_PATIENCE", "1"))


def patient(seconds: float) -> float:
    return seconds * PATIENCE

"""What a benchmark ran on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    model = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{model[0] if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores"

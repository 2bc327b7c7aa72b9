"""The targets, and what libFuzzer is told of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One .pyx beside this file.

    Args:
        dictionary: of words that its inputs are made of.
        python: it calls Python, whose caches LeakSanitizer would look at in vain each time.
    """

    name: str
    dictionary: str
    longest_bytes: int
    python: bool = False


TARGETS = {
    target.name: target
    for target in (
        Target("frames", "frames.dict", 4096),
        Target("deflate", "frames.dict", 4096),
        Target("handshake", "http.dict", 4096, python=True),
        Target("resync", "frames.dict", 4096),
        Target("records", "records.dict", 4096, python=True),
        Target("pcap", "pcap.dict", 8192, python=True),
    )
}

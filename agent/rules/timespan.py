"""Times as rule files write them: a whole number and its unit."""

import re

_TIMESPAN = re.compile(r"([1-9][0-9]{0,8})(us|ms|s|m|h|d)")
_UNIT_NS = {
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
}


def timespan_ns(text: str) -> int:
    match = _TIMESPAN.fullmatch(text)
    if not match:
        raise ValueError(f"expected a time such as 500ms, 10s, 5m or 1h, found {text!r}")
    return int(match[1]) * _UNIT_NS[match[2]]

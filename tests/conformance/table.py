"""All cases but those of several megabytes, which are `sizes.LONG_CASES`."""

import closing
import deflate
import fragments
import framing
import sizes
import texts
from case import Case

CASES: list[Case] = [
    *framing.CASES,
    *fragments.CASES,
    *texts.CASES,
    *closing.CASES,
    *deflate.CASES,
    *sizes.CASES,
]

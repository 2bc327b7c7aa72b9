"""What the demo cannot go on with."""


class DemoError(Exception):
    """A process did not start, ended, or is not seen; the text says which and what it said."""

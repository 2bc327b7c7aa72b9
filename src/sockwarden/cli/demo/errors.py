"""What the demo cannot go on with."""


class DemoError(Exception):
    """A process did not start, ended, or is not seen; `log` is what it said last."""

    def __init__(self, text: str, log: str = "") -> None:
        super().__init__(text)
        self.log = log

"""Where the pipeline's findings go: the spool, a terminal, a list in a test."""

from typing import Protocol

from sockwarden.agent.alert import Alert, Anomaly, Connection, Control, Message


class Sink(Protocol):
    """Called with the GIL, in the order seen.

    A pipeline made with `trace=False` calls `alert` only.
    """

    def connection(self, report: Connection) -> None: ...
    def message(self, report: Message) -> None: ...
    def control(self, report: Control) -> None: ...
    def anomaly(self, report: Anomaly) -> None: ...
    def alert(self, report: Alert) -> None: ...

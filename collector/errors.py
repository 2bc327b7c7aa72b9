"""What can go wrong in the collector.

CollectorError
  InvalidInput         a field of a request breaks its limit; names the field
  StoreError           the store did not do it; nothing of that write is kept
    StoreFull          no room: what is stored stays, what is new is refused
    StoreDamaged       the file cannot be trusted or read
    QueryTimeout       a read took longer than its budget
"""


class CollectorError(Exception):
    """The text is one line for a person."""


class InvalidInput(CollectorError):  # noqa: N818 - the name says what is wrong
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class StoreError(CollectorError):
    pass


class StoreFull(StoreError):  # noqa: N818
    pass


class StoreDamaged(StoreError):  # noqa: N818
    pass


class QueryTimeout(StoreError):  # noqa: N818
    pass

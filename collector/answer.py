"""How the collector says no: its exceptions as gRPC statuses, in one place."""

from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar

import grpc

from sockwarden.collector.errors import (
    CollectorError,
    InvalidInput,
    QueryTimeout,
    StoreError,
    StoreFull,
)

_CODES: tuple[tuple[type[CollectorError], grpc.StatusCode], ...] = (
    (InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
    (StoreFull, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (QueryTimeout, grpc.StatusCode.DEADLINE_EXCEEDED),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
)

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class Refusal(CollectorError):  # noqa: N818
    """The call ends here, with this status."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


async def refuse(context: Context, error: CollectorError) -> NoReturn:
    """Ends the call with the status that fits."""
    if isinstance(error, Refusal):
        code = error.code
    else:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
    await context.abort(code, str(error))
    raise AssertionError("abort raises")


async def answer(context: Context, work: Awaitable[T]) -> T:
    """The result of the work, or the end of the call; what is not ours to expect stays a bug."""
    try:
        return await work
    except CollectorError as error:
        await refuse(context, error)

"""The fields that rules may name: the vocabulary of each `logsource` category.

One table a category, from a field's name to its kind; the loader refuses any other name, so
that a slip of the pen is an error and not a rule that never fires.
"""

from collections.abc import Mapping
from enum import Enum, auto

from sockwarden.agent.rules.model import Source


class Kind(Enum):
    TEXT = auto()
    TEXTS = auto()  # a list; a test holds if it holds for one entry
    NUMBER = auto()  # a whole number, not negative
    FLAG = auto()
    ADDRESS = auto()  # address:port


# Words that stand for numbers.
DIRECTIONS: Mapping[str, int] = {"c2s": 0, "s2c": 1}
OPCODES: Mapping[str, int] = {"text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}

CONNECTION: Mapping[str, Kind] = {
    "client": Kind.ADDRESS,
    "server": Kind.ADDRESS,
    "role": Kind.TEXT,
    "tls": Kind.FLAG,
    "loopback": Kind.FLAG,
}

HANDSHAKE: Mapping[str, Kind] = {
    **CONNECTION,
    "method": Kind.TEXT,
    "target": Kind.TEXT,
    "path": Kind.TEXT,
    "query": Kind.TEXT,
    "host": Kind.TEXT,
    "origin": Kind.TEXT,
    "origin_host": Kind.TEXT,
    "cross_origin": Kind.FLAG,
    "user_agent": Kind.TEXT,
    "cookie": Kind.TEXT,
    "authorization": Kind.TEXT,
    "version": Kind.TEXT,
    "key": Kind.TEXT,
    "status": Kind.NUMBER,
    "upgraded": Kind.FLAG,
    "subprotocol": Kind.TEXT,
    "subprotocols": Kind.TEXTS,
    "extensions": Kind.TEXT,
    "extensions_offered": Kind.TEXT,
    "header_count": Kind.NUMBER,
    "head_length": Kind.NUMBER,
    "faults": Kind.TEXTS,
}

FRAME: Mapping[str, Kind] = {
    **HANDSHAKE,
    "anomaly": Kind.TEXT,
    "direction": Kind.TEXT,
    "offset": Kind.NUMBER,
}

MESSAGE: Mapping[str, Kind] = {
    "payload": Kind.TEXT,
    "direction": Kind.NUMBER,
    "opcode": Kind.NUMBER,
    "length": Kind.NUMBER,
    "wire_length": Kind.NUMBER,
    "fragments": Kind.NUMBER,
    "inflate_ratio": Kind.NUMBER,
    "compressed": Kind.FLAG,
    "after_close": Kind.FLAG,
    "complete": Kind.FLAG,
    "tls": Kind.FLAG,
    "loopback": Kind.FLAG,
    "messages": Kind.NUMBER,
    "connection_bytes": Kind.NUMBER,
    "age_ms": Kind.NUMBER,
}

OF_SOURCE: Mapping[Source, Mapping[str, Kind]] = {
    Source.HANDSHAKE: HANDSHAKE,
    Source.FRAME: FRAME,
    Source.MESSAGE: MESSAGE,
}

# Words for the numbers of a field.
WORDS: Mapping[str, Mapping[str, int]] = {"direction": DIRECTIONS, "opcode": OPCODES}

# The field that keywords, which name no field, are searched in.
KEYWORD_FIELDS: Mapping[Source, str] = {
    Source.MESSAGE: "payload",
    Source.HANDSHAKE: "target",
    Source.FRAME: "anomaly",
}

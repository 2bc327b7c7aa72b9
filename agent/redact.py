"""Evidence that may leave the host: a window of the payload with its secrets masked.

What it promises: at most 512 bytes of UTF-8 on one line, never an exception, and no secret of
the kinds below, whole or cut at the window's edge.  A mask says the kind, the length and a
short keyed hash, `<card:16:3f9a1c2b>`, so that two alerts about the same secret can be told
from two about different ones, on one host, without knowing it.

What it refuses to guess: a secret that looks like an ordinary word and has no name before it.

Secrets are looked for in the payload around the window, not only in it, so that one that
begins before the window or ends behind it is masked as what it is.
"""

import hmac
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LIMIT_BYTES = 512
KEY_BYTES = 32

# How far around the window secrets are looked for; a PEM key is the longest.
_AROUND_BYTES = 4096
# Context shown before the span, so that it can be understood.
_BEFORE_BYTES = 96
_HASH_DIGITS = 8
_CUT = "…"

# A run of token characters that long is judged by how often it changes between small
# letters, capitals and digits; one cut off at the edge of what was captured may be shorter.
_TOKEN_CHARACTERS = 20
_CUT_TOKEN_CHARACTERS = 12
_CHANGES_PER_CHARACTER = 0.15
# ISO/IEC 7812 numbers have 12 to 19 digits in use.
_CARD_DIGITS = range(12, 20)

_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|passwd|pwd|secret|token|api[_-]?key|access[_-]?key"
    r"|authorization|credentials?|sess(?:ion)?[_-]?id|private[_-]?key|csrf|xsrf|bearer|jwt"
    r"|(?<![a-z])(?:pass|auth|session|sid|otp|pin|cvv2?|cvc|ssn)(?![a-z]))"
)


class _Kind(NamedTuple):
    """The first group that took part is the secret; without groups, the whole match is."""

    name: str
    pattern: re.Pattern[str]


class _Secret(NamedTuple):
    start: int
    end: int
    kind: str


# The text is latin-1 of the bytes: a position in it is a position in the payload.  Each pattern
# is linear: no repetition is followed by what it could itself have matched.
_KINDS = (
    # A key that was cut at either end is one too.
    _Kind(
        "private_key",
        re.compile(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"((?:[^-]|-(?!----END))*)(?:-----END [A-Z ]{0,30}PRIVATE KEY|\Z)"
        ),
    ),
    _Kind("private_key", re.compile(r"\A((?:[^-]|-(?!----))*)-----END [A-Z ]{0,30}PRIVATE KEY")),
    _Kind("jwt", re.compile(r"(?<![\w-])(eyJ[\w-]{5,}(?:\.[\w-]*){0,4})")),
    _Kind("authorization", re.compile(r"(?i)\b(?:basic|bearer|digest|token)[ +]+([\w.~+/=-]{6,})")),
    # "password": "...", password=..., password: ...; quotes escaped as in nested JSON too.
    _Kind(
        "secret",
        re.compile(
            rf"(?i){_NAMES}[\w-]{{0,24}}\\{{0,3}}[\"']?\s{{0,8}}(?:[:=]|=>|%3d)\s{{0,8}}"
            r"(?:\\{0,3}\"((?:[^\"\\]|\\.)+)|\\{0,3}'((?:[^'\\]|\\.)+)|([^\s\"'&;,}<>\\]+))"
        ),
    ),
    _Kind("cookie", re.compile(r"(?i)\bcookie\d?[\"']?\s{0,8}:\s{0,8}[\"']?([^\r\n\"]+)")),
    _Kind(
        "url_password",
        re.compile(r"[a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,128}:([^\s/@]{1,256})@"),
    ),
    _Kind(
        "cloud_key",
        re.compile(
            r"(?<![A-Za-z0-9])((?:AKIA|ASIA|AIza|gh[oprsu]_|github_pat_|glpat-|xox[abeoprs]-"
            r"|sk-|sk_live_|rk_live_|npm_|hvs\.|SG\.)[A-Za-z0-9_.-]{8,})"
        ),
    ),
    _Kind("email", re.compile(r"(?<![\w.+-])([\w.+-]+)@(?=[A-Za-z0-9-]{1,63}\.)")),
)
_NUMBER = re.compile(r"(?<!\d)\d(?:[ -]?\d){11,}(?!\d)")
_TOKEN = re.compile(rf"[A-Za-z0-9_+/=-]{{{_CUT_TOKEN_CHARACTERS},}}")
_CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[0-9])[A-Za-z]")


def evidence(payload: bytes, start: int, end: int, *, secret: bool, key: bytes) -> str:
    """Shows `payload[start:end]` in its context; `secret`: the span itself is masked."""
    size = len(payload)
    start = min(max(start, 0), size)
    end = min(max(end, start), size)
    first = max(0, start - _BEFORE_BYTES)
    # No window needs more: an octet becomes at least one.
    last = min(size, first + LIMIT_BYTES)
    base = max(0, first - _AROUND_BYTES)
    text = payload[base : last + _AROUND_BYTES].decode("latin-1")
    found = list(_secrets(text))
    if secret:
        found.append(_Secret(start - base, min(end - base, len(text)), "match"))
    shown = _pieces(text, _merged(found), first - base, last - base, key)
    return _fitted(shown, cut_before=first > 0, cut_after=last < size)


def text(value: str, key: bytes = b"") -> str:
    """A short text with its secrets masked; never cut.

    Without a key there are no hashes: whoever reads one could try all card numbers.
    """
    raw = value.encode("utf-8", "replace").decode("latin-1")
    return "".join(_pieces(raw, _merged(list(_secrets(raw, whole=True))), 0, len(raw), key))


def target(value: str) -> str:
    """A request's path and query (RFC 9112 3.2), each segment judged alone: a slash parts words
    here, though it may stand in a token."""
    path, mark, query = value.partition("?")
    return "/".join(text(segment) for segment in path.split("/")) + mark + text(query)


def host_key(directory: str | os.PathLike[str]) -> bytes:
    """The key of this host's hashes, made at first use; raises OSError where it cannot be."""
    path = Path(directory) / "redaction.key"
    try:
        key = path.read_bytes()
        if len(key) == KEY_BYTES:
            return key
    except FileNotFoundError:
        pass
    key = secrets.token_bytes(KEY_BYTES)
    fresh = path.with_suffix(".new")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, key)
        os.fsync(file)
    finally:
        os.close(file)
    fresh.replace(path)
    return key


def _secrets(text: str, *, whole: bool = False) -> Iterator[_Secret]:
    """`whole`: nothing was cut off at either end."""
    for kind in _KINDS:
        for match in kind.pattern.finditer(text):
            group = match.lastindex or 0
            if match.start(group) < match.end(group):
                yield _Secret(match.start(group), match.end(group), kind.name)
    for match in _NUMBER.finditer(text):
        if (not whole and _touches_edge(match)) or _holds_card(match[0]):
            yield _Secret(match.start(), match.end(), "card")
    for match in _TOKEN.finditer(text):
        if len(match[0]) >= _TOKEN_CHARACTERS or (not whole and _touches_edge(match)):
            changes = sum(1 for _ in _CHANGE.finditer(match[0]))
            if changes >= max(2, _CHANGES_PER_CHARACTER * len(match[0])):
                yield _Secret(match.start(), match.end(), "token")


def _touches_edge(match: re.Match[str]) -> bool:
    """The rest of it may not have been captured."""
    return match.start() == 0 or match.end() == len(match.string)


def _holds_card(text: str) -> bool:
    """Whether digits in a row, a date behind them perhaps, could be a card's number (Luhn).

    Longer rows than anybody's number are masked unseen: judging them would take long.
    """
    digits = [int(character) for character in text if character.isdigit()]
    if len(digits) > 64:
        return True
    return any(
        _luhn(digits[start : start + size])
        for size in _CARD_DIGITS
        for start in range(len(digits) - size + 1)
    )


def _luhn(digits: list[int]) -> bool:
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _merged(found: list[_Secret]) -> list[_Secret]:
    """Overlapping ones become one, named after the first."""
    merged: list[_Secret] = []
    for secret in sorted(found, key=lambda secret: (secret.start, -secret.end)):
        if merged and secret.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, secret.end))
        elif secret.start < secret.end:
            merged.append(secret)
    return merged


def _pieces(text: str, found: list[_Secret], first: int, last: int, key: bytes) -> Iterator[str]:
    """`text[first:last]` character by character, each secret as one mask."""
    at = first
    for secret in found:
        if secret.end <= at:
            continue
        if secret.start >= last:
            break
        yield from _printable(text[at : max(at, secret.start)])
        yield _mask(text[secret.start : secret.end], secret.kind, key)
        at = secret.end
    yield from _printable(text[at : max(at, last)])


def _mask(secret: str, kind: str, key: bytes) -> str:
    if not key:
        return f"<{kind}:{len(secret)}>"
    digest = hmac.digest(key, secret.encode("latin-1"), "sha256").hex()
    return f"<{kind}:{len(secret)}:{digest[:_HASH_DIGITS]}>"


def _printable(stretch: str) -> Iterator[str]:
    """Octets that are no UTF-8 and characters that do not print are escaped."""
    for character in stretch.encode("latin-1").decode("utf-8", "backslashreplace"):
        if character.isprintable():
            yield character
        else:
            yield character.encode("unicode_escape").decode("ascii")


def _fitted(pieces: Iterator[str], *, cut_before: bool, cut_after: bool) -> str:
    shown = [_CUT] if cut_before else []
    room = LIMIT_BYTES - 2 * len(_CUT.encode())
    for piece in pieces:
        room -= len(piece.encode())
        if room < 0:
            cut_after = True
            break
        shown.append(piece)
    if cut_after:
        shown.append(_CUT)
    return "".join(shown)

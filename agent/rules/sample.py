"""Benign messages as applications send them, to measure rules on: seeded, so always the same.

JSON for the most part, of 333 bytes in the mean: updates of numbers, chat, records with ids,
hashes and tokens; some with escapes or other alphabets, some binary or in an envelope, some
with HTML or Markdown.  SHARES says how many of which; prose has the common words of English at
about their frequency, those that SQL and shells know too.
"""

import base64
import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import msgpack

COUNT = 20_000
SHARES = {
    "record": 26,  # ids, hashes, JWTs, base64 values
    "update": 22,
    "chat": 27,
    "escaped": 10,
    "enveloped": 5,
    "binary": 5,
    "markup": 5,
}
# Bytes of a message that is filled up to a size: what the shares above come to in the mean.
_MEAN_BYTES = 333
_LEAST_BYTES, _MOST_BYTES = 60, 4096

_ENGLISH = (
    "the the the the of of and and and to to to in in is it you that that was for for on on are "
    "as with his they at be this this have from or or had by not but what some we can out other "
    "were all there when up use your how said an each she which do their time if will way about "
    "many then them would write like so these her long make thing see him two has look more day "
    "could go come did my sound no most number who over know water than call first people may "
    "down side been now find any new work part take get place made live where after back little "
    "only round man year came show every good me give our under name very through just form "
    "great think say help low line before turn cause much mean right boy old too does tell "
    "sentence set three want air well also play small end put home read hand port large spell "
    "add even land here must big high such follow act why ask men change went light kind off "
    "need house picture try us again animal point mother world near build self earth order "
    "select update table group union message report meeting file server price account between"
)
_WORDS = tuple(_ENGLISH.split())
_ASIDES = {"don't": 8, "it's": 8, "we're": 4, "(maybe)": 3, "&": 1}
_ENDS = {".": 80, "?": 11, "!": 6, ";": 1, "...": 2}
_NAMES = ("ann", "bob", "chandra", "dieter", "emeka", "fatima", "giulia", "hiro", "ines", "joao")
_KEYS = ("type", "id", "user", "room", "status", "items", "total", "currency", "created_at")
_FOREIGN = (
    "Привет, как дела? Увидимся завтра в семь.",
    "你好 今天的会议改到下午三点",
    "Größe und Übergabe: fünf Stück, bitte.",
    "El niño comió piñas mañana según José.",
    "お世話になっております。ご確認ください。",
    "thanks 😀 see you soon 🎉",
)


def messages(count: int = COUNT, seed: int = 1) -> list[bytes]:
    """Payloads of `count` messages in random order; text and binary ones."""
    rng = random.Random(seed)  # noqa: S311 -- not for secrets
    kinds = rng.choices(list(SHARES), list(SHARES.values()), k=count)
    return [_MAKERS[kind](rng) for kind in kinds]


def _size(rng: random.Random) -> int:
    # Log-normal with the mean above: most are short, a few are long.
    size = int(rng.lognormvariate(5.53, 0.75))
    return min(max(size, _LEAST_BYTES), _MOST_BYTES)


def _weighed(choices: dict[str, int], rng: random.Random) -> str:
    [chosen] = rng.choices(list(choices), list(choices.values()))
    return chosen


def _prose(rng: random.Random, size: int) -> str:
    sentences: list[str] = []
    made = 0
    while made < size:
        words = rng.choices(_WORDS, k=rng.randint(4, 14))
        if rng.random() < 0.1:
            words[rng.randrange(len(words))] = rng.choice(
                ["don't", "it's", "we're", "(maybe)", "&"]
            )
        sentence = (
            " ".join(words).capitalize()
            + rng.choices([".", "?", "!", ";", "..."], [80, 10, 5, 3, 2])[0]
        )
        sentences.append(sentence)
        made += len(sentence) + 1
    return " ".join(sentences)[:size]


def _head(rng: random.Random) -> dict[str, Any]:
    return {
        "type": rng.choice(["message", "update", "event", "presence", "order", "ack"]),
        "id": rng.randrange(1 << 24),
        "user": rng.choice(_NAMES),
        "ts": 1_790_000_000_000 + rng.randrange(10**9),
    }


def _text(value: object, rng: random.Random) -> str:
    separators = (", ", ": ") if rng.random() < 0.2 else (",", ":")
    return json.dumps(value, separators=separators, ensure_ascii=False)


def _chat_value(rng: random.Random) -> dict[str, Any]:
    head = _head(rng)
    return {
        **head,
        "room": f"room-{rng.randrange(99)}",
        "text": _prose(rng, max(_size(rng) - 110, 12)),
    }


def _chat(rng: random.Random) -> bytes:
    return _text(_chat_value(rng), rng).encode()


def _update(rng: random.Random) -> bytes:
    value: dict[str, Any] = {"channel": f"ticker.{rng.choice(['BTC-USD', 'EUR-CHF', 'AAPL'])}"}
    size = _size(rng)
    levels = [
        [round(rng.uniform(1, 70_000), 2), round(rng.random() * 10, 4)] for _ in range(size // 20)
    ]
    value |= {"seq": rng.randrange(10**9), "bids": levels[::2], "asks": levels[1::2], "ok": True}
    return _text(value, rng).encode()


def _token(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    if kind == 1:
        return rng.randbytes(rng.choice([16, 20, 32])).hex()
    if kind == 2:
        parts = [
            b'{"alg":"HS256","typ":"JWT"}',
            b'{"sub":"%d"}' % rng.randrange(10**9),
            rng.randbytes(32),
        ]
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    return base64.b64encode(rng.randbytes(rng.randint(12, 96))).decode()


def _record(rng: random.Random) -> bytes:
    value = _head(rng)
    left = _size(rng) - 105
    while left > 0:
        key = f"{rng.choice(_KEYS)}{rng.randrange(20)}"
        entry: Any = _token(rng) if rng.random() < 0.5 else rng.randrange(10**6)
        if rng.random() < 0.2:
            entry = f"https://example.com/{rng.choice(_NAMES)}/{rng.randrange(9999)}?page={rng.randrange(9)}"
        value[key] = entry
        left -= len(str(entry)) + len(key) + 6
    return _text(value, rng).encode()


def _escaped(rng: random.Random) -> bytes:
    value = _chat_value(rng)
    kind = rng.randrange(3)
    if kind == 0:  # line ends and quotes
        value["text"] = value["text"].replace(". ", '.\n"', 2)
        return _text(value, rng).encode()
    value["text"] = f"{rng.choice(_FOREIGN)} {value['text']}"
    return json.dumps(value, ensure_ascii=kind == 1).encode()


def _enveloped(rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    body = _text(_chat_value(rng), rng)
    if kind == 0:
        return f'42["message",{body}]'.encode()
    if kind == 1:
        return f"SEND\ndestination:/app/chat\ncontent-type:application/json\n\n{body}\0".encode()
    if kind == 2:
        return f'{{"type":1,"target":"send","arguments":[{body}]}}\x1e'.encode()
    return f'{{"id":"{rng.randrange(99)}","type":"subscribe","payload":{body}}}'.encode()


def _binary(rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return rng.randbytes(_size(rng))  # compressed or encrypted by the application
    packed: bytes = msgpack.packb(_chat_value(rng))
    return packed


def _markup(rng: random.Random) -> bytes:
    value = _chat_value(rng)
    text = value["text"]
    half = len(text) // 2
    if rng.random() < 0.5:
        value["html"] = (
            f'<p class="note">{text[:half]}</p><a href="/u/{rng.randrange(99)}">{text[half:]}</a>'
        )
    else:
        value["markdown"] = (
            f"# {text[:20]}\n\n- {text[20:half]}\n- **{text[half:]}**\n\n---\n`code`"
        )
    del value["text"]
    return _text(value, rng).encode()


_MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "record": _record,
    "update": _update,
    "chat": _chat,
    "escaped": _escaped,
    "enveloped": _enveloped,
    "binary": _binary,
    "markup": _markup,
}

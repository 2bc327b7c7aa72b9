"""Streams for the benchmark where the peers' harness is not there; seeded, so always the same.

Each is one direction behind the handshake, in the form of that harness: NAME.bin and NAME.json.
"""

import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

TEXT, BINARY, CONTINUATION, FIN, RSV1, MASK = 1, 2, 0, 0x80, 0x40, 0x80
STREAM_BYTES = 16 << 20
WORDS = "order price up down bid ask open close last volume naïve 東京".split()  # noqa: SIM905

Unit = tuple[bytes, int, int, bytes]  # wire bytes, frames, opcode, payload


def frame(first: int, payload: bytes, key: bytes = b"") -> bytes:
    mask = MASK if key else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    if not key:
        return head + payload
    keys = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")
    return head + key + masked.to_bytes(size, "big")


def prose(rng: random.Random, size: int) -> bytes:
    weights = [10] * (len(WORDS) - 2) + [1, 1]
    text = " ".join(rng.choices(WORDS, weights, k=size // 4)).encode()[:size]
    return text.decode(errors="ignore").encode()


def small(rng: random.Random, masked: bool = True) -> Unit:
    word = rng.choices(WORDS[:-2], k=rng.randint(0, 14))
    text = f'{{"id":{rng.randrange(1 << 20)},"m":"{" ".join(word)}"}}'.encode()
    return frame(FIN | TEXT, text, rng.randbytes(4) if masked else b""), 1, TEXT, text


def server(rng: random.Random) -> Unit:
    return small(rng, masked=False)


def mixed(rng: random.Random) -> Unit:
    size = int(min(max(rng.lognormvariate(6.0, 1.4), 20), 16384))
    opcode = TEXT if rng.random() < 0.6 else BINARY
    payload = prose(rng, size) if opcode == TEXT else rng.randbytes(size)
    return frame(FIN | opcode, payload, rng.randbytes(4)), 1, opcode, payload


def large(rng: random.Random) -> Unit:
    payload = rng.randbytes(int(2 ** rng.uniform(16, 20)))
    return frame(FIN | BINARY, payload, rng.randbytes(4)), 1, BINARY, payload


def fragmented(rng: random.Random) -> Unit:
    payload = prose(rng, rng.randint(200, 4000))
    pieces = rng.randint(2, 6)
    cuts = [0, *sorted(rng.sample(range(1, len(payload)), pieces - 1)), len(payload)]
    wire = b"".join(
        frame(
            (CONTINUATION if at else TEXT) | (FIN if at == pieces - 1 else 0),
            payload[cuts[at] : cuts[at + 1]],
            rng.randbytes(4),
        )
        for at in range(pieces)
    )
    return wire, pieces, TEXT, payload


def deflater() -> Callable[[random.Random], Unit]:
    packer = zlib.compressobj(wbits=-15)

    def deflate(rng: random.Random) -> Unit:
        payload = b"[" + b",".join(small(rng)[3] for _ in range(rng.randint(4, 40))) + b"]"
        packed = (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        return frame(FIN | RSV1 | TEXT, packed), 1, TEXT, payload

    return deflate


def units(name: str) -> Iterator[Unit]:
    makers = {f.__name__: f for f in (small, server, mixed, large, fragmented)}
    make = makers.get(name) or deflater()
    rng = random.Random(f"sockwarden/{name}")
    while True:
        yield make(rng)


NAMES = ("small", "server", "mixed", "large", "fragmented", "deflate")


def write(name: str, folder: Path) -> None:
    """Writes one that is not there yet."""
    if (folder / f"{name}.json").exists():
        return
    digest = hashlib.sha256()
    wire_bytes = frames = events = payload_bytes = 0
    with open(folder / f"{name}.bin", "wb") as out:
        for wire, count, opcode, payload in units(name):
            out.write(wire)
            digest.update(struct.pack("<BQ", opcode, len(payload)) + payload)
            wire_bytes += len(wire)
            frames += count
            events += 1
            payload_bytes += len(payload)
            if wire_bytes >= STREAM_BYTES:
                break
    cut = {
        "wire_bytes": wire_bytes,
        "frames": frames,
        "events": events,
        "payload_bytes": payload_bytes,
        "sha256": digest.hexdigest(),
    }
    truth = {
        "name": name,
        "masked": name not in ("server", "deflate"),
        "deflate": name == "deflate",
        "cuts": {"full": cut, "head": cut},
    }
    (folder / f"{name}.json").write_text(json.dumps(truth, indent=1) + "\n")

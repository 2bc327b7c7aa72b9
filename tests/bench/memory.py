"""`python tests/bench/memory.py`: what a connection costs, by what it is at.

COUNT connections are opened and fed for each case, in a process of its own; then their share of the
heap is what malloc has given out more than before (its headers included), and of the process what
became resident.  `said` is the parser's own account.  The Python object that holds a connection
here is left out of `heap`, and counts in `resident`.  The last line is one JSON object of bytes a
connection.
"""

import argparse
import gc
import json
import multiprocessing
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from allocated import allocated_bytes

from sockwarden.parser import ConnectionDecoder, contexts

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate"
NO_TAKEOVER = b"; server_no_context_takeover; client_no_context_takeover"
TEXT = b"".join(b'{"id":%d,"name":"somebody"},' % number for number in range(3000))
CASES = (
    # name, header, octets of text in the message of each direction, octets of it still to come
    ("plain", b"", 2000, 0),
    ("no_takeover", DEFLATE + NO_TAKEOVER + b"\r\n", 2000, 0),
    ("takeover_short", DEFLATE + b"\r\n", 500, 0),
    ("takeover_10_bits", DEFLATE + b"; server_max_window_bits=10; client_max_window_bits=10\r\n",
     80_000, 0),
    ("takeover_15_bits", DEFLATE + b"\r\n", 80_000, 0),
    ("open_message", b"", 2000, 1),
    ("open_compressed_message", DEFLATE + b"\r\n", 2000, 1),
)  # fmt: skip


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def frame(payload: bytes, compressed: bool, masked: bool) -> bytes:
    if compressed:
        packer = zlib.compressobj(wbits=-10)
        payload = (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    mask = 0x80 if masked else 0
    size = len(payload)
    length = bytes([mask | 126]) + size.to_bytes(2, "big") if size > 125 else bytes([mask | size])
    head = bytes([0xC1 if compressed else 0x81]) + length
    return head + (bytes(4) if masked else b"") + payload


def connections(count: int, header: bytes, size: int, cut: int) -> Iterator[ConnectionDecoder]:
    response = RESPONSE + header + b"\r\n"
    c2s, s2c = (frame(TEXT[:size], bool(header), masked) for masked in (True, False))
    for _ in range(count):
        decoder = ConnectionDecoder()
        decoder.feed("c2s", 0, REQUEST)
        decoder.feed("s2c", 0, response)
        decoder.feed("c2s", len(REQUEST), c2s[: len(c2s) - cut])
        decoder.feed("s2c", len(response), s2c[: len(s2c) - cut])
        yield decoder


def measure(count: int, header: bytes, size: int, cut: int) -> dict[str, int]:
    contexts.limit(1 << 40)
    list(connections(4, header, size, cut))  # the thread's own buffers
    gc.collect()
    heap, resident = allocated_bytes(), resident_bytes()
    held = list(connections(count, header, size, cut))
    heap, resident = allocated_bytes() - heap - sys.getsizeof(held), resident_bytes() - resident
    said = sum(decoder.memory for decoder in held)
    return {
        "said": round(said / count),
        "heap": round(heap / count),
        "resident": round(resident / count),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="idle connections")
    options = parser.parse_args()
    found = {}
    apart = multiprocessing.get_context("spawn")
    print("| case | connections | said, B | heap, B | resident, B |\n|---|---:|---:|---:|---:|")
    for name, header, size, cut in CASES:
        costly = size > 2000 or cut
        count = min(options.count, 4000 if costly else options.count)
        with apart.Pool(1) as process:
            found[name] = each = process.apply(measure, (count, header, size, cut))
        print(
            f"| {name} | {count:,} | {each['said']:,} | {each['heap']:,} | {each['resident']:,} |",
            flush=True,
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""Driver of the peers' harness: the C contract of the parser (`parser/frames.pxd`).

Its own main, not `bench.main`: that one calls a Python method a chunk, which would be a third of
the time of 1,448 bytes.  Arguments, repetition and output are the same.
"""

import json
import sys
import time

import bench
import native


def timed(function) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    options = bench.arguments()
    consumer = native.consumer()
    truth = json.loads(options.corpus.with_suffix(".json").read_text())
    cut = truth["cuts"][options.cut]
    with open(options.corpus.with_suffix(".bin"), "rb") as file:
        stream = file.read(cut["wire_bytes"])
    how = (options.chunk, truth["masked"], truth["deflate"])

    if options.verify:
        digest = bench.Digest()
        consumer.hand_over(stream, *how, digest)
        ok = digest.matches(cut)
        print(json.dumps({"ok": ok, "events": digest.events}))
        sys.exit(not ok)

    def decode() -> None:
        if consumer.count(stream, *how) != cut["events"]:
            raise SystemExit("wrong number of events")

    consumer.count(stream[: bench.WARM_UP_BYTES], *how)
    cpu = wall = passes = 0
    while cpu < bench.MIN_SECONDS:
        once_cpu, once_wall = timed(decode)
        cpu += once_cpu
        wall += once_wall
        passes += 1
    print(json.dumps({"cpu_s": cpu / passes, "wall_s": wall / passes}))


if __name__ == "__main__":
    main()

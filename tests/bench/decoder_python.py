"""Driver of the peers' harness: the public Python API, `FrameDecoder`, a list of events a chunk."""

import bench

from sockwarden.parser import DeflateParameters, FrameDecoder


class Decoder:
    def __init__(self, truth, consume):
        deflate = DeflateParameters() if truth["deflate"] else None
        self.decode = FrameDecoder("client" if truth["masked"] else "server", deflate).feed
        self.consume = consume

    def feed(self, chunk):
        consume = self.consume
        for event in self.decode(chunk):
            consume(event.opcode, event.payload)


if __name__ == "__main__":
    bench.main(Decoder)

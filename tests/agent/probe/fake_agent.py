"""A tiny agent for the helper's tests; run as a program, it speaks as its first argument says."""

import os
import socket
import sys
import time

from sockwarden.agent.probe import protocol


def main() -> None:
    behaviour, log, _, control_fd = sys.argv[1:]
    control = socket.socket(fileno=int(control_fd))
    packet, rings, _, _ = socket.recv_fds(control, protocol.MAX_PACKET_BYTES, 16)
    hello = protocol.decode_from_helper(packet)
    assert isinstance(hello, protocol.Hello)

    def say(line: str) -> None:
        with open(log, "a") as file:
            file.write(f"{line}\n")

    def tell(message: protocol.FromAgent) -> None:
        control.send(protocol.encode(message))

    say(f"hello {os.getpid()} {hello.rings} {len(rings)} {os.environ.get('NOTIFY_SOCKET')}")
    if behaviour == "exit2":
        sys.exit(2)
    if behaviour == "ill-typed":
        for _ in range(1_000):
            control.send(b"\x81\xa3say\xa4open")
    if behaviour == "flood":
        control.settimeout(2)
        try:
            for _ in range(100_000):
                tell(protocol.CountersRequest())
        except TimeoutError:
            say("held back")
    if behaviour == "deaf":
        control.close()
        time.sleep(60)
    tell(protocol.Ready())
    tell(protocol.Progress(drained=1, uplink=1))
    tell(protocol.Progress(drained=2, uplink=1))
    tell(protocol.Ignore(connection=77))
    tell(protocol.ProcessRequest(pid=os.getpid(), start_ns=1))
    tell(protocol.CountersRequest())
    while packet := control.recv(protocol.MAX_PACKET_BYTES):
        message = protocol.decode_from_helper(packet)
        say(type(message).__name__)
        if isinstance(message, protocol.Stop):
            return
    say("closed")


main()

"""What captures do to the packets of a connection: late, twice, changed, without a beginning."""

import random
from collections.abc import Callable
from dataclasses import replace

from captures import FIN, RST, SYN, Packet

Packets = list[Packet]
Mangle = Callable[[random.Random, Packets], Packets]


def late(distance: float) -> Mangle:
    """Each packet is late by up to so many places, those of the handshake too."""

    def mangle(rng: random.Random, packets: Packets) -> Packets:
        places = [at + rng.uniform(0, distance) for at in range(len(packets))]
        order = sorted(range(len(packets)), key=places.__getitem__)
        times = [packet.time_ns for packet in packets]
        return [replace(packets[at], time_ns=time) for at, time in zip(order, times, strict=True)]

    return mangle


def without_syn(_: random.Random, packets: Packets) -> Packets:
    return [packet for packet in packets if not packet.flags & SYN]


def data_only(_: random.Random, packets: Packets) -> Packets:
    """As programs write captures that never saw a network."""
    return [
        replace(packet, acknowledgement=0)
        for packet in packets
        if packet.payload or packet.flags & (SYN | FIN | RST)
    ]


def seconds_apart(_: random.Random, packets: Packets) -> Packets:
    first = packets[0].time_ns
    return [replace(packet, time_ns=first + at * 10**9) for at, packet in enumerate(packets)]


def repeated(rng: random.Random, packets: Packets) -> Packets:
    """Retransmissions, whole ones and ones that are cut elsewhere, and keep-alives."""
    made: Packets = []
    for packet in packets:
        made.append(packet)
        sent = [other for other in made if other.payload and other.source == packet.source]
        chance = rng.random()
        if chance < 0.1 and sent:
            made.append(replace(rng.choice(sent), time_ns=packet.time_ns))
        elif chance < 0.2 and len(sent) > 1:
            first, second = sent[-2:]
            if first.sequence + len(first.payload) == second.sequence:
                both = first.payload + second.payload
                start = rng.randrange(len(both))
                stop = rng.randrange(start, len(both)) + 1
                made.append(
                    replace(second, sequence=first.sequence + start, payload=both[start:stop])
                )
        elif chance < 0.25 and not packet.flags & (SYN | FIN | RST):
            # RFC 9293 3.8.4
            made.append(replace(packet, sequence=packet.sequence - 1, payload=b""))
        elif chance < 0.3 and packet.flags & SYN:
            made.append(packet)
    return made


def lied_about(rng: random.Random, packets: Packets) -> Packets:
    """Retransmissions with other octets: the peer has the first ones."""
    made: Packets = []
    for packet in packets:
        made.append(packet)
        if packet.payload and rng.random() < 0.3:
            made.append(replace(packet, payload=bytes(len(packet.payload))))
    return made


def lost(rate: float) -> Mangle:
    return lambda rng, packets: [packet for packet in packets if rng.random() >= rate]


def both(*manglings: Mangle) -> Mangle:
    def mangle(rng: random.Random, packets: Packets) -> Packets:
        for each in manglings:
            packets = each(rng, packets)
        return packets

    return mangle

"""A connection seen twice on one host is judged once; a proxy's legs are two."""

import sockwarden.agent.ends
from sockwarden.agent.endpoint import UNKNOWN, Endpoints
from sockwarden.agent.ends import End, Ends

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def accepting(local, remote):
    return End(KEY, accepting=True, endpoints=Endpoints(local, remote, loopback=True))


def opening(local, remote):
    return End(KEY, accepting=False, endpoints=Endpoints(local, remote, loopback=True))


def watch(*ends):
    watched = Ends()
    for end in ends:
        watched.add(end)
    for end in ends:
        watched.settle(end)
    return watched


def test_the_opening_end_of_a_watched_connection_is_a_duplicate():
    server, client = accepting("::1:80", "::1:4000"), opening("::1:4000", "::1:80")
    ends = watch(server, client)
    assert (server.duplicate, client.duplicate) == (False, True)
    assert not ends.proxied(server)


def test_an_opening_end_alone_is_judged():
    client = opening("10.0.0.1:4000", "192.0.2.1:443")
    watch(client)
    assert not client.duplicate


def test_without_addresses_the_nonce_decides():
    server, client = accepting("::1:80", "::1:4000"), End(KEY, False, UNKNOWN)
    watch(server, client)
    assert client.duplicate


def test_both_legs_of_a_local_proxy_are_judged_and_proxied():
    client = opening("::1:4000", "::1:443")
    front = accepting("::1:443", "::1:4000")
    to_upstream = opening("::1:5000", "::1:8080")
    upstream = accepting("::1:8080", "::1:5000")
    ends = watch(client, front, to_upstream, upstream)
    assert [end.duplicate for end in (client, front, to_upstream, upstream)] == [
        True,
        False,
        True,
        False,
    ]
    assert ends.proxied(front)
    assert ends.proxied(upstream)


def test_a_proxy_to_another_host_is_judged_on_both_legs():
    front = accepting("10.0.0.1:443", "192.0.2.7:4000")
    to_upstream = opening("10.0.0.1:5000", "10.0.0.2:8080")
    ends = watch(front, to_upstream)
    assert not to_upstream.duplicate
    assert ends.proxied(front)
    assert ends.proxied(to_upstream)


def test_what_is_closed_counts_no_more():
    front = accepting("10.0.0.1:443", "192.0.2.7:4000")
    to_upstream = opening("10.0.0.1:5000", "10.0.0.2:8080")
    ends = watch(front, to_upstream)
    ends.remove(to_upstream)
    assert not ends.proxied(front)


def test_a_server_that_closed_before_its_client_had_the_answer():
    server, client = accepting("::1:80", "::1:4000"), opening("::1:4000", "::1:80")
    ends = watch(server)
    ends.add(client)
    ends.remove(server)
    assert ends.settle(client)
    ends.remove(client)


def test_a_server_that_is_not_wanted_hides_no_client():
    server, client = accepting("::1:80", "::1:4000"), opening("::1:4000", "::1:80")
    server.wanted = False
    ends = watch(server, client)
    assert not client.duplicate
    assert not ends.proxied(client)


def test_what_closed_is_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr(sockwarden.agent.ends, "MAX_CLOSED", 2)
    ends = Ends()
    for number in range(9):
        end = End(f"{number}", accepting=True, endpoints=UNKNOWN)
        ends.add(end)
        ends.remove(end)
    assert ends.settle(End("8", accepting=False, endpoints=UNKNOWN))
    assert not ends.settle(End("6", accepting=False, endpoints=UNKNOWN))


def test_a_copied_nonce_never_hides_an_accepting_end():
    one, other = accepting("::1:80", "::1:4000"), accepting("::1:80", "::1:4001")
    watch(one, other)
    assert not one.duplicate
    assert not other.duplicate

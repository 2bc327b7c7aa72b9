"""The probe, loaded once for all tests of the capture."""

from collections.abc import Iterator

import pytest
from capture import Certificate, Probe, libssl

from sockwarden.agent.probe.programs import Settings


@pytest.fixture(scope="session")
def loaded_probe() -> Iterator[Probe]:
    probe = Probe(Settings(ring_bytes=8 << 20))
    yield probe
    probe.close()


@pytest.fixture
def probe(loaded_probe: Probe) -> Iterator[Probe]:
    loaded_probe.forget()
    yield loaded_probe
    loaded_probe.forget()


@pytest.fixture(scope="module")
def detached_behind(loaded_probe: Probe) -> Iterator[None]:
    yield
    loaded_probe.detach_libraries()


@pytest.fixture
def tls_probe(probe: Probe, detached_behind: None) -> Probe:
    """With this interpreter's OpenSSL, which nginx uses too."""
    probe.attach_library(libssl())
    return probe


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))

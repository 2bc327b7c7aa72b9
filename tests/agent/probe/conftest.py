"""The probe, loaded once for all tests of the capture."""

from collections.abc import Iterator

import pytest
from capture import Probe

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

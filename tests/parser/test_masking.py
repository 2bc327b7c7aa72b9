"""Unmasking by every kernel (RFC 6455 section 5.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import mask

from sockwarden.parser import masking


@pytest.mark.parametrize("variant", masking.variants())
@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_any_payload(variant, payload, key):
    clear = mask(payload, key)
    assert masking.unmasked(payload, key, variant) == (clear, clear.isascii())


@pytest.mark.parametrize("variant", masking.variants())
@pytest.mark.parametrize("size", [*range(1, 140), 1000])
def test_one_octet_that_is_not_ascii(variant, size):
    for at in {0, size // 2, size - 1}:
        payload = bytearray(size)
        payload[at] = 0x80
        assert masking.unmasked(bytes(payload), bytes(4), variant) == (bytes(payload), False)


def test_plain_c_is_always_there():
    assert masking.variants()[-1] == "plain"


def test_an_unknown_variant():
    with pytest.raises(ValueError, match="no masking variant 'mmx'"):
        masking.unmasked(b"", bytes(4), "mmx")

"""The names of what events.pxd numbers."""

DIRECTIONS = ("c2s", "s2c")

ANOMALY_KINDS = (
    "reserved_opcode",
    "rsv_bits",
    "control_fragmented",
    "control_too_long",
    "unexpected_continuation",
    "expected_continuation",
    "invalid_utf8",
    "invalid_close_code",
    "invalid_close_payload",
    "unmasked_client",
    "masked_server",
    "length_not_minimal",
    "length_overflow",
    "inflate_error",
    "data_after_close",
    "truncated",
    "gap",
)

if len(ANOMALY_KINDS) != ANOMALY_COUNT:
    raise ImportError("ANOMALY_KINDS in events.pyx and enum Anomaly in events.pxd differ")

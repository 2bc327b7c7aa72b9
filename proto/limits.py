"""How large the fields of the protocol may be: an agent cuts to these, a collector refuses above.

Strings are measured in bytes of UTF-8.  A batch that breaks a limit ends its stream, and
the agent would send it again: what makes alerts must stay within them.
"""

BATCH_ALERTS = 500
# Above this gRPC itself refuses a message.
MESSAGE_BYTES = 4 << 20

# An agent's name: what a host or a certificate can be called.
AGENT_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,254}"
AGENT_BYTES = 255
HOSTNAME_BYTES = 255
VERSION_BYTES = 64
KERNEL_BYTES = 255

ALERT_ID_BYTES = 64
EVIDENCE_BYTES = 512
RULE_ID_BYTES = 128
RULE_TITLE_BYTES = 256
TAGS = 32
TAG_BYTES = 64
ADDRESS_BYTES = 255
# The head of a request is captured up to 16 KiB, and each of these is part of it.
HEAD_FIELD_BYTES = 16 << 10
TLS_BYTES = 64
EXE_BYTES = 4096
UNIT_BYTES = 255
CONTAINER_BYTES = 255
COMMAND_LINE_ARGUMENTS = 64
COMMAND_LINE_BYTES = 4096

COUNTERS = 1024
COUNTER_NAME_BYTES = 128
IMPAIRMENTS = 64
IMPAIRMENT_BYTES = 512
RULES_DIGEST_BYTES = 64

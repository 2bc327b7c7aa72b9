"""What a rule costs: nanoseconds a message, measured on ordinary ones."""

from collections.abc import Sequence
from dataclasses import replace

from sockwarden.agent.rules import sample
from sockwarden.agent.rules.compile import compile_rules
from sockwarden.agent.rules.fields import DIRECTIONS
from sockwarden.agent.rules.model import Compares, Rule, Source

MESSAGES = 2000
_PASSES = 5
_NEVER = Compares("length", "gt", (1 << 64) - 1)


def nanoseconds_a_message(rule: Rule, messages: Sequence[bytes] = ()) -> float:
    """Of a message rule, alone: what it adds to a rule that asks for nothing.

    Messages that none of its directions and opcodes are of cost nothing and are not counted.
    """
    if rule.source is not Source.MESSAGE:
        raise ValueError(f"{rule.name} is a {rule.source} rule: it is judged once a connection")
    payloads = list(messages) or sample.messages(MESSAGES)
    nothing = replace(rule, condition=_NEVER, verification=None)
    return max(0.0, _fastest(rule, payloads) - _fastest(nothing, payloads))


def _fastest(rule: Rule, payloads: list[bytes]) -> float:
    session = compile_rules([rule]).session()
    direction = min(DIRECTIONS[name] for name in rule.scope.directions)
    opcode = min(rule.scope.opcodes)
    took = (session.timed(payloads, direction=direction, opcode=opcode) for _ in range(_PASSES))
    return min(ns for _, ns in took) / len(payloads)

"""How much of the corpora the shipped rules find: `make bench-detection`.

Takes texts from CORPORA (default ../shared/corpora): `malicious.jsonl.gz`, `benign.jsonl.gz`.  A
hash cuts them in two halves: rules are tuned on one, the figures are of the other.  Every text is
judged in every envelope of tests/support/envelopes.py.  Prints, by class and envelope, the share
of attacks for which an injection rule alerts; then the share of ordinary lines for which any rule
does, a line counted if it alerts in any envelope.  Weak lines hold no attack that anyone could
tell from text: they are shown apart.  The last line is one JSON object.

    --tuned            figures of the half that rules are tuned on
    --missed CLASS     its lines that were missed, and where
    --alerts           the ordinary lines of it that alert, and by which rules
"""

import argparse
import gzip
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from sockwarden.agent.alert import Category
from sockwarden.agent.rules.load import load_rules

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
from envelopes import ENVELOPES  # noqa: E402

CORPORA = Path(os.environ.get("CORPORA", ROOT.parent / "shared/corpora"))
NAMES = {"trav": "traversal"}


def lines(name: str, tuned: bool) -> Iterator[dict[str, object]]:
    """The lines of one half."""
    with gzip.open(CORPORA / f"{name}.jsonl.gz", "rt") as file:
        for line in map(json.loads, file):
            if (sha256(line["text"].encode()).digest()[-1] & 1 == 0) is tuned:
                yield line


class Judge:
    def __init__(self) -> None:
        self.session = load_rules().session()

    def alerts(self, text: str, envelope: str) -> list[tuple[str, bool]]:
        """Names of the rules that alert, and whether they are for injections."""
        payload, opcode = ENVELOPES[envelope](text)
        hits = self.session.judge(payload, direction=0, opcode=opcode, tls=1)
        return [(hit.rule.name, hit.rule.category is Category.INJECTION) for hit in hits]


def attacks(judge: Judge, tuned: bool, shown: str | None) -> tuple[Counter, Counter]:
    """Lines and finds by class and envelope."""
    total: Counter = Counter()
    found: Counter = Counter()
    for line in lines("malicious", tuned):
        name = NAMES.get(line["class"], line["class"]) + (" (weak)" if line.get("weak") else "")
        total[name] += 1
        missed = []
        for envelope in ENVELOPES:
            if any(injection for _, injection in judge.alerts(line["text"], envelope)):
                found[name, envelope] += 1
            else:
                missed.append(envelope)
        if missed and name == shown:
            print("everywhere" if len(missed) == len(ENVELOPES) else ",".join(missed), end="\t")
            print(repr(line["text"])[:300])
    return total, found


def ordinary(judge: Judge, tuned: bool, show: bool) -> tuple[int, int, Counter]:
    """Lines, those that alert anywhere, and those by envelope."""
    total = alerting = 0
    by_envelope: Counter = Counter()
    for line in lines("benign", tuned):
        total += 1
        rules = defaultdict(list)
        for envelope in ENVELOPES:
            for name, _ in judge.alerts(line["text"], envelope):
                rules[name].append(envelope)
        alerting += bool(rules)
        by_envelope.update({envelope for places in rules.values() for envelope in places})
        if rules and show:
            places = {n: "all" if len(p) == len(ENVELOPES) else p for n, p in rules.items()}
            print(f"{line['source']}\t{places}\t{line['text']!r}"[:500])
    return total, alerting, by_envelope


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--missed", metavar="CLASS")
    parser.add_argument("--alerts", action="store_true")
    options = parser.parse_args()
    tuned = options.tuned or options.alerts or options.missed is not None
    if not CORPORA.is_dir():
        sys.exit(f"{CORPORA}: no such folder; name one in CORPORA")
    judge = Judge()
    total, found = attacks(judge, tuned, options.missed)
    ordinary_total, alerting, by_envelope = ordinary(judge, tuned, options.alerts)

    names = sorted(total, key=lambda name: ("weak" in name, name))
    print("share found, %:", f"{'the tuned half' if tuned else 'the half not tuned on'}")
    print(f"{'':14}" + "".join(f"{name:>16}" for name in names) + f"{'ordinary':>12}")
    print(f"{'lines':14}" + "".join(f"{total[name]:16}" for name in names), end="")
    print(f"{ordinary_total:12}")
    for envelope in ENVELOPES:
        shares = (f"{found[name, envelope] / total[name]:16.1%}" for name in names)
        print(f"{envelope:14}{''.join(shares)}{by_envelope[envelope] / ordinary_total:12.3%}")
    detected = {
        name: {e: round(found[name, e] / total[name], 4) for e in ENVELOPES}
        for name in names
        if "weak" not in name
    }
    print(json.dumps({"detected": detected, "benign_rate": round(alerting / ordinary_total, 6)}))


if __name__ == "__main__":
    main()

"""Python's side of the pipeline: what was found becomes reports and alerts with names.

The pipeline calls it once when a connection opens, twice for its handshake, and once for each
finding.  Everything here is bounded by what the pipeline lets through.
"""

from collections.abc import Callable

from sockwarden.agent import redact
from sockwarden.agent.alert import (
    Alert,
    Anomaly,
    Category,
    Control,
    DirectionName,
    Message,
    Process,
    rfc3339,
)
from sockwarden.agent.endpoint import Endpoints
from sockwarden.agent.ends import Ends
from sockwarden.agent.rules.detectors.window import Windows
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.model import AnyRule, RuleHit
from sockwarden.agent.sink import Sink
from sockwarden.agent.subject import Subject
from sockwarden.parser.events import ANOMALY_KINDS
from sockwarden.parser.handshake import Handshake

DIRECTIONS: tuple[DirectionName, DirectionName] = ("c2s", "s2c")


class Reporter:
    """`connection` is always the number in the records; `direction` is parser.events.Direction."""

    def __init__(
        self,
        rules: RuleSet,
        sink: Sink,
        *,
        trace: bool,
        agent: str | None,
        redaction_key: bytes,
        process: Callable[[int, int], Process | None] | None,
        wanted: Callable[[Subject], bool] | None,
    ) -> None:
        self._sink = sink
        self._trace = trace
        self._agent = agent
        self._redaction_key = redaction_key
        self._process = process
        self._wanted = wanted
        self._ends = Ends()
        self._subjects: dict[int, Subject] = {}
        self._numbered = 0
        self.duplicate_ends = 0
        self.alerts = 0
        self.use(rules)

    def use(self, rules: RuleSet) -> None:
        self._rules = rules
        self._windows = Windows()

    def meet(
        self, connection: int, role: int, source: int, endpoints: Endpoints, pid: int, start_ns: int
    ) -> bool:
        """A connection opens: names are resolved while its process is still there.

        False: it need not be looked at, as far as that is known before its handshake.
        """
        process = self._process(pid, start_ns) if pid and self._process else None
        subject = Subject(
            role=role, source=source, endpoints=endpoints, pid=pid or None, process=process
        )
        subject.end.wanted = self._wanted is None or self._wanted(subject)
        self._subjects[connection] = subject
        return subject.end.wanted

    def request(self, connection: int, head: bytes) -> None:
        """The other end of this connection and a proxy's legs know each other by the key."""
        subject = self._subjects[connection]
        self._ends.remove(subject.end)  # of an earlier request, which was refused
        subject.see_request(Handshake(head, b""))
        self._ends.add(subject.end)

    def handshake(
        self, connection: int, time_ns: int, request: bytes, response: bytes, upgraded: bool
    ) -> bool:
        """Both heads are whole.  False: this connection need not be looked at."""
        subject = self._subjects[connection]
        subject.see_handshake(Handshake(request, response))
        if not subject.end.wanted:
            return False
        if self._ends.settle(subject.end):
            self.duplicate_ends += 1
            return False
        if upgraded:
            self._introduce(subject)
        fields = subject.fields() | {"connection": connection}
        hits = self._rules.judge_handshake(fields, self._windows, time_ns=time_ns)
        self._alert_all(subject, hits, time_ns, None)
        return True

    def message(
        self,
        connection: int,
        direction: int,
        opcode: int,
        length: int,
        sha256: str | None,
        compressed: bool | None,
        fragments: int | None,
        after_close: bool,
    ) -> None:
        subject = self._introduce(self._subjects[connection])
        self._sink.message(
            Message(
                conn=subject.number,
                dir=DIRECTIONS[direction],
                opcode=opcode,
                length=length,
                sha256=sha256,
                compressed=compressed,
                fragments=fragments,
                after_close=after_close,
            )
        )

    def number(self, connection: int) -> int:
        """What reports call the connection, which is spoken of now."""
        return self._introduce(self._subjects[connection]).number

    def control(
        self, connection: int, direction: int, opcode: int, length: int, code: int | None
    ) -> None:
        subject = self._introduce(self._subjects[connection])
        self._sink.control(
            Control(
                conn=subject.number,
                dir=DIRECTIONS[direction],
                opcode=opcode,
                length=length,
                code=code,
            )
        )

    def anomaly(
        self, connection: int, time_ns: int, direction: int, kind: int, offset: int
    ) -> None:
        subject = self._subjects[connection]
        way, name = DIRECTIONS[direction], ANOMALY_KINDS[kind]
        if self._trace:
            self._introduce(subject)
            self._sink.anomaly(Anomaly(conn=subject.number, dir=way, kind=name, offset=offset))
        fields = subject.fields() | {"connection": connection, "offset": offset}
        hits = self._rules.judge_anomaly(name, way, fields, self._windows, time_ns=time_ns)
        self._alert_all(subject, hits, time_ns, way)

    def hit(
        self,
        connection: int,
        time_ns: int,
        direction: int,
        opcode: int,
        rule: int,
        payload: bytes,
        span: tuple[int, int],
        count: int,
    ) -> None:
        """A rule matched payload[slice(*span)] of a message or a control frame."""
        self._alert(
            self._subjects[connection],
            self._rules.rules[rule],
            time_ns,
            DIRECTIONS[direction],
            opcode,
            payload,
            span,
            count,
        )

    def forget(self, connection: int) -> None:
        self._ends.remove(self._subjects.pop(connection).end)

    def _introduce(self, subject: Subject) -> Subject:
        """A connection gets its number when it is first spoken of."""
        if not subject.number:
            self._numbered += 1
            subject.number = self._numbered
            if self._trace:
                self._sink.connection(subject.report())
        return subject

    def _alert_all(
        self, subject: Subject, hits: list[RuleHit], time_ns: int, direction: DirectionName | None
    ) -> None:
        for hit in hits:
            text = hit.evidence.encode(errors="replace")
            span = (0, len(text))
            self._alert(subject, hit.rule, time_ns, direction, None, text, span, hit.count)

    def _alert(
        self,
        subject: Subject,
        rule: AnyRule,
        time_ns: int,
        direction: DirectionName | None,
        opcode: int | None,
        payload: bytes,
        span: tuple[int, int],
        count: int,
    ) -> None:
        self._introduce(subject)
        self.alerts += 1
        secret = rule.category == Category.LEAK
        self._sink.alert(
            Alert(
                conn=subject.number,
                id="",
                agent=self._agent,
                sequence=None,
                time=rfc3339(time_ns),
                rule=rule.name,
                title=rule.title,
                level=rule.level,
                category=rule.category,
                tags=rule.tags,
                dir=direction,
                opcode=opcode,
                evidence=redact.evidence(payload, *span, secret=secret, key=self._redaction_key),
                count=count,
                client=subject.client,
                server=subject.server,
                path=subject.alert_path,
                origin=subject.origin,
                subprotocol=subject.subprotocol,
                tls=subject.tls,
                proxied=self._ends.proxied(subject.end),
                process=subject.process,
            )
        )

"""How far the attempts of a pending activity have come, as the journal keeps it; see `ports.AttemptRecord`."""

from __future__ import annotations

from dataclasses import replace

from .attempts import Attempt, Outcome
from .core import codec
from .core.payload import Failure, Payload
from .core.records import record
from .ports import AttemptRecord


@record
class Progress:
    """The record of one activity, and the attempt that something is to be added of; None when it never began."""

    last: AttemptRecord
    attempt: Attempt | None

    @classmethod
    def of(
        cls, last: AttemptRecord | None, place: tuple[int, int], attempt: Attempt | None = None
    ) -> Progress:
        """What is known so far."""
        return cls(last or AttemptRecord(*place, 0, 0, None, None), attempt)

    def beaten(self) -> AttemptRecord:
        """The attempt has beaten."""
        return self._with_attempt()

    def failed(
        self, failure: Failure, number: int, heartbeat: tuple[Payload, ...], now_us: int, next_at_us: int
    ) -> AttemptRecord:
        """The attempt of this number has failed, and another follows."""
        return replace(
            self._with_attempt(),
            failures=number,
            next_at_us=next_at_us,
            failure=codec.encode_failure(failure),
            heartbeat=codec.encode_payloads(heartbeat) if heartbeat else None,
            ended_at_us=now_us,
        )

    def over(self, outcome: Outcome | None, now_us: int) -> AttemptRecord:
        """No attempt follows; the last one ended so, if it ran to its end by itself."""
        last = replace(self._with_attempt(), next_at_us=0)
        if isinstance(outcome, Failure) and outcome.kind != "canceled":
            return replace(last, failure=codec.encode_failure(outcome), ended_at_us=now_us)
        return replace(last, ended_at_us=now_us) if isinstance(outcome, Payload) else last

    def _with_attempt(self) -> AttemptRecord:
        attempt = self.attempt
        if attempt is None:
            return self.last
        beats, attempt.unwritten_beats = attempt.unwritten_beats, 0
        return replace(
            self.last,
            failures=attempt.request.attempt - 1,
            heartbeat=codec.encode_payloads(attempt.heartbeat) if attempt.heartbeat else None,
            started_at_us=attempt.started_at_us,
            beaten_at_us=attempt.beaten_at_us or self.last.beaten_at_us,
            beats=self.last.beats + beats,
        )

"""Whoever stands outside: knows what was asked and answered, what activities did, and what came onto the disk.

It never asks the engine. The first thing that must not be ends the run, with the seed that shows it again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from overwinter.runtime.activity import Info
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.core import codec
from overwinter.runtime.core import commands as cmd
from overwinter.runtime.core import events as ev
from overwinter.runtime.core.events import Event
from overwinter.runtime.ports import Batch, ExecutionRecord

_FOLLOWED = {
    codec.KIND_OF[kind]
    for kind in (
        ev.ActivityCompleted,
        ev.ActivityFailed,
        ev.Signaled,
        ev.UpdateAccepted,
        ev.WorkflowReset,
        cmd.ScheduleActivity,
        cmd.CompleteUpdate,
        cmd.CompleteWorkflow,
        cmd.FailWorkflow,
        cmd.CancelWorkflow,
        cmd.ContinueAsNew,
        ev.WorkflowTerminated,
        ev.WorkflowTimedOut,
    )
}


@dataclass
class Step:
    """An activity, by its idempotency key."""

    spec: dict[str, Any]
    workflow_id: str
    began: int = 0
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)
    """What its attempts have returned, with the wall clock and how often that had been set back by then."""


@dataclass
class Request:
    """A change that a client asked for, and what it was told: acked, refused, or nothing (in doubt)."""

    kind: str
    workflow_id: str
    name: str
    client: int
    asked_at: int
    open_then: frozenset[int]
    """The runs of that workflow id that were open when it was asked."""
    told: str = "nothing"
    told_at: int = 1 << 60
    answer: Any = None


class Observer:
    """Keeps its own account, and compares."""

    def __init__(
        self, wall_us: Callable[[], int], now_s: Callable[[], float], *, tracing: bool = False
    ) -> None:
        self.violations: list[str] = []
        self.requests: list[Request] = []
        self.orders: dict[str, dict[str, Any]] = {}
        """By workflow id: what it was started with, when that was acknowledged."""
        self.set_back = 0
        """How often the wall clock was set back."""
        self.resets: set[str] = set()
        """Workflow ids of which a client has asked for a reset: what a run has may be in several, and be done anew."""
        self.counts: Counter[str] = Counter()
        self._wall_us = wall_us
        self._now_s = now_s
        self._tracing = tracing
        self._hash = hashlib.blake2b(digest_size=16)
        self._steps: dict[str, Step] = {}
        self._key_of_token: dict[str, str] = {}
        self._runs: dict[int, str] = {}
        self._first_asked: dict[str, str] = {}
        """Keys of activities by run and number, where a reset has made the run of another one."""
        self._scheduled: defaultdict[int, list[int]] = defaultdict(list)
        self._asked: set[str] = set()
        """Keys of activities that are on the disk."""
        self._done: dict[str, str] = {}
        """Keys of activities whose end is on the disk, and its token."""
        self._seen: dict[str, str] = {}
        """Keys of activities whose token came back in an argument, and that token."""
        self._signals: Counter[str] = Counter()
        self._updates: Counter[str] = Counter()
        self._ended: set[int] = set()
        self._open: dict[str, set[int]] = {}
        """By workflow id, the runs that are open on the disk."""
        self._outgoing: dict[str, int] = {}
        """What is to be published, with its place in the order of commits."""
        self._published: set[str] = set()
        self._last_published = -1
        self._clock = 0
        """Counts what clients ask and are told: which was before which."""

    # -- the account -----------------------------------------------------------------------------------

    def trace(self, text: str) -> None:
        """Something happened, at this time."""
        line = f"{self._now_s():.6f} {text}"
        self._hash.update(line.encode())
        if self._tracing:
            print(line)

    @property
    def fingerprint(self) -> str:
        """Of all that happened."""
        return self._hash.hexdigest()

    def fail(self, text: str) -> None:
        """This must not be."""
        self.trace(f"VIOLATION {text}")
        self.violations.append(text)

    def check(self, holds: bool, text: str) -> None:
        """It must be so."""
        if not holds:
            self.fail(text)

    def is_there(self, count: int) -> bool:
        """Whether something that is to be in one history is: a reset copies it, or does it again."""
        return count == 1 or (count > 1 and bool(self.resets))

    # -- the disk --------------------------------------------------------------------------------------

    def durable(self, batch: Batch, refused: dict[int, ExecutionRecord]) -> None:
        """This is on the disk, and nobody was told."""
        self.counts["commits"] += 1
        events = [e for e in batch.events if e.execution not in refused]
        self.trace("disk " + " ".join(f"{e.execution}.{e.sequence}:{e.kind}" for e in events))
        for key, start in batch.starts.items():
            if key not in refused:
                self._runs[key] = start.run_id
                self._open.setdefault(start.workflow_id, set()).add(key)
        for message in batch.outgoing:
            if message.execution not in refused:
                self._outgoing.setdefault(message.event_id, len(self._outgoing))
        reset: dict[int, ev.WorkflowReset] = {}
        """The last one of each execution: a copy has those of its base too."""
        for event in events:
            if event.kind in _FOLLOWED:
                body = codec.decode_body(event.kind, event.data)
                self._note(event.execution, body)
                if isinstance(body, ev.WorkflowReset):
                    reset[event.execution] = body
        for execution, found in reset.items():
            self._was_reset(execution, found)

    def _note(self, execution: int, body: Any) -> None:
        self.check(execution not in self._ended, f"execution {execution} went on after its end")
        place = "" if not hasattr(body, "id") else f"{self._runs[execution]}:{body.id}"
        key = self._first_asked.get(place, place)
        match body:
            case cmd.ScheduleActivity():
                self._asked.add(key)
                self._scheduled[execution].append(body.id)
            case ev.ActivityCompleted():
                self._done[key] = value_of(body.result)
            case ev.ActivityFailed():
                self._done[key] = ""
            case ev.Signaled():
                self._signals[name_of(body)] += 1
            case cmd.CompleteUpdate():
                self._updates[body.update_id] += 1
            case ev.UpdateAccepted() | ev.WorkflowReset():
                pass
            case _:
                self._ended.add(execution)
                for keys in self._open.values():
                    keys.discard(execution)

    def _was_reset(self, execution: int, body: ev.WorkflowReset) -> None:
        """A run is made of another one: what has no outcome in it is attempted again, under the key that it had."""
        for number in self._scheduled[execution]:
            new, old = f"{self._runs[execution]}:{number}", f"{body.base_run_id}:{number}"
            key = self._first_asked[new] = self._first_asked.get(old, old)
            if new in self._done:
                self._done[key] = self._done.pop(new)
            else:
                self._done.pop(key, None)
                self._seen.pop(key, None)

    # -- activities ------------------------------------------------------------------------------------

    def attempt_began(self, info: Info, spec: dict[str, Any]) -> None:
        """An attempt of an activity runs."""
        key = info.idempotency_key
        self.counts["attempts"] += 1
        self.trace(f"attempt {info.attempt} of {info.workflow_id} {spec['path']}")
        what = f"{info.workflow_id} {spec['path']} ({key})"
        self.check(
            key in self._asked, f"activity {what} began before it was on the disk that it was asked for"
        )
        self.check(key not in self._done, f"activity {what} began again, its end was on the disk")
        self.check(key not in self._seen, f"activity {what} began again, its result had been used")
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = Step(spec, info.workflow_id or "")
        self.check(step.spec == spec, f"activity {what} was asked for with {step.spec}, then with {spec}")
        step.began += 1
        for token in spec["seen"]:
            self._saw(token, what)
        if spec["since"]:
            self._slept(*spec["since"], what)

    def attempt_ended(self, info: Info) -> str:
        """An attempt ends with this token as its result."""
        key = info.idempotency_key
        step = self._steps[key]
        token = f"{key}#{len(step.tokens)}"
        step.tokens[token] = (self._wall_us(), self.set_back)
        self._key_of_token[token] = key
        self.trace(f"done {info.workflow_id} {step.spec['path']}")
        return token

    def _saw(self, token: str, where: str) -> None:
        """A result was used: it is settled now which attempt's it is."""
        key = self._key_of_token.get(token)
        if key is None:
            self.fail(f"{where} has a result that no activity gave: {token}")
            return
        first = self._seen.setdefault(key, token)
        self.check(first == token, f"{where} has the result {token}, before it was {first}")
        self.check(
            self._done.get(key) == token,
            f"{where} has the result {token}, on the disk is {self._done.get(key)}",
        )

    def _slept(self, token: str, seconds: float, what: str) -> None:
        ended_us, set_back = self._steps[self._key_of_token[token]].tokens[token]
        if set_back == self.set_back:
            left_s = ended_us / 1e6 + seconds - self._wall_us() / 1e6
            self.check(
                left_s < 1e-4, f"{what} began {left_s:.6f} s before {seconds} s had passed since {token}"
            )

    # -- clients ---------------------------------------------------------------------------------------

    def asks(self, kind: str, workflow_id: str, name: str, client: int) -> Request:
        """A client asks for a change."""
        self._clock += 1
        then = frozenset(self._open.get(workflow_id, ()))
        request = Request(kind, workflow_id, name, client, self._clock, then)
        self.requests.append(request)
        self.trace(f"client {client} asks {kind} {workflow_id} {name}")
        return request

    def told(self, request: Request, told: str, answer: Any = None) -> None:
        """It was told this."""
        self._clock += 1
        request.told, request.told_at, request.answer = told, self._clock, answer
        self.counts[told] += 1
        self.counts[f"{told} {request.kind}"] += 1
        self.trace(f"client {request.client} was told {told} of {request.kind} {request.name}: {answer}")
        stayed_open = bool(request.open_then & self._open.get(request.workflow_id, set()))
        if told == "refused" and answer == "NOT_FOUND":
            self.check(not stayed_open, f"{request.kind} {request.name} found no execution, and it was open")
        if told != "acked":
            return
        if request.kind == "message" and stayed_open:
            self.check(
                self.is_there(self._signals[request.name]),
                f"message {request.name} was acknowledged, and is on the disk {self._signals[request.name]} times",
            )
        elif request.kind == "order":
            self.check(
                bool(stayed_open or request.workflow_id in self._open),
                f"order {request.name} was acknowledged, and nothing has begun",
            )
        elif request.kind == "signal":
            self.check(
                self.is_there(self._signals[request.name]),
                f"signal {request.name} was acknowledged, and is on the disk {self._signals[request.name]} times",
            )
        elif request.kind == "update":
            self.check(
                self.is_there(self._updates[request.name]),
                f"the outcome of update {request.name} was told, and is on the disk {self._updates[request.name]} times",
            )

    def read(self, log: list[str]) -> None:
        """A query was answered with this log: all of it has happened."""
        for entry in log:
            if entry.startswith("s:"):
                self.check(
                    self.is_there(self._signals[entry[2:]]),
                    f"a query saw signal {entry[2:]}, which is on the disk {self._signals[entry[2:]]} times",
                )

    def described(self, run_id: str, status: str) -> None:
        """An execution was shown with this status."""
        closed = {self._runs[key] for key in self._ended}
        self.check(
            status in ("RUNNING", "PAUSED") or run_id in closed,
            f"run {run_id} was shown as {status}, and has not ended",
        )

    def published(self, event_id: str) -> None:
        """The broker has taken a message."""
        self.trace(f"published {event_id}")
        self.counts["published"] += 1
        place = self._outgoing.get(event_id)
        if place is None:
            self.fail(f"message {event_id} was sent before it was on the disk")
        elif event_id not in self._published:
            self.check(place > self._last_published, f"message {event_id} was sent after a later one")
            self._last_published = place
            self._published.add(event_id)

    # -- the end ---------------------------------------------------------------------------------------

    def check_histories(self, histories: dict[str, list[tuple[ExecutionRecord, list[Event]]]]) -> None:
        """By workflow id: its runs with their histories, the oldest first, after everything has ended."""
        places: dict[str, list[tuple[str, int, int]]] = {}
        outcomes: dict[str, list[Any]] = {}
        for workflow_id, runs in histories.items():
            for record, events in runs:
                self.check(record.status != "running", f"{workflow_id} has not ended")
                cancels = sum(isinstance(event.body, ev.CancelRequested) for event in events)
                self.check(cancels <= 1, f"{workflow_id} was asked to cancel {cancels} times")
                for event in events:
                    if isinstance(event.body, ev.Signaled):
                        place = (workflow_id, record.key, event.sequence)
                        places.setdefault(name_of(event.body), []).append(place)
                    elif isinstance(event.body, cmd.CompleteUpdate):
                        outcomes.setdefault(event.body.update_id, []).append(event.body)
        lost = [event_id for event_id in self._outgoing if event_id not in self._published]
        self.check(not lost, f"messages {lost} were never sent")
        for request in self.requests:
            self._check_request(request, histories, places, outcomes)
        self._check_order(places)
        for name, found in places.items():
            self.check(
                self.is_there(len(found)), f"signal {name} is in histories {len(found)} times: {found}"
            )
        for workflow_id, runs in histories.items():
            self._check_runs(workflow_id, runs)

    def _check_request(self, request: Request, histories: Any, places: Any, outcomes: Any) -> None:
        name, told = request.name, request.told
        match request.kind:
            case "start" if told == "acked":
                runs = [record.run_id for record, _ in histories.get(request.workflow_id, ())]
                self.check(
                    request.answer in runs, f"start of {request.workflow_id} was acknowledged and is lost"
                )
            case "signal":
                found = places.get(name, [])
                if told == "acked":
                    self.check(
                        self.is_there(len(found)),
                        f"signal {name} was acknowledged and is there {len(found)} times",
                    )
                elif told == "refused":
                    self.check(not found, f"signal {name} was refused and is there")
            case "update":
                found = outcomes.get(name, [])
                if told == "acked":
                    answers = [value_of(each.result) for each in found if each.result]
                    self.check(
                        request.answer in answers and self.is_there(len(answers)),
                        f"update {name} was told {request.answer}, recorded is {answers}",
                    )
                else:
                    self.check(self.is_there(len(found) or 1), f"update {name} has {len(found)} outcomes")
            case "result":
                closed = [record.run_id for record, _ in histories[request.workflow_id]]
                self.check(bool(closed), f"{request.workflow_id} had a result and is lost")

    def _check_order(self, places: dict[str, list[tuple[str, int, int]]]) -> None:
        """A signal that was acknowledged before another one was sent is before it."""
        acked = [r for r in self.requests if r.kind == "signal" and r.told == "acked" and places.get(r.name)]
        for later in acked:
            for earlier in acked:
                if later.workflow_id in self.resets:
                    continue
                if earlier.workflow_id == later.workflow_id and earlier.told_at < later.asked_at:
                    first, second = places[earlier.name][0], places[later.name][0]
                    self.check(
                        first < second, f"signal {earlier.name} came before {later.name}: {first}, {second}"
                    )

    def _check_runs(self, workflow_id: str, runs: list[tuple[ExecutionRecord, list[Event]]]) -> None:
        """Each chain of runs has done what it was started for."""
        chains: dict[str, list[tuple[ExecutionRecord, list[Event]]]] = {}
        for record, events in runs:
            chains.setdefault(record.first_run_id, []).append((record, events))
        for chain in chains.values():
            self._check_chain(workflow_id, chain)

    def _check_chain(self, workflow_id: str, chain: list[tuple[ExecutionRecord, list[Event]]]) -> None:
        _, events = chain[-1]
        order = order_of(chain[0][1])
        body = events[-1].body
        log, values = None, None
        if isinstance(body, cmd.CompleteWorkflow):
            result = value_of(body.result)
            log, values = result["log"], result["values"]
            self.check(not order["fails"], f"{workflow_id} was to fail, and completed")
        elif isinstance(body, cmd.FailWorkflow):
            self.check(
                order["fails"] and body.failure.message == "as planned",
                f"{workflow_id} failed: {body.failure}",
            )
            log, values = (value_of(payload) for payload in body.failure.details)
        if log is None or values is None:
            return
        self._check_signals(workflow_id, chain, log)
        updates = [x for x in log if x.startswith("u:")]
        self.check(len(updates) == len(set(updates)), f"{workflow_id} made a change twice: {updates}")
        self.check(
            not any(x.endswith("!") for x in updates),
            f"{workflow_id} made a change that its validator refuses",
        )
        for node, value in zip(order["todo"], values, strict=True):
            self.check_value(node, value, workflow_id)

    def _check_signals(
        self, workflow_id: str, chain: list[tuple[ExecutionRecord, list[Event]]], log: list[str]
    ) -> None:
        """The code of a chain of runs has seen the signals of its histories, in order."""
        bodies = [event.body for _, events in chain for event in events]
        if any(isinstance(body, ev.WorkflowStarted) and body.attempt > 1 for body in bodies):
            return  # A run that is tried again begins without the memory of the one before.
        sent = [name_of(body) for body in bodies if isinstance(body, ev.Signaled)]
        seen = [entry[2:] for entry in log if entry.startswith("s:")]
        if any(isinstance(body, ev.WorkflowReset) for body in bodies):
            sent, seen = sorted(set(sent)), sorted(seen)
        self.check(seen == sent, f"{workflow_id} saw {log}, its history has {sent}")

    def check_value(self, node: list[Any], value: Any, where: str) -> None:
        """Whether this can be what a node has returned."""
        try:
            self._check_value(node, value, where)
        except (AssertionError, IndexError, KeyError, TypeError) as error:
            self.fail(
                f"{where}: {json.dumps(node)[:200]} cannot have returned {json.dumps(value)[:200]} ({error!r})"
            )

    def _check_value(self, node: list[Any], value: Any, where: str) -> None:
        if value == ["cancelled"]:
            return
        match node[0]:
            case "step":
                if node[1]["kind"] == "doomed":
                    assert value == ["failed", "ApplicationError"], "it was to fail"
                elif value[0] == "failed":  # After it was asked to stop it is not tried again.
                    assert node[1]["cancellation"] == 1, "it was not to fail"
                else:
                    assert value[0] == "done", "it was not to fail"
                    assert value[1] in self._key_of_token, "no activity has given this"
                    assert self._done[self._key_of_token[value[1]]] == value[1], "the disk has another result"
            case "sleep":
                assert value == ["slept"]
            case "publish":
                assert value == ["published"]
            case "wait":
                assert value in (["came"], ["nothing came"])
            case "tell":
                assert value[0] in ("told", "gone")
                count = self._signals[value[2]]
                assert self.is_there(count) if value[0] == "told" else not count, f"it is there {count} times"
            case "seq" | "gather":
                assert len(value) == len(node[1])
                for each, its in zip(node[1], value, strict=True):
                    self._check_value(each, its, where)
            case "first":
                assert value[0] == "first"
                assert value[1], "nobody was first"
                for index, its in value[1]:
                    self._check_value(node[1][index], its, where)
            case "within":
                if value != ["too late"]:
                    assert value[0] == "in time"
                    self._check_value(node[2], value[1], where)
            case "child":
                if value[0] == "child":
                    assert not node[1]["fails"]
                    for each, its in zip(node[1]["todo"], value[1]["values"], strict=True):
                        self._check_value(each, its, where)
                else:
                    assert value[0] == "failed child"


def order_of(events: list[Event]) -> dict[str, Any]:
    """What an execution was started with."""
    assert isinstance(events[0].body, ev.WorkflowStarted)
    order: dict[str, Any] = value_of(events[0].body.args[0])
    return order


def name_of(signal: ev.Signaled) -> str:
    """What a signal was sent with, by a client or by a device."""
    said = value_of(signal.args[0])
    name: str = said["name"] if isinstance(said, dict) else said
    return name


def value_of(payload: Any) -> Any:
    """What was encoded."""
    return DataConverter.default.payload_converter.from_payload(payload)

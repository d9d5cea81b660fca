"""Workflows that a seed draws: trees of steps, sleeps, gathers, timeouts, children, signals, one run after the other.

A tree is plain JSON, so that it is an argument. `Program` carries it out; what it returns names every activity by the token
that the activity gave, so that an observer can tell whether it is right.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any, Final

from overwinter import activity, workflow
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from overwinter.runtime.messages import publish

Node = list[Any]
QUICK: Final = {"kind": "quick", "takes_s": 0.1, "failures": 0, "local": False, "cancellation": 0}
QUEUE: Final = "q"
SECONDS: Final = (0.01, 0.2, 1.0, 3.0, 20.0, 90.0)
REPLAYED: Final = workflow.ActivityCancellationType


def draw_order(draw: random.Random, others: list[str], *, depth: int = 3, runs: int = 3) -> dict[str, Any]:
    """What an execution is to do: a tree for each of its runs, and what becomes of it when it is cancelled."""
    count = draw.choice([1, 1, 1, 2, runs])
    return {
        "todo": [draw_node(draw, others, depth) for _ in range(count)],
        "log": [],
        "run": 0,
        "when_cancelled": draw.choice(["clean up", "clean up", "go on", "end"]),
        "fails": draw.random() < 0.1,
        "hurries": draw.random() < 0.05,
        "is retried": draw.random() < 0.2,
    }


def draw_node(draw: random.Random, others: list[str], depth: int) -> Node:
    """A random tree of at most this depth."""
    kinds = ["step"] * 5 + ["sleep"] * 3 + ["wait", "tell", "publish", "nap"]
    if depth:
        kinds += ["seq"] * 4 + ["gather"] * 2 + ["first", "within", "child"]
    kind = draw.choice(kinds)
    match kind:
        case "step":
            return ["step", draw_behaviour(draw)]
        case "sleep":
            return ["sleep", draw.choice(SECONDS)]
        case "wait":
            return ["wait", draw.randrange(1, 4), draw.choice(SECONDS)]
        case "tell":
            return ["tell", draw.choice(others)]
        case "publish":
            return ["publish"]
        case "nap":  # Between two steps, so that it can be told how long it was.
            return ["seq", [["step", QUICK], ["sleep", draw.choice(SECONDS)], ["step", QUICK]]]
        case "within":
            return ["within", draw.choice(SECONDS), draw_node(draw, others, depth - 1)]
        case "child":
            order = draw_order(draw, others, depth=depth - 1, runs=1)
            return ["child", order, draw.choice([1, 2, 3])]
        case _:
            return [kind, [draw_node(draw, others, depth - 1) for _ in range(draw.randrange(1, 5))]]


def draw_behaviour(draw: random.Random) -> dict[str, Any]:
    """What an activity does, and how it is asked for."""
    kind = draw.choice(["quick"] * 4 + ["slow", "flaky", "doomed", "late", "beats", "stubborn"])
    return {
        "kind": kind,
        "takes_s": draw.choice({"quick": [0.0, 0.01, 0.1], "slow": [0.5, 2.0, 8.0]}.get(kind, [0.1, 1.0])),
        "failures": draw.randrange(1, 4),
        "local": kind in ("quick", "flaky") and draw.random() < 0.3,
        "cancellation": draw.choice([0, 0, 1, 2]),
    }


@activity.defn(name="step")
async def _step(spec: dict[str, Any]) -> str:
    raise NotImplementedError("whoever runs the worker brings its own")


@workflow.defn
class Program:
    """Carries out the first tree of its order, and continues as new for the others."""

    @workflow.init
    def __init__(self, order: dict[str, Any]) -> None:
        self.log: list[str] = list(order["log"])
        self.notes = 0
        self.changes = sum(entry.startswith("u:") for entry in self.log)
        self.tokens: list[str] = []
        self.run_number: int = order["run"]

    @workflow.run
    async def run(self, order: dict[str, Any]) -> dict[str, Any]:
        value: Any
        try:
            value = await self.do(order["todo"][0], f"{self.run_number}")
        except asyncio.CancelledError:
            if order["when_cancelled"] == "end":
                raise
            await self.do(
                ["step", QUICK],
                "end",
            )
            if order["when_cancelled"] == "clean up":
                raise
            value = ["cancelled"]
        await workflow.wait_condition(workflow.all_handlers_finished)
        values = [*order.get("values", []), value]
        if order["todo"][1:]:
            follows = {
                "todo": order["todo"][1:],
                "log": self.log,
                "run": self.run_number + 1,
                "values": values,
            }
            workflow.continue_as_new({**order, **follows})
        if order["fails"]:
            raise ApplicationError("as planned", self.log, values, type="Planned")
        return {"values": values, "log": self.log}

    # -- messages --------------------------------------------------------------------------------------

    @workflow.signal
    def note(self, name: str) -> None:
        self.log.append(f"s:{name}")
        self.notes += 1

    @workflow.signal
    def hear(self, message: dict[str, Any]) -> None:
        self.note(message["name"])

    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def work(self, name: str) -> None:
        self.log.append(f"s:{name}")
        self.notes += 1
        await self.do(
            ["step", QUICK],
            f"on:{name}",
        )
        self.log.append(f"w:{name}")

    @workflow.update
    def change(self, name: str, _seconds: float) -> int:
        self.log.append(f"u:{name}")
        self.changes += 1
        return self.changes

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def change_slowly(self, name: str, seconds: float) -> int:
        self.log.append(f"u:{name}")
        self.changes += 1
        number = self.changes
        await workflow.sleep(seconds)
        return number

    @change.validator
    @change_slowly.validator
    def _may_change(self, name: str, _seconds: float) -> None:
        if name.endswith("!"):
            raise ValueError("no change may shout")

    @workflow.query
    def read(self) -> list[str]:
        return self.log

    # -- the tree --------------------------------------------------------------------------------------

    async def do(self, node: Node, path: str) -> Any:
        """Carry out a node; what it returns says how that went."""
        return await getattr(self, f"_{node[0]}")(path, *node[1:])

    async def _step(self, path: str, behaviour: dict[str, Any], since: list[Any] | None = None) -> list[Any]:
        spec = {
            **behaviour,
            "path": path,
            "noise": workflow.random().random(),
            "at": workflow.now().isoformat(),
            "seen": self.tokens[-3:],
            "since": since,
        }
        options = _options(behaviour)
        try:
            if behaviour["local"]:
                del options["heartbeat_timeout"]
                token = await workflow.execute_local_activity(_step, spec, **options)
            else:
                token = await workflow.execute_activity(_step, spec, **options)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            return ["failed", type(error.cause).__name__]
        except ApplicationError:  # A local activity's own error is not wrapped.
            return ["failed", "ApplicationError"]
        self.tokens.append(token)
        return ["done", token]

    async def _sleep(self, _path: str, seconds: float) -> list[Any]:
        await asyncio.sleep(seconds)
        return ["slept"]

    async def _wait(self, _path: str, notes: int, seconds: float) -> list[Any]:
        try:
            await workflow.wait_condition(lambda: self.notes >= notes, timeout=seconds)
        except TimeoutError:
            return ["nothing came"]
        return ["came"]

    async def _tell(self, path: str, other: str) -> list[Any]:
        name = f"{workflow.uuid4()}:{path}"  # Of the run that says it first: a reset copies it.
        try:
            await workflow.get_external_workflow_handle(other).signal("note", name)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            return ["gone", other, name]
        return ["told", other, name]

    async def _publish(self, path: str) -> list[Any]:
        publish(f"from/{workflow.info().workflow_id}", path)
        return ["published"]

    async def _child(self, path: str, order: dict[str, Any], policy: int) -> list[Any]:
        name = f"{workflow.info().workflow_id}/{path}"
        try:
            result = await workflow.execute_child_workflow(
                Program.run, order, id=name, parent_close_policy=workflow.ParentClosePolicy(policy)
            )
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            return ["failed child", type(error.cause).__name__]
        except WorkflowAlreadyStartedError:  # of an earlier execution, which has left it alone
            return ["failed child", "AlreadyStarted"]
        return ["child", result]

    async def _seq(self, path: str, nodes: list[Node]) -> list[Any]:
        values: list[Any] = []
        token, slept = None, 0.0
        for number, node in enumerate(nodes):
            if node[0] == "step" and token is not None and slept:
                node = [*node, [token, slept]]
            value = await self.do(node, f"{path}.{number}")
            if node[0] == "sleep":
                slept += node[1]
            else:
                token, slept = value[1] if value[0] == "done" else None, 0.0
            values.append(value)
        return values

    async def _gather(self, path: str, nodes: list[Node]) -> list[Any]:
        return list(await asyncio.gather(*[self.do(n, f"{path}.{i}") for i, n in enumerate(nodes)]))

    async def _first(self, path: str, nodes: list[Node]) -> list[Any]:
        tasks = [asyncio.create_task(self.do(n, f"{path}.{i}")) for i, n in enumerate(nodes)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        ended = [(i, t) for i, t in enumerate(tasks) if not t.cancelled()]
        return ["first", [[i, t.result()] for i, t in ended]]

    async def _within(self, path: str, seconds: float, node: Node) -> list[Any]:
        try:
            async with asyncio.timeout(seconds):
                return ["in time", await self.do(node, f"{path}.0")]
        except TimeoutError:
            return ["too late"]


def _options(behaviour: dict[str, Any]) -> dict[str, Any]:
    kind = behaviour["kind"]
    return {
        "start_to_close_timeout": timedelta(seconds=3 if kind in ("late", "stubborn") else 60),
        "heartbeat_timeout": timedelta(seconds=2) if kind == "beats" else None,
        "retry_policy": RetryPolicy(
            initial_interval=timedelta(seconds=0.2), maximum_interval=timedelta(seconds=5)
        ),
        "cancellation_type": REPLAYED(behaviour["cancellation"]),
    }

"""One simulated run: a gateway that is killed and started again, its clients, and the faults that a seed has drawn."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from overwinter.edge.outbox import Outbox
from overwinter.runtime.client import Client, WorkflowHistory
from overwinter.runtime.engine import Engine, EngineLimits
from overwinter.runtime.frontend import EngineFrontend
from overwinter.runtime.journal import StorageFailed, store
from overwinter.runtime.remote.server import RemoteLimits, RemoteService
from overwinter.runtime.worker import Replayer, Worker

from .broker import Broker, intake_of
from .clients import SOCKET, Caller
from .crew import steps_of
from .disk import Disk
from .loop import Process, SeededLoop
from .network import Network
from .observer import Observer
from .programs import QUEUE, Program

PATIENCE_S = 6 * 3600.0
"""How long executions may take to end, of simulated time, once nothing fails any more."""
STEPS_MAX = 500_000
"""More are a loop that waits for nothing."""
_START_US = 1_700_000_000_000_000
_EXPECTED_ERRORS = (
    "the journal could not be written",
    "the engine stops: the journal's storage failed",
    "Worker failed, shutting down",
    "Fatal error handler",
)


@dataclass(frozen=True)
class Plan:
    """What a seed has drawn for a run, beside what everybody draws on the way."""

    seed: int
    clients: int
    actions: int
    workflows: int
    limits: EngineLimits
    cached_workflows: int
    activities_max: int
    shuffle: float
    step_s: float
    crash_every: int
    """Steps of the loop between two kills, about; 0 for none."""
    crashing: float
    failing: float
    loss: float
    slow_disk: bool
    fills: bool
    jumps: bool
    restarts: bool
    resets: bool

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The plan of a seed."""
        draw = random.Random(f"{seed} plan")
        return cls(
            seed=seed,
            clients=draw.randrange(1, 4),
            actions=draw.randrange(3, 16),
            workflows=draw.randrange(1, 6),
            limits=EngineLimits(
                cached_executions_max=draw.choice([0, 1, 2, 5, 1000]),
                look_ahead_s=draw.choice([0.5, 5.0, 60.0, 600.0]),
                heartbeat_interval_s=draw.choice([0.1, 5.0]),
                replay_check_after_s=None,
            ),
            cached_workflows=draw.choice([0, 1, 3, 1000]),
            activities_max=draw.choice([1, 3, 100]),
            shuffle=draw.choice([0.0, 0.0, 0.1, 0.5]),
            step_s=draw.choice([0.0, 0.00001, 0.0002]),
            crash_every=draw.choice([0, 0, 300, 1500, 5000]),
            crashing=draw.choice([0.0, 0.0, 0.02, 0.1]),
            failing=draw.choice([0.0, 0.0, 0.0, 0.02]),
            loss=draw.choice([0.0, 0.0, 0.02, 0.1]),
            slow_disk=draw.random() < 0.3,
            fills=draw.random() < 0.3,
            jumps=draw.random() < 0.3,
            restarts=draw.random() < 0.3,
            resets=draw.random() < 0.25,
        )


@dataclass
class Report:
    """What came of a run."""

    seed: int
    violations: list[str]
    fingerprint: str
    counts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.violations:
            return f"seed {self.seed}: all is well, {self.fingerprint}"
        found = "\n  ".join(self.violations)
        return f"seed {self.seed} shows what must not be:\n  {found}\nreplay it: python -m tests.simulation --seed {self.seed}"


class SimulatedClock:
    """The clock that a gateway reads."""

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us

    def now_us(self) -> int:
        """See `Clock.now_us`."""
        return self._wall_us()

    def seconds_until(self, at_us: int) -> float:
        """See `Clock.seconds_until`."""
        return (at_us - self.now_us()) / 1e6


class SeededEntropy:
    """The same run ids in each run of a seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def run_id(self) -> str:
        """See `Entropy.run_id`."""
        return str(uuid.UUID(int=self._random.getrandbits(128)))


class World:
    """Everything there is in one run."""

    disk_type: type[Disk] = Disk

    def __init__(self, plan: Plan, *, tracing: bool = False) -> None:
        self.plan = plan
        self.loop = SeededLoop(f"{plan.seed} loop", shuffle=plan.shuffle, step_s=plan.step_s)
        self.clock = SimulatedClock(self.wall_us)
        self.observer = Observer(self.wall_us, self.loop.time, tracing=tracing)
        self.disk = self.disk_type(f"{plan.seed} disk", self.observer.durable)
        self.network = self.loop.network = Network(self.loop, f"{plan.seed} network")
        self.broker = Broker(self.observer, f"{plan.seed} broker")
        self.engine: Engine | None = None
        self._clock_set_us = 0
        self._entropy = SeededEntropy(f"{plan.seed} ids")
        self._random = random.Random(f"{plan.seed} faults")
        self._process = Process("none")
        self._ended: asyncio.Future[None] | None = None
        self._stop = asyncio.Event()
        self._finished = False
        self._crash_at = 0
        self._engines: list[Engine] = []

    def wall_us(self) -> int:
        """What a good clock shows."""
        return _START_US + round(self.loop.time() * 1e6) + self._clock_set_us

    # -- the run ---------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Let it all happen."""
        with _errors_of_engines() as errors:
            try:
                self._draw_crash()
                self.loop.run(self._main(), self._after_step)
            except Exception as error:
                self.observer.fail(f"the simulation came to {type(error).__name__}: {error}")
            for text in errors:
                self.observer.fail(f"the engine said: {text}")
            self._clean_up()
        counts = {**self.observer.counts, "steps": self.loop.steps}
        return Report(self.plan.seed, self.observer.violations, self.observer.fingerprint, counts)

    def _after_step(self) -> bool:
        if self.loop.complaints:
            for complaint in self.loop.complaints:
                self.observer.fail(f"asyncio complains: {complaint}")
            self.loop.complaints.clear()
        if self._crash_at and self.loop.steps >= self._crash_at:
            self._draw_crash()
            self.crash()
        if self.loop.steps > STEPS_MAX:
            self.observer.fail("it is busy without an end")
        return bool(self.observer.violations)

    def _clean_up(self) -> None:
        for engine in self._engines:
            for live in engine.cache:
                live.drop_instance()
        self.loop.close()
        self.disk.connection.close()

    async def _main(self) -> None:
        self._begin_faults()
        gateway = asyncio.ensure_future(self._keep_running())
        trouble = asyncio.ensure_future(self._make_trouble())
        ids = [f"w{number}" for number in range(self.plan.workflows)]
        seeds = [f"{self.plan.seed} client {number}" for number in range(self.plan.clients)]
        callers = [
            Caller(number, seed, self.observer, ids, self.broker, resets=self.plan.resets)
            for number, seed in enumerate(seeds)
        ]
        await self._in_time(
            [caller.work(self.plan.actions) for caller in callers], "clients are not answered"
        )
        trouble.cancel()
        self._end_faults()
        await self._in_time([caller.unpause_all() for caller in callers], "pauses do not end")
        await self._until_all_have_ended()
        waiting = [task for caller in callers for task in caller.waiting]
        await self._in_time(waiting, "clients do not hear of results")
        for caller in callers:
            await caller.remote.close()
        self._finished = True
        self._stop.set()
        await self._in_time([gateway], "the gateway does not stop")
        await self._look_at_histories()

    async def _in_time(self, what: list[Any], else_: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*what)
        except TimeoutError:
            left = [request for request in self.observer.requests if request.told == "nothing"]
            self.observer.fail(f"{else_}: {left}")

    async def _until_all_have_ended(self) -> None:
        give_up_at = self.loop.time() + PATIENCE_S
        while self.loop.time() < give_up_at:
            await asyncio.sleep(5.0)
            if self.plan_is_over():
                return
        left = self.disk.read(store.find_executions, status="running")
        for record in left:
            self.observer.fail(f"{record.workflow_id} ({record.key}) does not end: {record}")
        waiting = [message.request for message in self.broker.unacknowledged.values()]
        self.observer.check(not waiting, f"messages are not acknowledged: {waiting}")
        unsent = self.disk.read(store.read_outbox_count)
        self.observer.check(not unsent, f"{unsent} messages are not sent")

    def plan_is_over(self) -> bool:
        """Whether no execution is open on the disk, and no message is on its way."""
        if self.broker.unacknowledged or self.disk.read(store.read_outbox_count):
            return False
        return not self.disk.read(store.find_executions, status="running", limit=1)

    async def _look_at_histories(self) -> None:
        found: dict[str, Any] = {}
        replayer = Replayer(workflows=[Program])
        for record in reversed(self.disk.read(store.find_executions, limit=100_000)):
            events = self.disk.read(store.read_history, record).events
            found.setdefault(record.workflow_id, []).append((record, events))
            history = WorkflowHistory.of_records(record.workflow_id, events)
            result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if result.replay_failure is not None:
                self.observer.fail(
                    f"the history of {record.workflow_id} does not replay: {result.replay_failure}"
                )
        self.observer.counts["executions"] = sum(map(len, found.values()))
        self.observer.check_histories(found)

    # -- the gateway -----------------------------------------------------------------------------------

    async def _keep_running(self) -> None:
        """The system's service manager: starts the gateway again whenever it has ended."""
        lives = 0
        while not self._finished:
            lives += 1
            self._process = Process(f"life {lives}")
            self._ended = self.loop.create_future()
            self._stop.clear()
            self.observer.trace(f"the gateway starts: {self._process}")
            self.loop.create_task(self._live(self._process), context=self._process.context.copy())
            await self._ended
            self._ended = None
            if not self._finished:
                await asyncio.sleep(self._random.choice([0.0, 0.1, 3.0, 30.0]))

    async def _live(self, process: Process) -> None:
        try:
            await self._serve(process)
        except StorageFailed as error:
            self.observer.trace(f"the gateway could not start, or stop: {error}")
        except Exception as error:
            if self.loop.is_closed():
                return
            self.observer.fail(f"the gateway ended with {type(error).__name__}: {error}")
        finally:
            if not process.killed:
                self._has_ended(process)

    async def _serve(self, process: Process) -> None:
        plan = self.plan
        journal = self.disk.open(process)
        engine = self.engine = Engine(journal, self.clock, self._entropy, plan.limits)
        self._engines.append(engine)
        async with engine:
            client = Client(engine)
            worker = Worker(
                client,
                task_queue=QUEUE,
                workflows=[Program],
                activities=[steps_of(self.observer)],
                max_cached_workflows=plan.cached_workflows,
                max_concurrent_activities=plan.activities_max,
                max_concurrent_local_activities=plan.activities_max,
            )
            serving = asyncio.ensure_future(worker.run())
            serving.add_done_callback(lambda done: done.cancelled() or done.exception())
            service = RemoteService(SOCKET, EngineFrontend(engine, page_bytes_max=4 << 20), RemoteLimits())
            self.network.listen(str(SOCKET), process, service.accept)
            intake, outbox = intake_of(engine, client), Outbox(engine)
            engine.committed = outbox.on_committed
            intake.recall(await journal.received())
            sending = asyncio.ensure_future(outbox.run())
            self.broker.connect(process, intake, outbox)
            told = [asyncio.ensure_future(event.wait()) for event in (self._stop, engine.failed)]
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            self.network.refuse(str(SOCKET))
            self.broker.disconnect()
            sending.cancel()
            await intake.close()
            await service.close()
            await worker.shutdown()
            await asyncio.gather(serving, return_exceptions=True)
        if engine.failure is not None and not isinstance(engine.failure, StorageFailed):
            self.observer.fail(f"the engine stopped: {type(engine.failure).__name__}: {engine.failure}")

    def _has_ended(self, process: Process) -> None:
        self.observer.trace(f"the gateway has ended: {process}")
        self.loop.kill(process)
        self.network.killed(process)
        self.broker.disconnect()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    # -- faults ----------------------------------------------------------------------------------------

    def crash(self) -> None:
        """The gateway is killed, here and now."""
        if self._ended is not None and not self._ended.done() and not self._process.killed:
            self.observer.counts["crashes"] += 1
            self.disk.lose_power()
            self._has_ended(self._process)

    def _draw_crash(self) -> None:
        every = self.plan.crash_every
        self._crash_at = self.loop.steps + self._random.randrange(every // 4, 2 * every) if every else 0

    def _begin_faults(self) -> None:
        plan = self.plan
        self.disk.crash, self.disk.crashing, self.disk.failing = self.crash, plan.crashing, plan.failing
        self.network.loss = self.broker.loss = plan.loss
        if plan.slow_disk:
            self.disk.sync_s, self.disk.read_s = (0.0, 2.0), (0.0, 1.0)

    def _end_faults(self) -> None:
        self.observer.trace("nothing fails any more")
        self._crash_at = 0
        self.disk.crashing = self.disk.failing = self.network.loss = self.broker.loss = 0.0
        self.disk.full = False
        self.disk.sync_s, self.disk.read_s = (0.0001, 0.002), (0.0, 0.001)

    async def _make_trouble(self) -> None:
        """What comes with time: full disks, clocks that are set, stops."""
        plan, draw = self.plan, self._random
        while True:
            await asyncio.sleep(draw.choice([0.3, 2.0, 10.0]))
            kind = draw.choice(["fill", "jump", "stop"])
            if kind == "fill" and plan.fills:
                self.disk.full = not self.disk.full
                self.observer.trace(f"the disk is full: {self.disk.full}")
            elif kind == "jump" and plan.jumps:
                self._set_clock(draw.choice([-600, -5, 5, 3600, 86400, 10 * 365 * 86400]))
            elif kind == "stop" and plan.restarts:
                self.observer.trace("the gateway is told to stop")
                self._stop.set()

    def _set_clock(self, seconds: int) -> None:
        self.observer.trace(f"the clock is set by {seconds} s")
        self._clock_set_us += seconds * 1_000_000
        self.observer.set_back += seconds < 0


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith(_EXPECTED_ERRORS):
            cause = "" if record.exc_info is None else f" ({record.exc_info[1]!r})"
            self.found.append(f"{text}{cause}")


@contextmanager
def _errors_of_engines() -> Iterator[list[str]]:
    """What engines log as errors within this block, and that they had no reason to."""
    logger, handler = logging.getLogger("overwinter"), _Errors()
    before = logger.propagate, logger.level
    logger.propagate, logger.level = False, logging.ERROR
    logger.addHandler(handler)
    collecting = gc.isenabled()
    gc.disable()  # When it runs is not the seed's choice.
    try:
        yield handler.found
    finally:
        logger.removeHandler(handler)
        logger.propagate, logger.level = before
        if collecting:
            gc.enable()


def simulate(seed: int, *, tracing: bool = False, world: type[World] = World) -> Report:
    """Run one seed."""
    return world(Plan.of(seed), tracing=tracing).run()

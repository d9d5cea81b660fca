"""Damage in a history is found before it is used, and stops that execution alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from overwinter import workflow
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.journal.errors import HistoryDamaged
from tests.unit.gateways import QUEUE, SqliteGateway, until

Harm = Callable[[sqlite3.Connection, int], object]


@workflow.defn
class Collects:
    def __init__(self) -> None:
        self.got: list[int] = []

    @workflow.run
    async def run(self, wanted: int) -> list[int]:
        await workflow.wait_condition(lambda: len(self.got) >= wanted)
        return self.got

    @workflow.signal
    def put(self, value: int) -> None:
        self.got.append(value)


def _flip_a_bit(connection: sqlite3.Connection, key: int) -> None:
    row = connection.execute(
        "SELECT lsn, data FROM events WHERE execution = ? ORDER BY sequence LIMIT 1 OFFSET 1", (key,)
    ).fetchone()
    data = bytearray(row[1])
    data[-1] ^= 1
    connection.execute("UPDATE events SET data = ? WHERE lsn = ?", (bytes(data), row[0]))


def _swap_two(connection: sqlite3.Connection, key: int) -> None:
    for old, new in ((2, -1), (3, 2), (-1, 3)):
        connection.execute(
            "UPDATE events SET sequence = ? WHERE execution = ? AND sequence = ?", (new, key, old)
        )


def _delete_one(connection: sqlite3.Connection, key: int) -> None:
    connection.execute("DELETE FROM events WHERE execution = ? AND sequence = 2", (key,))


def _move_from_another(connection: sqlite3.Connection, key: int) -> None:
    other = connection.execute(
        "SELECT data, checksum FROM events WHERE execution <> ? AND sequence = 2", (key,)
    ).fetchone()
    connection.execute(
        "UPDATE events SET data = ?, checksum = ? WHERE execution = ? AND sequence = 2", (*other, key)
    )


def _nothing(connection: sqlite3.Connection, key: int) -> None:
    """What the others are compared with: without damage nothing is found."""


async def _two_waiting(durable: SqliteGateway) -> int:
    async with durable.on([Collects]) as client:
        for number, name in enumerate(("hurt", "well")):
            handle = await client.start_workflow(Collects.run, 5, id=name, task_queue=QUEUE)
            for value in range(3):
                await handle.signal(Collects.put, value + 10 * number)
        return (await client.engine.find("hurt")).key


def _harm(path: Path, key: int, harm: Harm) -> None:
    connection = sqlite3.connect(path)
    with connection:
        harm(connection, key)
    connection.close()


@pytest.mark.parametrize("harm", [_flip_a_bit, _swap_two, _delete_one, _move_from_another])
async def test_damage_is_found_when_the_history_is_read(durable: SqliteGateway, harm: Harm) -> None:
    key = await _two_waiting(durable)
    _harm(durable.path, key, harm)
    journal = await SqliteJournal.open(durable.path)
    try:
        (hurt,) = await journal.executions(workflow_id="hurt")
        (well,) = await journal.executions(workflow_id="well")
        with pytest.raises(HistoryDamaged):
            await journal.history(hurt)
        assert len((await journal.history(well)).events) >= 4
    finally:
        await journal.close()


@pytest.mark.parametrize("harm", [_flip_a_bit, _delete_one, _nothing])
async def test_only_the_damaged_execution_is_set_aside(durable: SqliteGateway, harm: Harm) -> None:
    key = await _two_waiting(durable)
    _harm(durable.path, key, harm)
    async with durable.on([Collects]) as client:
        well = client.get_workflow_handle("well")
        for value in (13, 14):
            await well.signal(Collects.put, value)
        assert await well.result() == [10, 11, 12, 13, 14]
        if harm is _nothing:
            hurt = client.get_workflow_handle("hurt")
            for value in (3, 4):
                await hurt.signal(Collects.put, value)
            assert await hurt.result() == [0, 1, 2, 3, 4]
            return
        with pytest.raises(Exception, match=r"."):
            await client.get_workflow_handle("hurt").signal(Collects.put, 3)

        async def is_blocked() -> bool:
            (record,) = await client.engine.journal.executions(workflow_id="hurt")
            return record.blocked is not None and "HistoryDamaged" in record.blocked.cause

        await until(is_blocked, what="the damaged execution is listed as blocked")


@pytest.mark.parametrize("harm", [_flip_a_bit, _delete_one, _nothing])
async def test_damage_is_found_before_anything_happens_to_the_execution(
    durable: SqliteGateway, harm: Harm
) -> None:
    key = await _two_waiting(durable)
    _harm(durable.path, key, harm)
    async with durable.on([Collects], limits=EngineLimits(replay_check_after_s=0)) as client:
        await client.engine.replay_check.settled()
        report = client.engine.replay_check.reports[QUEUE]
        is_hurt = harm is not _nothing
        assert (report.fits, report.blocked) == (2 - is_hurt, is_hurt)

        async def listed() -> bool:
            return [r.workflow_id for r in await durable.journal.executions(blocked=True)] == ["hurt"]

        if is_hurt:
            await until(listed)

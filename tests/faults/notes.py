"""The workflow of the gateway that the MQTT kill test kills: one message in, one receipt out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from overwinter import activity, messages, workflow


@dataclass
class Written:
    number: str
    text: str


@activity.defn
async def file_note(text: str) -> str:
    await asyncio.sleep(0.01)
    return text.upper()


@workflow.defn
class Note:
    """Files a note and sends a receipt."""

    @workflow.run
    async def run(self, note: Written) -> str:
        filed = await workflow.execute_activity(
            file_note, note.text, start_to_close_timeout=timedelta(seconds=10)
        )
        await workflow.sleep(0.02)
        messages.publish(f"farm/{note.number}/receipt", {"filed": filed})
        return filed

"""Closing a valve, whatever it takes: for the `finally` of every workflow that has opened one."""

from __future__ import annotations

from datetime import timedelta

from overwinter import messages
from overwinter.devices import commands
from overwinter.runtime.exceptions import ApplicationError

ANSWERS_WITHIN = timedelta(minutes=30)
CLOSINGS_MAX = 48


async def close(valve: str) -> float:
    """The valve has closed; its flow meter's total in litres. Asks for a day, with an alarm at each failure.

    Raises:
        ApplicationError: "ValveOpen", the valve has not answered for a day. Somebody has to walk there.
    """
    for closing in range(1, CLOSINGS_MAX + 1):
        try:
            closed = await commands.command(valve, "close", timeout=ANSWERS_WITHIN)
        except TimeoutError:
            text = f"{valve} has not answered {closing} times: close it by hand"
            messages.publish("farm/alarm", {"device": valve, "text": text}, retain=True)
        else:
            return float(closed["total_litres"])
    raise ApplicationError(f"{valve} has not closed: no answer in {CLOSINGS_MAX} attempts", type="ValveOpen")

"""Values of messages on their way into the journal, in the order in which the messages came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from overwinter.runtime.converter import DataConverter
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.core.payload_groups import Group


class SealingLine:
    """Seals values, and acts with them in the order in which they came, though sealing may wait."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Task[list[Payload]], Callable[[], None]]] = deque()
        self._drain: asyncio.Task[None] | None = None

    def then(
        self,
        converter: DataConverter,
        payloads: Group,
        act: Callable[[Group], asyncio.Future[Any]],
    ) -> asyncio.Future[Any]:
        """What `act` answers when it is given the sealed payloads; fails as `DataConverter.seal` and `act` do.

        It is called at once when there is nothing to wait for.
        """
        if not self._waiting:
            sealed = converter.seal_now(payloads)
            if sealed is not None:
                return act(tuple(sealed))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        task = loop.create_task(converter.seal(payloads))

        def go_on() -> None:
            try:
                _follow(answer, act(tuple(task.result())))
            except Exception as error:  # whatever a codec, a driver or the engine raises
                answer.set_exception(error)

        self._waiting.append((task, go_on))
        if self._drain is None:
            self._drain = loop.create_task(self._run())
        return answer

    async def _run(self) -> None:
        while self._waiting:
            task, go_on = self._waiting[0]
            await asyncio.wait([task])
            self._waiting.popleft()
            if not task.cancelled():
                go_on()
        self._drain = None

    async def close(self) -> None:
        """Nothing is acted upon any more."""
        tasks: list[asyncio.Task[Any]] = [task for task, _ in self._waiting]
        tasks += [] if self._drain is None else [self._drain]
        self._waiting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _follow(answer: asyncio.Future[Any], future: asyncio.Future[Any]) -> None:
    """The answer ends as the future does."""

    def ended(_: asyncio.Future[Any]) -> None:
        if future.cancelled():
            answer.cancel()
            return
        error = future.exception()
        if answer.done():
            return
        if error is None:
            answer.set_result(future.result())
        else:
            answer.set_exception(error)

    future.add_done_callback(ended)

"""The embedded broker's process: `_broker_process.py CONFIGURATION PARENT_PID`, with a pipe as its input.

Run as a file, so that nothing of the gateway is loaded into it.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading

PARENT_CHECK_S = 0.5


def _end_with_parent(parent: int) -> None:
    """End this process when the parent closes the pipe or is gone; a fork may keep the pipe open after it."""
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], PARENT_CHECK_S)
        if readable and not os.read(sys.stdin.fileno(), 64):
            break
    os._exit(0)


def _serve(configuration: str, parent: int) -> None:
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # rumqttd opens an error-level span for each packet: every message would be a line in the log.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)

    from iotcore.iotcore import IotCoreBroker

    IotCoreBroker(config_path=configuration).run_forever()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))

"""Calls that workflow code must not make, taken in all the ways that user code takes them."""

from __future__ import annotations

import concurrent.futures
import datetime
import os
import random
import secrets
import select
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from datetime import date
from datetime import datetime as named
from random import choice, randint
from random import random as drawn
from time import monotonic
from time import time as seconds
from uuid import uuid4

ENDED = threading.Thread(target=int)
ENDED.start()
ENDED.join()

REFUSED: dict[str, Callable[[], object]] = {
    "time.time": lambda: time.time(),
    "time, by name": lambda: seconds(),
    "monotonic, by name": lambda: monotonic(),
    "perf_counter_ns": lambda: time.perf_counter_ns(),
    "localtime of now": lambda: time.localtime(),
    "strftime of now": lambda: time.strftime("%Y"),
    "time.sleep": lambda: time.sleep(0),
    "datetime.now": lambda: datetime.datetime.now(datetime.UTC),
    "datetime.now, by name": lambda: named.now(),
    "datetime.utcnow": lambda: named.utcnow().year,
    "datetime.today": lambda: named.today(),
    "date.today": lambda: date.today(),
    "random.random": lambda: random.random(),
    "random, by name": lambda: drawn(),
    "randint, by name": lambda: randint(1, 6),
    "choice, by name": lambda: choice([1, 2]),
    "shuffle": lambda: random.shuffle([1, 2, 3]),
    "Random without a seed": lambda: random.Random(),
    "SystemRandom": lambda: random.SystemRandom().random(),
    "uuid4, by name": lambda: uuid4(),
    "uuid1": lambda: uuid.uuid1(),
    "os.urandom": lambda: os.urandom(4),
    "secrets": lambda: secrets.token_hex(4),
    "open": lambda: open("/etc/hostname").close(),
    "os.listdir": lambda: os.listdir("/"),
    "thread": lambda: threading.Thread(target=int).start(),
    "join": lambda: ENDED.join(),
    "event": lambda: threading.Event().wait(0),
    "condition": lambda: threading.Condition().wait_for(lambda: True),
    "a semaphore that is taken": lambda: threading.Semaphore(0).acquire(timeout=0.001),
    "futures": lambda: concurrent.futures.wait([concurrent.futures.Future()], timeout=0),
    "select": lambda: select.select([], [], [], 0),
    "socket": lambda: socket.socket().close(),
    "subprocess": lambda: subprocess.run(["true"], check=True),
    "os.system": lambda: os.system("true"),
}

ALLOWED: dict[str, Callable[[], object]] = {
    "a free lock": lambda: threading.Lock().acquire(),
    "a free semaphore": lambda: threading.Semaphore(1).acquire(),
    "a given time": lambda: time.localtime(0),
    "strftime of a given time": lambda: time.strftime("%Y", time.gmtime(0)),
    "a seeded generator": lambda: random.Random(7).random(),
    "fromtimestamp": lambda: named.fromtimestamp(0),
    "arithmetic with dates": lambda: named(2026, 1, 1) + datetime.timedelta(days=1),
    "a deterministic uuid": lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "farm"),
}

"""One engine's turn at one workload, in a process of its own: `python -m bench.run W1 overwinter --folder PLACE`.

Each figure is a line of JSON on the standard output as soon as it is there, so that a turn that is cut off has not
measured in vain.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from .children import MISSING
from .engines import adapter, limit
from .engines.port import Address, Engine, NotInstalled, Session
from .results import Result


@dataclass
class Turn:
    """What a workload is given."""

    workload: str
    engine_name: str
    durability: str
    folder: Path
    quick: bool
    engine: Engine | None = None
    suffix: str = ""

    def add(self, metric: str, value: float, unit: str) -> None:
        """Report a figure."""
        name = f"{metric}_{self.suffix}" if self.suffix else metric
        result = Result(self.workload, self.engine_name, name, value, unit, self.durability)
        print(json.dumps(asdict(result)), flush=True)

    def scaled(self, full: float, quick: float) -> float:
        """How long or how many: the second one when the run is only to show that it works."""
        return quick if self.quick else full

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """The engine at work on an empty store."""
        assert self.engine is not None
        async with (
            self.engine.servers(self.folder) as address,
            self.engine.open(self.folder, address) as session,
        ):
            yield session

    def command(self, module: str, *arguments: str, address: Address | None = None) -> list[str]:
        """The command line of another process of this turn."""
        place = [self.engine_name, str(self.folder), json.dumps(address)]
        return [sys.executable, "-m", module, *place, *arguments]


def workload_module(name: str) -> ModuleType:
    """The module of a workload."""
    return importlib.import_module(f"bench.workloads.{name.lower()}")


def main() -> None:
    """Take one turn."""
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("workload")
    parser.add_argument("engine")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("OVERWINTER_LOG", "ERROR")
    turn = Turn(options.workload, options.engine, limit.DURABILITY, options.folder, options.quick)
    module = workload_module(options.workload)
    try:
        if options.engine == "limit":
            asyncio.run(module.limit(turn))
        else:
            turn.engine = adapter(options.engine)
            turn.durability = turn.engine.durability
            asyncio.run(module.measure(turn))
    except (NotInstalled, ImportError) as missing:
        print(missing, file=sys.stderr)
        sys.exit(MISSING)


async def many(
    session: Session, program: str, *, seconds: float, concurrency: int, name: str
) -> tuple[int, float]:
    """Run workflows, so many at a time, for so long; how many ended, and the seconds until the last had."""
    began = time.perf_counter()
    ended = 0

    async def one_after_another(lane: int) -> None:
        nonlocal ended
        serial = 0
        while serial == 0 or time.perf_counter() - began < seconds:
            number = lane * 1_000_000 + serial
            found = await session.run(program, number, f"{name}-{number}")
            assert found == number, f"{program} {number} returned {found!r}"
            serial += 1
            ended += 1

    await asyncio.gather(*[one_after_another(lane) for lane in range(concurrency)])
    return ended, time.perf_counter() - began


if __name__ == "__main__":
    main()

"""Simulated field devices: `python -m examples.farm.devices soil|valve|weather|camera --broker HOST:PORT`.

Each kind is a process of its own, with one MQTT session for the devices of that kind. What devices share,
they share as real ones do, over MQTT: the soil gets wet because its probe listens to the valve's flow meter.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from .clock import FarmClock
from .field import Climate, Soil, Valve, first_moisture
from .link import Link
from .logbook import Logbook

if TYPE_CHECKING:
    from .frames import CameraSpool

PREFIX = "farm"
POLL_S = 0.05
DRAIN_S = 5.0


class Device(Protocol):
    """Something on a field that acts at intervals of farm time."""

    name: str
    interval_s: float  # farm seconds between two calls of `act`

    def act(self, hours: float) -> None:
        """Do what is due `hours` after the farm began: measure, report."""
        ...


class Farm:
    """What all devices of one process share."""

    def __init__(self, options: argparse.Namespace, logbook: Logbook, link: Link) -> None:
        self.seed: int = options.seed
        self.clock = FarmClock(origin=options.origin, speed=options.speed)
        self.logbook = logbook
        self.link = link
        self.fields: list[str] = options.fields.split(",")

    def climate(self) -> Climate:
        return Climate(seed=self.seed)

    def report(self, device: str, field: str, topic: str, reading: dict[str, Any]) -> None:
        """The reading is in the logbook and goes out as soon as the broker can be reached."""
        self.logbook.enter(device, topic, {"at": self.clock.now().isoformat(), "field": field, **reading})


class SoilProbe:
    """Measures how wet a bed is; knows from the valve's flow meter how much water the bed was given."""

    interval_s = 10 * 60.0

    def __init__(self, farm: Farm, field: str) -> None:
        self.name = f"soil-{field}"
        self._farm, self._field, self._climate = farm, field, farm.climate()
        state = farm.logbook.recall(self.name) or {
            "hours": 0.0,
            "moisture": first_moisture(farm.seed, field, farm.fields.index(field)),
            "litres": 0.0,
        }
        self._hours, self._litres = state["hours"], state["litres"]
        self._soil = Soil(moisture=state["moisture"])
        farm.link.subscribe(f"{PREFIX}/valve-{field}/flow", self._watered)

    def act(self, hours: float) -> None:
        self._soil.pass_time(max(0.0, hours - self._hours), self._climate.at(hours))
        self._hours = max(hours, self._hours)
        self._remember()
        reading = {"moisture": round(self._soil.moisture, 4)}
        self._farm.report(self.name, self._field, f"{PREFIX}/{self._field}/soil", reading)

    def _watered(self, _topic: str, payload: bytes) -> None:
        total = float(json.loads(payload)["total_litres"])
        self._soil.soak(max(0.0, total - self._litres))  # a repeated report adds nothing
        self._litres = max(total, self._litres)
        self._remember()

    def _remember(self) -> None:
        state = {"hours": self._hours, "moisture": self._soil.moisture, "litres": self._litres}
        self._farm.logbook.remember(self.name, state)


class WeatherStation:
    """Measures temperature, sun and rain. Now and then its old firmware sends something unreadable."""

    interval_s = 15 * 60.0

    def __init__(self, farm: Farm, field: str, garbage_rate: float) -> None:
        self.name = f"weather-{field}"
        self._farm, self._field, self._climate = farm, field, farm.climate()
        self._garbage_rate = garbage_rate
        self._hollow_c = Random(f"hollow {farm.seed} {field}").uniform(
            -1.0, 0.5
        )  # cold air gathers in a hollow

    def act(self, hours: float) -> None:
        weather = self._climate.at(hours)
        topic = f"{PREFIX}/{self._field}/weather"
        reading = {
            "temperature_c": round(weather.temperature_c + self._hollow_c, 2),
            "sun": round(weather.sun, 2),
            "rain_mm_per_hour": weather.rain_mm_per_hour,
            "rain_chance": weather.rain_chance,
        }
        self._farm.report(self.name, self._field, topic, reading)
        moment = f"{self.name} {hours:.3f}"
        if Random(f"garbage {self._farm.seed} {moment}").random() < self._garbage_rate:
            self._farm.link.send_loose(topic, b'{"temperature_c": -3.', f"{moment} garbage")


class RemoteValve:
    """Opens and closes on command, answers each command for good, reports its flow while open."""

    interval_s = 60.0
    _report_every = 10  # of these intervals, while open

    def __init__(self, farm: Farm, kind: str, field: str, *, fault_rate: float, metered: bool) -> None:
        self.name = f"{kind}-{field}"
        self._farm, self._field, self._metered = farm, field, metered
        self._valve = Valve(name=self.name, seed=farm.seed, fault_rate=fault_rate)
        self._hours, self._silent_for = 0.0, 0
        self._command_id: str | None = None
        self._close_at: float | None = None
        self._recall()
        farm.link.subscribe(f"{PREFIX}/{self.name}/command", self._commanded)

    def act(self, hours: float) -> None:
        self._let_water_run(hours)
        if self._close_at is not None and hours >= self._close_at:
            self._close()  # nobody has closed it in the time that it was opened for
        if self._valve.is_open:
            self._silent_for += 1
            if self._silent_for >= self._report_every:
                self._report_flow()
        self._remember()

    def _let_water_run(self, hours: float) -> None:
        self._valve.pass_time(max(0.0, hours - self._hours) * 60.0)
        self._hours = max(hours, self._hours)

    def _commanded(self, _topic: str, payload: bytes) -> None:
        try:
            command = json.loads(payload)
            command_id, name = str(command["id"]), str(command["name"])
            arguments = dict(command.get("payload") or {})
        except (ValueError, KeyError, TypeError) as error:
            print(f"{self.name}: unreadable command ignored: {error!r}", file=sys.stderr)
            return
        if self._farm.logbook.answer_to(command_id) is not None:
            return  # a repeat: the first answer is on its way again, and the valve does not move
        answer = {"id": command_id, **self._obey(command_id, name, arguments)}
        self._farm.logbook.enter_answer(command_id, self.name, f"{PREFIX}/{self.name}/answer", answer)

    def _obey(self, command_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self._let_water_run(self._farm.clock.elapsed_s() / 3600.0)
        if name == "open":
            self._command_id, self._silent_for = command_id, 0
            self._close_at = self._hours + float(arguments.get("minutes_max", 240)) / 60.0
            self._valve.open()
        elif name == "close":
            self._close()
        else:
            return {"ok": False, "error": f"unknown command {name!r}: this valve knows open and close"}
        self._remember()
        total_litres = round(self._valve.total_litres, 1)
        return {"ok": True, "result": {"open": self._valve.is_open, "total_litres": total_litres}}

    def _close(self) -> None:
        if self._valve.is_open:
            self._valve.close()
            self._report_flow()
        self._close_at = None

    def _report_flow(self) -> None:
        self._silent_for = 0
        if not self._metered:
            return
        reading = {
            "litres_per_minute": self._valve.litres_per_minute,
            "total_litres": round(self._valve.total_litres, 1),
            "command_id": self._command_id,
        }
        self._farm.report(self.name, self._field, f"{PREFIX}/{self.name}/flow", reading)

    def _remember(self) -> None:
        state = {
            "hours": self._hours,
            "total_litres": self._valve.total_litres,
            "openings": self._valve.openings,
            "is_open": self._valve.is_open,
            "is_stuck": self._valve.is_stuck,
            "command_id": self._command_id,
            "close_at": self._close_at,
        }
        self._farm.logbook.remember(self.name, state)

    def _recall(self) -> None:
        state = self._farm.logbook.recall(self.name)
        if state is None:
            return
        self._hours, self._command_id, self._close_at = state["hours"], state["command_id"], state["close_at"]
        self._valve.total_litres, self._valve.openings = state["total_litres"], state["openings"]
        self._valve.is_open, self._valve.is_stuck = state["is_open"], state["is_stuck"]


class FieldCamera:
    """Takes a few pictures, keeps them in the spool folder and reports where they are."""

    interval_s = 3600.0
    _frames_per_round = 3

    def __init__(self, farm: Farm, field: str, spool: CameraSpool) -> None:
        self.name = f"camera-{field}"
        self._farm, self._field, self._spool = farm, field, spool

    def act(self, hours: float) -> None:
        moment = f"{self.name}-{round(hours * 60):07d}"
        frames = self._spool.take(moment, self._frames_per_round)
        topic = f"{PREFIX}/{self._field}/camera/frames"
        self._farm.report(self.name, self._field, topic, {"frames": frames})


def run(farm: Farm, devices: list[Device], is_stopped: Callable[[], bool]) -> bool:
    """Let the devices act until stopped, then send what waits; False when some of that remains."""
    due_s = [farm.clock.elapsed_s()] * len(devices)
    while not is_stopped():
        now_s = farm.clock.elapsed_s()
        for number, device in enumerate(devices):
            if now_s >= due_s[number]:
                device.act(now_s / 3600.0)
                due_s[number] = max(due_s[number] + device.interval_s, now_s)
        farm.link.poll(max(0.0, min(POLL_S, farm.clock.wall_s(min(due_s) - now_s))))
    deadline = time.monotonic() + DRAIN_S
    while not farm.link.is_drained and time.monotonic() < deadline:
        farm.link.poll(POLL_S)
    drained = farm.link.is_drained
    farm.link.close()
    return drained


def main(arguments: list[str] | None = None) -> int:
    """Run the devices of one kind until SIGTERM or SIGINT; 0 when everything measured was acknowledged."""
    options = _parse(arguments)
    options.state.mkdir(parents=True, exist_ok=True)
    logbook = Logbook(options.state / f"{options.kind}.db")
    host, _, port = options.broker.rpartition(":")
    link = Link(host, int(port), f"farm-{options.kind}", logbook, repeat_rate=options.repeat_rate)
    farm = Farm(options, logbook, link)
    devices = [device for field in farm.fields for device in _devices(options, farm, field)]
    stops: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stops.append(received))
    drained = run(farm, devices, lambda: bool(stops))
    logbook.close()
    return 0 if drained else 3


def _devices(options: argparse.Namespace, farm: Farm, field: str) -> list[Device]:
    if options.kind == "soil":
        return [SoilProbe(farm, field)]
    if options.kind == "weather":
        return [WeatherStation(farm, field, options.garbage_rate)]
    if options.kind == "valve":
        return [
            RemoteValve(farm, "valve", field, fault_rate=options.fault_rate, metered=True),
            RemoteValve(farm, "sprinkler", field, fault_rate=0.0, metered=False),
        ]
    from .frames import CameraSpool  # only the camera needs Pillow and pictures; the others start without

    return [FieldCamera(farm, field, CameraSpool(options.spool or options.state / "spool", seed=farm.seed))]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.farm.devices", description="Simulated field devices."
    )
    parser.add_argument("kind", choices=["soil", "valve", "weather", "camera"])
    parser.add_argument("--broker", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument(
        "--fields", default="north,south,orchard", help="comma separated; each gets one device"
    )
    parser.add_argument("--speed", type=float, default=600.0, help="farm seconds in one second")
    parser.add_argument(
        "--origin", type=float, default=time.time(), help="when the farm began, seconds since 1970"
    )
    parser.add_argument("--seed", type=int, default=315)
    parser.add_argument("--state", type=Path, default=Path(".farm"), help="folder of the logbooks")
    parser.add_argument("--spool", type=Path, default=None, help="folder of the camera's pictures")
    parser.add_argument("--fault-rate", type=float, default=0.3, help="share of valve openings that stick")
    parser.add_argument("--repeat-rate", type=float, default=0.03, help="share of messages sent twice")
    parser.add_argument(
        "--garbage-rate", type=float, default=0.03, help="share of weather reports with rubbish after"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""A process that publishes so many messages at QoS 1 and ends: ``python -m bench.workloads.mqtt_publisher PORT TOPIC COUNT``."""

from __future__ import annotations

import sys
import threading

import paho.mqtt.client as mqtt

IN_FLIGHT = 500


def main(port: int, topic: str, count: int) -> None:
    """Publish, at most 500 unanswered at a time, and wait for the last answer."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(IN_FLIGHT)
    slots = threading.Semaphore(IN_FLIGHT)
    client.on_publish = lambda *_args: slots.release()
    client.connect("127.0.0.1", port)
    client.loop_start()
    for serial in range(count):
        slots.acquire()
        client.publish(
            f"{topic}/{serial}", b'{"moisture": 0.21, "battery": 3.71, "at": "2026-06-01T12:00:00Z"}', qos=1
        )
    for _ in range(IN_FLIGHT):
        slots.acquire()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

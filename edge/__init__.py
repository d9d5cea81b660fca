"""The gateway: the composition root that ties MQTT, triggers and the outbox to the durable runtime."""

"""The deterministic core: events in, commands out.

Nothing in this package waits, reads a clock, draws a random number, opens a file or logs.
It is fed what happened and asked what must happen next, so that the same code serves
production, tests with skipped time, and replay.
"""

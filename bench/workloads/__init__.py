"""One module for each workload. `TITLE` says what it does, `SECONDS` how long a turn may take; `measure` takes a turn with an
engine, `limit` (where there is one) with the bare loop. `ENGINES`, where it is given, says who takes part; `command` may wrap
the command line of a turn.
"""

NAMES = ("W1", "W2", "W3", "W4", "W5", "W6", "W7", "replay", "long", "mqtt", "dispatch", "memory")

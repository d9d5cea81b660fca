"""What can go wrong with a journal, one type for each decision that the caller can take."""

from __future__ import annotations


class JournalError(Exception):
    """The base of all of them. `hint` says what a person should do."""

    hint = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}. {self.hint}" if self.hint else text


class StorageFull(JournalError):
    """There was no room; everything is as it was before the call."""

    hint = "Free space on the journal's volume; work resumes by itself"


class LimitReached(StorageFull):
    """It would be more than a limit allows; everything is as it was before the call. `limit` is the setting's name."""

    hint = "Ask again later, or raise the limit"

    def __init__(self, limit: str, reason: str) -> None:
        super().__init__(f"{reason} ({limit})")
        self.limit = limit
        self.reason = reason


class StorageFailed(JournalError):
    """The device failed while it was written; what it holds is only known after a restart. Stop this process."""

    hint = "Check the disk; the gateway stops, and reads everything again when it is restarted"


class JournalDamaged(StorageFailed):
    """The file is no longer what was written, in a place that is not of one execution alone. Stop this process."""

    hint = "Check the disk, and restore the journal from a backup"


class AppendConflict(JournalError):
    """An event's place was taken: another process has written to this journal. Stop this process."""

    hint = "Make sure that one gateway only uses this journal"


class HistoryDamaged(JournalError):
    """What was read is not what was written; the execution is stopped, the others go on."""

    hint = "Restore the execution from the central copy or a backup, or terminate it"


class JournalHeld(JournalError):
    """Another process uses this journal."""

    hint = "Stop that process, or give this gateway a state_dir of its own"

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"the journal {path} is in use by {holder}")
        self.holder = holder


class JournalTooNew(JournalError):
    """The file was written by a newer version; nothing was touched."""

    hint = "Start the version that wrote it, or a later one"


class JournalUnusable(JournalError):
    """The file cannot be used as a journal as it is; nothing was written."""

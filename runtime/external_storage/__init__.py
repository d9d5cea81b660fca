"""Payloads that are kept outside of the journal, which then has a reference to each."""

from .drivers import (
    StorageDriver,
    StorageDriverActivityInfo,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
    StorageWarning,
)
from .files import (
    FileStorageDriver,
    FolderOfAnotherJournal,
    PayloadFileDamaged,
    PayloadFileError,
    PayloadFileMissing,
)
from .storage import ExternalStorage

__all__ = [
    "ExternalStorage",
    "FileStorageDriver",
    "FolderOfAnotherJournal",
    "PayloadFileDamaged",
    "PayloadFileError",
    "PayloadFileMissing",
    "StorageDriver",
    "StorageDriverActivityInfo",
    "StorageDriverClaim",
    "StorageDriverRetrieveContext",
    "StorageDriverSelectContext",
    "StorageDriverStoreContext",
    "StorageDriverWorkflowInfo",
    "StorageWarning",
]

"""How a gateway stores values, by its settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from overwinter.runtime.converter import DataConverter, ExternalStorage, FileStorageDriver

from .settings import GatewaySettings

FOLDER_NAME: Final = "payloads"


def data_converter(settings: GatewaySettings) -> DataConverter:
    """The converter of the gateway, its workers, and whoever reads its journal."""
    return DataConverter(external_storage=_external_storage(settings))


def folder_of(settings: GatewaySettings) -> Path:
    """Where values are that are files."""
    return settings.payloads.folder or settings.gateway.state_dir / FOLDER_NAME


def _external_storage(settings: GatewaySettings) -> ExternalStorage | None:
    folder, threshold = folder_of(settings), settings.payloads.external_bytes_min
    if threshold is None:
        # What was stored while there was a threshold is still read.
        if not folder.is_dir():
            return None
        threshold = sys.maxsize
    return ExternalStorage(drivers=[FileStorageDriver(folder)], payload_size_threshold=threshold)

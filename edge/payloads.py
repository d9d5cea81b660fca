"""How a gateway stores values, by its settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from overwinter.runtime.contrib.key_ring import KeyRing, KeyRingError
from overwinter.runtime.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    ExternalStorage,
    FileStorageDriver,
    PayloadCodec,
)
from overwinter.runtime.plain_values import DEFAULT_LIMITS, PayloadLimits

from .settings import GatewaySettings

FOLDER_NAME: Final = "payloads"


def data_converter(settings: GatewaySettings) -> DataConverter:
    """The converter of the gateway, its workers, and whoever reads its journal.

    Raises:
        KeyRingError: the settings name keys which cannot be had.
    """
    storage, codec = _external_storage(settings), _codec(settings)
    limits = PayloadLimits(bytes_max=settings.limits.payload_bytes_max)

    class Limited(DefaultPayloadConverter):
        """The default converter, with the bound of the settings."""

        def __init__(self) -> None:
            super().__init__(limits)

    converter = DefaultPayloadConverter if limits == DEFAULT_LIMITS else Limited
    if codec is None:
        return DataConverter(payload_converter_class=converter, external_storage=storage)
    return DataConverter(
        payload_converter_class=converter,
        payload_codec=codec,
        # Messages and stack traces may have values in them, and would else be stored as they are.
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        external_storage=storage,
    )


def folder_of(settings: GatewaySettings) -> Path:
    """Where values are that are files."""
    return settings.payloads.folder or settings.gateway.state_dir / FOLDER_NAME


def key_ring(settings: GatewaySettings) -> KeyRing | None:
    """The keys that the settings name, None when they name none; raises as `data_converter`."""
    payloads = settings.payloads
    if payloads.key_file is not None:
        if not payloads.key_file.exists():
            raise KeyRingError(
                f"there are no keys in {payloads.key_file}: `overwinter rotate` makes the first one, if there has been none"
            )
        return KeyRing.from_file(payloads.key_file)
    if payloads.key_credential is not None:
        return KeyRing.from_credential(payloads.key_credential)
    if payloads.key_variable is not None:
        return KeyRing.from_environment(payloads.key_variable)
    return None


def _codec(settings: GatewaySettings) -> PayloadCodec | None:
    ring = key_ring(settings)
    if ring is None:
        return None
    try:
        from overwinter.runtime.contrib.encryption import AesGcmCodec  # an extra
    except ImportError as error:
        raise KeyRingError(
            f"payloads cannot be encrypted, {error.name} is not installed: pip install 'overwinter[encryption]'"
        ) from None
    return AesGcmCodec(ring)


def _external_storage(settings: GatewaySettings) -> ExternalStorage | None:
    folder, threshold = folder_of(settings), settings.payloads.external_bytes_min
    if threshold is None:
        # What was stored while there was a threshold is still read.
        if not folder.is_dir():
            return None
        threshold = sys.maxsize
    return ExternalStorage(drivers=[FileStorageDriver(folder)], payload_size_threshold=threshold)

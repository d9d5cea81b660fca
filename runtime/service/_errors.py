"""Errors of calls to an engine, by the names that authors know."""

from __future__ import annotations

import enum

from ..api.common.v1 import GrpcStatus
from ..exceptions import TemporalError


class RPCStatusCode(enum.IntEnum):
    """Why a call was refused; the numbers are gRPC's."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(TemporalError):
    """A call to the engine was refused."""

    def __init__(self, message: str, status: RPCStatusCode, raw_grpc_status: bytes = b"") -> None:
        super().__init__(message)
        self._message = message
        self._status = status
        self._raw_grpc_status = raw_grpc_status

    @property
    def message(self) -> str:
        """What was found, what was expected, what to do."""
        return self._message

    @property
    def status(self) -> RPCStatusCode:
        """Why, as a number."""
        return self._status

    @property
    def grpc_status(self) -> GrpcStatus:
        """Status and message once more; there are no details, since there is no network in between."""
        return GrpcStatus(code=int(self._status), message=self._message)

    @property
    def raw_grpc_status(self) -> bytes:
        """Empty: there is no network in between."""
        return self._raw_grpc_status

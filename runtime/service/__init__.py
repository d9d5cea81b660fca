"""The way from a client to its engine, by the names of ``temporalio.service``."""

from __future__ import annotations

from overwinter import __version__ as __version__

from ._client import CloudService, HealthService, OperatorService, ServiceClient, TestService, WorkflowService
from ._errors import RPCError, RPCStatusCode
from ._options import (
    ConnectConfig,
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    PayloadLimitsConfig,
    RetryConfig,
    TLSConfig,
)

__all__ = [
    "CloudService",
    "ConnectConfig",
    "DnsLoadBalancingConfig",
    "GrpcCompression",
    "HealthService",
    "HttpConnectProxyConfig",
    "KeepAliveConfig",
    "OperatorService",
    "PayloadLimitsConfig",
    "RPCError",
    "RPCStatusCode",
    "RetryConfig",
    "ServiceClient",
    "TLSConfig",
    "TestService",
    "WorkflowService",
]

for _error in (RPCError, RPCStatusCode):
    _error.__module__ = __name__  # What a traceback shows.

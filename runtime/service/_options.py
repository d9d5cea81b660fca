"""Options of a connection. Most are for a network, which there is none of here: they are kept, and have no effect.

Programs set them for the servers that they were written for, so they are accepted as they are. What has an effect is said
where it stands.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from ..core.records import dataclass

if TYPE_CHECKING:
    from ..runtime import Runtime


@dataclass
class TLSConfig:
    """Without effect: nothing leaves the machine."""

    server_root_ca_cert: bytes | None = None
    domain: str | None = None
    client_cert: bytes | None = None
    client_private_key: bytes | None = None
    verification_server_name: str | None = None


@dataclass
class RetryConfig:
    """Without effect: a client of a gateway comes back by itself."""

    initial_interval_millis: int = 100
    randomization_factor: float = 0.2
    multiplier: float = 1.5
    max_interval_millis: int = 5000
    max_elapsed_time_millis: int | None = 10000
    max_retries: int = 10


@dataclass(frozen=True)
class KeepAliveConfig:
    """Without effect: a socket of this machine tells when the other side has gone."""

    interval_millis: int = 30000
    timeout_millis: int = 15000

    default: ClassVar[KeepAliveConfig]


KeepAliveConfig.default = KeepAliveConfig()


@dataclass(frozen=True)
class HttpConnectProxyConfig:
    """Without effect: there is no network to go through."""

    target_host: str
    basic_auth: tuple[str, str] | None = None


@dataclass(frozen=True)
class DnsLoadBalancingConfig:
    """Without effect: no name is looked up."""

    resolution_interval_millis: int = 30000

    default: ClassVar[DnsLoadBalancingConfig]


DnsLoadBalancingConfig.default = DnsLoadBalancingConfig()


class GrpcCompression:
    """Without effect: there is no gRPC."""

    NONE: ClassVar[GrpcCompression]
    GZIP: ClassVar[GrpcCompression]


@dataclass(frozen=True)
class _NoGrpcCompression(GrpcCompression):
    pass


@dataclass(frozen=True)
class _GzipGrpcCompression(GrpcCompression):
    pass


GrpcCompression.NONE = _NoGrpcCompression()
GrpcCompression.GZIP = _GzipGrpcCompression()


@dataclass(frozen=True)
class PayloadLimitsConfig:
    """Without effect: there is one limit, the data converter's, and what is larger is refused where it is encoded."""

    payloads_warn_size: int = 512 * 1024
    memo_warn_size: int = 2 * 1024


@dataclass
class ConnectConfig:
    """How a client connects, as plugins see and change it."""

    target_host: str
    """The socket of a gateway, or the name of an engine of this process; see `Client.connect`."""
    api_key: str | None = None
    tls: bool | TLSConfig | None = None
    retry_config: RetryConfig | None = None
    keep_alive_config: KeepAliveConfig | None = KeepAliveConfig.default
    rpc_metadata: Mapping[str, str | bytes] = field(default_factory=dict[str, str | bytes])
    identity: str = ""
    """Who asks, for pauses, resets and batch operations; by default the process and its machine."""
    lazy: bool = False
    """Whether a gateway's socket is opened by the first call."""
    runtime: Runtime | None = None
    """Where measurements of the workers go."""
    http_connect_proxy_config: HttpConnectProxyConfig | None = None
    dns_load_balancing_config: DnsLoadBalancingConfig | None = None
    grpc_compression: GrpcCompression = GrpcCompression.GZIP
    payload_limits: PayloadLimitsConfig = field(default_factory=PayloadLimitsConfig)
    connect_timeout: timedelta | None = None

    def __post_init__(self) -> None:
        if not self.identity:
            self.identity = f"{os.getpid()}@{socket.gethostname()}"

"""Where a client's connection comes from, by the names of ``temporalio.envconfig``. There is no server to find here."""

from __future__ import annotations

from typing import Any


class ClientConfig:
    """Settings of connections."""

    @staticmethod
    def load_client_connect_config(**_where: Any) -> dict[str, Any]:
        """The arguments for `Client.connect`: none, since its engine is in the process."""
        return {}


class ClientConfigProfile:
    """Settings of one connection."""

    @staticmethod
    def load(**_where: Any) -> ClientConfigProfile:
        """The settings of this environment."""
        return ClientConfigProfile()

    def to_client_connect_config(self) -> dict[str, Any]:
        """The arguments for `Client.connect`."""
        return {}

"""Operations of Temporal's cloud, which are not offered."""

from __future__ import annotations

from typing import Any


class CloudOperationsClient:
    """The name is here so that programs which mention it are imported; there is no cloud to operate."""

    @staticmethod
    async def connect(**_options: Any) -> CloudOperationsClient:
        """Never returns.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "operations of Temporal's cloud are not offered: a gateway's journal needs no namespaces, users or keys"
        )

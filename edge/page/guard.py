"""Who may talk to the page: this machine's browser on this page, or whoever holds the token."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_HEADER: Final = "x-overwinter-request"
TOKEN_HEADER: Final = "x-overwinter-token"
METRICS: Final = "/metrics"
BODY_BYTES_MAX: Final = 1 << 20

SECURITY_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses what did not come from the page itself, and adds the security headers to every answer.

    Without a token only loopback names are accepted as Host, so that a foreign web site cannot reach the
    page by pointing its own name at this machine (DNS rebinding). With a token, every request for data must
    carry it. A request that changes something must carry a header that a foreign site cannot add without
    asking first (CORS preflight), which is never granted.
    """

    def __init__(self, app: ASGIApp, token: str | None = None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers, method, path = Headers(scope=scope), str(scope["method"]), str(scope["path"])
        host = urlsplit("//" + headers.get("host", "")).hostname or ""
        if self._token is None and not is_loopback(host):
            return _refuse(
                403, "ForeignHost", f"the request is for the host {host!r}, expected this machine's loopback"
            )
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _refuse(403, "ForeignSite", "the request was made by another web site")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return _refuse(403, "ForeignSite", f"the request was made by {origin!r}")
        if self._token is not None and (path.startswith("/api/") or path == METRICS):
            given = headers.get(TOKEN_HEADER) or headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return _refuse(401, "TokenNeeded", "open the page with #token=... as the gateway printed it")
        if method not in ("GET", "HEAD"):
            return self._refuse_change(headers)
        return None

    def _refuse_change(self, headers: Headers) -> JSONResponse | None:
        if REQUEST_HEADER not in headers:
            return _refuse(403, "ForeignSite", f"a change needs the header {REQUEST_HEADER}")
        if headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return _refuse(415, "BadRequest", "a change needs a body of type application/json")
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            return _refuse(
                413, "BadRequest", f"the body needs a Content-Length of at most {BODY_BYTES_MAX} bytes"
            )
        return None


def _refuse(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"type": kind, "message": message, "hint": ""}}, status)

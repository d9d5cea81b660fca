"""Unix sockets that only their owner, or a group, can open."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path
from typing import Final

PATH_BYTES_MAX: Final = 107
"""``sun_path`` holds 108 bytes on Linux, with the final zero."""
_LOOK_S: Final = 2.0


class SocketUnusable(Exception):
    """Nobody can listen at this path; the message says why, and what to do."""


class SocketInUse(SocketUnusable):
    """Another process answers at this path; stop it, or use another path."""


def listen(path: Path, group: str | None = None) -> socket.socket:
    """A bound socket of mode 0600, or 0660 for a group; nobody can connect before it listens.

    A file that a dead process left is replaced.

    Raises:
        SocketInUse: another process answers there, or the file is no socket.
        SocketUnusable: the socket cannot be made, for example since the path is too long.
    """
    length = len(os.fsencode(path))
    if length > PATH_BYTES_MAX:
        raise SocketUnusable(
            f"the path of the socket {path} has {length} bytes, the system allows {PATH_BYTES_MAX}: "
            "choose a shorter directory"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(os.fspath(path))
        # Nobody can connect before listen(), so there is no moment with a wider mode.
        path.chmod(0o600)
        if group is not None:
            shutil.chown(path, group=group)
            path.chmod(0o660)
    except BaseException as error:
        listener.close()
        if isinstance(error, OSError | LookupError):
            raise SocketUnusable(f"the socket {path} cannot be made: {error}") from error
        raise
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketInUse(f"{path} is not a socket: move it away, the gateway wants to listen there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_LOOK_S)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # a full backlog or a timeout: somebody is there
    raise SocketInUse(f"another process answers on {path}: stop it, or use another state directory")

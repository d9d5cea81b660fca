"""The spool: the one folder whose files activities may read and write.

Frames never pass through the journal; a workflow hands around references, which are paths relative to this
folder. A reference may come from a message, so it is not believed: no step of it may leave the folder, and
symbolic links are not followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FILE_BYTES_MAX = 64 * 1024 * 1024


class ReferenceRefused(ValueError):
    """A reference was not opened. `reason`: outside_spool, missing, not_a_file or too_large."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Spool:
    """`root` must exist. Sizes are in bytes."""

    root: Path
    file_bytes_max: int = FILE_BYTES_MAX

    def read(self, reference: str) -> bytes:
        """The file's bytes. Raises `ReferenceRefused`."""
        with open(self._open(_steps(reference), reference), "rb") as file:
            data = file.read(self.file_bytes_max + 1)
        if len(data) > self.file_bytes_max:
            raise ReferenceRefused("too_large", f"{reference!r} has more than {self.file_bytes_max} bytes")
        return data

    def holds(self, reference: str) -> bool:
        """Whether `read` would find a file there."""
        try:
            os.close(self._open(_steps(reference), reference))
        except ReferenceRefused:
            return False
        return True

    def store(self, reference: str, data: bytes) -> None:
        """Write the file and make it durable; a reader sees all of it or none, also after a power cut.

        An existing file of that name is replaced. The last folder of `reference` is made when missing.
        """
        *folders, name = _steps(reference)
        folder = self._open_folder(folders, reference, make_last=True)
        temporary = f".{name}.{secrets.token_hex(8)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640, dir_fd=folder)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(descriptor)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(temporary, dir_fd=folder)
                raise
            os.fsync(folder)
        finally:
            os.close(folder)

    def _open(self, steps: list[str], reference: str) -> int:
        """A descriptor of the regular file, which the caller closes."""
        *folders, name = steps
        folder = self._open_folder(folders, reference)
        try:
            # O_NONBLOCK: opening a FIFO would otherwise wait for its writer.
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            raise _refusal(error, reference) from error
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ReferenceRefused("not_a_file", f"{reference!r} is not a regular file")
        return descriptor

    def _open_folder(self, folders: list[str], reference: str, *, make_last: bool = False) -> int:
        """Walk down from the root one folder at a time, so that no link on the way is followed."""
        current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for depth, folder in enumerate(folders, start=1):
            try:
                if make_last and depth == len(folders):
                    _make_folder(folder, current)
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            except OSError as error:
                raise _refusal(error, reference) from error
            finally:
                os.close(current)
            current = inner
        return current


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, 0o750, dir_fd=parent)
    except FileExistsError:
        return
    os.fsync(parent)


def _steps(reference: str) -> list[str]:
    """The names on the way down, or a refusal if any of them is not simply a name."""
    path = PurePosixPath(reference)
    steps = list(path.parts)
    # isprintable also keeps out NUL, control characters and lone surrogates, which no file name here needs.
    if not steps or path.is_absolute() or ".." in steps or "\\" in reference or not reference.isprintable():
        raise ReferenceRefused(
            "outside_spool", f"{reference!r} is refused: expected a relative path inside the spool folder"
        )
    return steps


def _refusal(error: OSError, reference: str) -> ReferenceRefused:
    # A link gives ELOOP where a file was expected and ENOTDIR where a folder was.
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return ReferenceRefused("outside_spool", f"{reference!r} leads over a link or a file: not followed")
    if error.errno == errno.ENOENT:
        return ReferenceRefused("missing", f"{reference!r} is not in the spool folder")
    return ReferenceRefused("not_a_file", f"{reference!r} cannot be opened: {error.strerror}")

"""Run a program that ends with its parent: `python -m examples.farm.leash PROGRAM ARGUMENT...`.

The kernel sends SIGTERM to this process when its parent has ended, however that came about (Linux,
PR_SET_PDEATHSIG; kept over execve). The program then takes over the process, hence also its id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Replace this process by the program given on the command line; does not return."""
    parent = int(os.environ.pop("LEASH_PARENT"))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        sys.exit("leash: the kernel refused PR_SET_PDEATHSIG")
    if os.getppid() != parent:  # the parent ended before the leash was on
        sys.exit(1)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

"""Stops process groups when its standard input ends; needs the standard library only.

`automl up` writes the groups it starts to this process, one a line: `123` when
one starts, `-123` when it is gone. The pipe ends when `automl up` ends, however
it ends, `kill -9` included. So nothing that it started outlives it.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 10.0


def main() -> None:
    """Read groups until the end of the input, then stop those that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line)
        if group > 0:
            groups.add(group)
        else:
            groups.discard(-group)
    stop_groups(groups)


def stop_groups(groups: Iterable[int], *, grace_seconds: float = GRACE_SECONDS) -> None:
    """Ask process groups to end, wait for them, and kill those that do not."""
    left = {group for group in groups if send(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace_seconds
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {group for group in left if send(group, 0)}
    for group in left:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Send a signal to a process group; False if it has no member any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()

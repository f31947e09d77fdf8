"""Pages of mapped rows that were read are given back while work on them goes on.

A library that bins its rows reads each of them a few times at the beginning, and never again; but
what it has read of a mapped file counts as memory of its process until that ends. Pages that are
wanted again are found in the page cache.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LARGE_BYTES = 64_000_000
"""Of mapped rows; fewer are left where they are."""

LEAST_SECONDS = 0.05
SECONDS_PER_BYTE = 8e-9
"""How long to wait until pages are given back again: the longer, the more came back since the last
time, so that a fit that reads all rows all the time spends a few percent on it."""

_STATM = Path("/proc/self/statm")


def give_back(array: "np.ndarray") -> None:
    """Give back the pages of a large array that is mapped from a file; others stay as they are."""
    mapping = _mapping(array)
    if mapping is not None and len(mapping) >= LARGE_BYTES:
        mapping.madvise(mmap.MADV_DONTNEED)


@contextmanager
def given_back(*arrays: "np.ndarray") -> Iterator[None]:
    """Give back the pages of mapped arrays again and again, while what is inside goes on.

    Nothing happens to arrays that are not large together, or that may be changed, nor on systems
    that do not tell what a process holds; Linux does.
    """
    found = {id(mapping): mapping for mapping in map(_mapping, arrays) if mapping is not None}
    mappings = list(found.values())
    if sum(map(len, mappings)) < LARGE_BYTES or not _STATM.exists():
        yield
        return
    is_over = Event()
    thread = Thread(target=_keep_giving_back, args=(mappings, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _mapping(array: "np.ndarray") -> mmap.mmap | None:
    """Return the file that an array shows; None if it shows none, or one that it may change."""
    import numpy as np

    base: object = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode != "r":
            return None
        base = base.base
    return base if isinstance(base, mmap.mmap) and hasattr(base, "madvise") else None


def _keep_giving_back(mappings: list[mmap.mmap], is_over: Event) -> None:
    wait = 0.0
    while not is_over.wait(max(LEAST_SECONDS, wait)):
        before = _bytes_of_files()
        _give_all_back(mappings)
        wait = SECONDS_PER_BYTE * (before - _bytes_of_files())
    _give_all_back(mappings)


def _give_all_back(mappings: list[mmap.mmap]) -> None:
    for mapping in mappings:
        mapping.madvise(mmap.MADV_DONTNEED)


def _bytes_of_files() -> int:
    """Return what this process holds of files."""
    return int(_STATM.read_bytes().split()[2]) * mmap.PAGESIZE

"""Memory that a process holds but does not use while it waits for others."""

import ctypes
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_MADV_DONTNEED = 4
_SMAPS = Path("/proc/self/smaps")
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class _Mapping:
    """A part of a file in memory.

    Attributes:
        private_kb: Of it, what this process has changed, be it in memory or in swap.
    """

    start: int
    size: int
    permissions: str
    path: str
    private_kb: int


def give_back_memory() -> None:
    """Give back what is free in the heap, and the code of libraries that waiting does not run.

    Libraries are mapped, and what of them has been read at some time, mostly to import them,
    counts for the process: 100 MB after SciPy, scikit-learn and Polars. Pages that are unchanged
    are let go of; one that is used again is found in the page cache. On other systems than Linux
    nothing happens.
    """
    trim_heap()
    if _LIBC is None:
        return
    try:
        told = _SMAPS.read_text().splitlines()
    except OSError:
        # A kernel or a sandbox that does not tell: the pages stay, which is no fault.
        return
    for mapping in _unchanged_code(_mappings(told)):
        _LIBC.madvise(ctypes.c_void_p(mapping.start), ctypes.c_size_t(mapping.size), _MADV_DONTNEED)


def trim_heap() -> None:
    """Give back what is free in the heap, where the C library is glibc."""
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


def _unchanged_code(mappings: Iterable[_Mapping]) -> Iterator[_Mapping]:
    """Yield what can be read from the file again, of libraries that are loaded completely.

    The loader maps a whole file before it lays the parts that are written over it: only when
    one of these is there, what is not writable stays so.
    """
    libraries = [item for item in mappings if ".so" in Path(item.path).name]
    loaded = {item.path for item in libraries if item.private_kb}
    for item in libraries:
        if item.path in loaded and not item.private_kb and item.permissions in ("r-xp", "r--p"):
            yield item


def _mappings(lines: Iterable[str]) -> Iterator[_Mapping]:
    """Read `/proc/self/smaps`: see proc(5)."""
    first: list[str] = []
    private_kb = 0
    for line in lines:
        words = line.split(maxsplit=5)
        if not words[0].endswith(":"):
            first, private_kb = words, 0
        elif words[0] == "Anonymous:":
            private_kb = int(words[1])
        elif words[0] == "Swap:" and len(first) == 6:
            start, end = (int(place, 16) for place in first[0].split("-"))
            yield _Mapping(
                start=start,
                size=end - start,
                permissions=first[1],
                path=first[5],
                # What was swapped out is not in any file either.
                private_kb=private_kb + int(words[1]),
            )

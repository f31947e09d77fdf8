"""Memory that a process gives back while it waits."""

import subprocess
import sys

from automl_assets.core import idle_memory
from automl_assets.core.idle_memory import give_back_memory

SCRIPT = """
import sys
import numpy as np
import psutil
import scipy.sparse.linalg
import scipy.stats
from automl_assets.core.idle_memory import give_back_memory

expected = float(scipy.stats.norm.cdf(1.0))
held = np.arange(1_000_000)
before = psutil.Process().memory_info()
give_back_memory()
after = psutil.Process().memory_info()
assert float(scipy.stats.norm.cdf(1.0)) == expected
assert int(held.sum()) == 499_999_500_000
assert np.allclose(np.linalg.inv(np.diag([2.0, 4.0])), np.diag([0.5, 0.25]))
print((before.rss - after.rss) / 1e6)
"""


def test_code_of_libraries_that_are_not_running_is_let_go_of_and_comes_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True
    )

    assert float(done.stdout) > 15


def test_what_was_changed_and_swapped_out_is_not_let_go_of() -> None:
    lines = []
    for start, permissions, changed, swapped in (
        ("10", "r-xp", 0, 0),
        ("20", "r--p", 0, 8),
        ("30", "r--p", 8, 0),
        ("40", "rw-p", 0, 8),
    ):
        lines += [
            f"{start}000-{start}fff {permissions} 00000000 08:01 17                 /usr/lib/x.so",
            f"Anonymous:      {changed:8d} kB",
            f"Swap:           {swapped:8d} kB",
        ]

    found = idle_memory._unchanged_code(idle_memory._mappings(lines))

    assert [item.start for item in found] == [0x10000]


def test_it_may_be_repeated() -> None:
    for _ in range(2):
        give_back_memory()

    assert sum(range(10)) == 45

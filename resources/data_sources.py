"""Files of this machine, inside the folders that the operator allows."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from automl_assets.core.ports import DataSources

if TYPE_CHECKING:
    import polars as pl


class LocalDataSources(dg.ConfigurableResource, DataSources):
    """Opens local files through the source plugins; see `resources.sources`."""

    roots: list[str]
    home: str

    def open(
        self, location: str, *, text_columns: Collection[str] = ()
    ) -> "tuple[Path, pl.LazyFrame]":
        """Find a file as a request names it and open its rows lazily."""
        from resources.sources import locate, open_source

        path = locate(location, tuple(Path(root) for root in self.roots), closed=Path(self.home))
        _, frame = open_source(path, text_columns=text_columns)
        return path, frame

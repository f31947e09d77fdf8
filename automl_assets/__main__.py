"""`python -m automl_assets` is the `automl` command."""

from automl_assets.cli import main

main()

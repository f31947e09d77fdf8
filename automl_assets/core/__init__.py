"""The domain: no Dagster, MLflow, lakeFS, Kubernetes, network, clock or environment."""

"""The model registry: MLflow's runs, versions, aliases and stages."""

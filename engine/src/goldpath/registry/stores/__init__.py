"""The ways to reach the registry: HTTP, SQL, or MLflow's own client."""

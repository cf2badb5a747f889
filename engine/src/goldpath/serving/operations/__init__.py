"""What people and scripts ask about the service, the registry and the pipelines."""

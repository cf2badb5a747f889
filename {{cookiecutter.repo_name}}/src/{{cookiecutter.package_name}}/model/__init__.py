"""The model: estimators, search, evaluation, the registry and the promotion gate."""

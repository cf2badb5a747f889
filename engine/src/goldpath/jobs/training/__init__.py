"""Training in stages, with Optuna's search or AutoML's."""

"""Training, top to bottom: the engine's five steps, and one of this project's own."""

from goldpath import TrainingWork, training


def churn_by_contract(work: TrainingWork) -> dict[str, float]:
    """Log the churn rate of each contract term among the training rows, as metrics of the run."""
    rows, target = work.train_rows, work.contract.target
    churned = rows[target.column] == target.positive
    rates = churned.groupby(rows["contract"].fillna("unknown")).mean()
    return {f"churn_rate_{name}": float(rate) for name, rate in rates.items()}


steps = (
    training.extract,  # pin the snapshot of gold that everything else uses
    training.prepare_features,  # divide the rows; refuse leaks and rows of the future
    churn_by_contract,
    training.search_and_fit,  # the families of model/families.py, on the training rows only
    training.evaluate_candidate,  # on the test rows, beside a baseline and the champion
    training.register_candidate,  # sign it, and store it as a version in MLflow
)

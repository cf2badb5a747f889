"""What AutoML found about a table's rows, with the answers that a project can give."""

import re
from dataclasses import replace

from goldpath.automl.result import AutoMLResult
from goldpath.automl.structure.findings import Finding

ROLES = {"order": "TIME", "groups": "ID"}
"""The option of `make adopt` that says it once for folds, test rows and service."""


def in_project(found: AutoMLResult) -> AutoMLResult:
    """A search's result as a project's report tells it: folds of its own are by time."""
    return replace(
        found,
        findings=tuple(map(for_project, found.findings)),
        folds_by="time" if found.folds_by == "own" else found.folds_by,
    )


def for_project(finding: Finding) -> Finding:
    """A finding whose option is a project's: settings and commands in place of arguments.

    There the table had neither event time nor repeated entities by its contract, so the test rows
    are divided at random, whatever the folds are made by.
    """
    if not finding.option or finding.about not in ROLES:
        return finding
    adopted = _adopted(finding)
    if finding.question:
        return replace(finding, option=adopted)
    denied = re.sub(
        r"^(time_ordered|groups)=False",
        "split: stratified in config/training.yaml",
        finding.option,
    )
    test = (
        f"the test rows are divided at random, so the test score is for values of {finding.column} "
        "that are known"
        if finding.about == "groups"
        else "the test rows are divided at random, so the test score is for rows of the same time"
    )
    new = "they have new ones" if finding.about == "groups" else "they are newer"
    option = f"{denied}; where {new}, {adopted}: the test rows are then divided so, too"
    return replace(finding, done=f"{finding.done}; {test}", option=option)


def _adopted(finding: Finding) -> str:
    """How the contract is told; a column of it by hand would be feature and role at once."""
    role, column = ROLES[finding.about], finding.column
    adopting = f"{role}={column} to make adopt, then make data"
    if not column or ", " in column:
        return f"{role}=COLUMN to make adopt, with a column added to the table that holds it"
    return adopting

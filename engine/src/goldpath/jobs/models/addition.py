"""Add a further model: infer its contract from the main model's rows, write `models/NAME/`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_profile import AdoptionError
from goldpath.adoption.infer import Adoption, AdoptionRequest, Inferred, infer_contract
from goldpath.contract import Contract, load_contract, parse_further
from goldpath.errors import ProjectError
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.adoption import NO_ANSWERS, read_rows, replace_file, said
from goldpath.jobs.models.differing_settings import undo_unfit_settings
from goldpath.models.folders import contract_file, further_models, main_model, require_name
from goldpath.models.main_contract import inherited_from
from goldpath.raw_source import Source
from goldpath.settings import Settings, load_settings
from goldpath.source_contract import load_sources
from goldpath.sources.files import is_json_lines, is_parquet
from goldpath.sources.read import list_parts

HEADER = """\
# A further model of the same rows. `make add-model` wrote it from
#   {origin}
# What it does not say (source, entity, event_time, …) is that of config/project.yaml. Change what
# it got wrong; the version before is project.yaml.bak. Settings that differ lie beside it, such as
# training.yaml, decision.yaml, monitoring.yaml.
"""
DESCRIBED = "as config/project.yaml describes it"
OTHER_TARGET = "the target of {}: nobody knows it when this model is asked"
AS_MAIN = "left out as in config/project.yaml: {}"
IN_CODE = """\
until project.py names the model, the engine's own families, metric and gates are used; there:
  def {name}() -> Model:
      return Model()  # families=[…], metric=…, gates=[…], features=[…], answer_fields=[…],
                      # hooks=Hooks(…)
  project = Project(…, models={{{main}"{name}": {name}}})"""


def add_model(
    settings: Settings,
    name: str,
    target: str,
    problem: str | None = None,
    answers: Answers = NO_ANSWERS,
) -> Adoption:
    """Infer a further model's contract and write its file; on an error nothing is written.

    Columns that `config/project.yaml` describes are taken as they are there; what it leaves out,
    and the targets of the other models, is left out.

    Args:
        settings: Those of the main model.
        name: Names the folder, the tables and the registered model.
        target: Column to predict; empty of a clustering.
        problem: `classification`, `regression` or `clustering`; one of the first two is inferred
            where it is not given.
        answers: Answers to what an earlier call asked.

    Returns:
        What was decided about each column, and why.

    Raises:
        ModelNameError: If the name cannot be a model's.
        SourceError: If the rows cannot be read.
        AdoptionError: If the request does not fit the rows, or the name is taken.
    """
    name, target = name.strip(), target.strip()
    main = load_contract(settings.root, "")
    models = _other_models(settings, name)
    _require_free(settings, name, target, main, models)
    others = _others(main, models, target)
    is_csv = _is_csv(main.source, settings.root)
    read = read_rows(main.source, settings.root, answers, is_csv=is_csv)
    request = AdoptionRequest(
        target,
        main.entity or "none",
        "+".join(main.event_time.columns) if main.event_time else "none",
        said(problem),
        replace(answers, columns={**dict.fromkeys(others, "ignored"), **answers.columns}),
    )
    found = infer_contract(
        read.rows, main.source, main.dataset, request, settings.training.leak_threshold
    )
    inferred = _as_described(found, main, others)
    text = HEADER.format(origin=" ".join(main.source.name.split())) + _dump(inferred.contract, main)
    contract = parse_further(text, name, main)
    file = settings.root / contract.file
    replace_file(file, text)
    undone = undo_unfit_settings(settings, contract, main)
    unusable = _unusable_features(settings, contract)
    return Adoption(
        file=main.source.name,
        contract_file=settings.shown(file),
        contract=contract.model_dump(mode="json", exclude_defaults=True),
        decisions=inferred.decisions,
        notes=(*read.notes, *inferred.notes, *_notes(settings, contract, main), *undone, *unusable),
    )


def newly_decided(added: Adoption) -> Adoption:
    """The same without the columns that are as `config/project.yaml` has them."""
    decisions = tuple(each for each in added.decisions if each.reason != DESCRIBED)
    return replace(added, decisions=decisions)


def _require_free(
    settings: Settings, name: str, target: str, main: Contract, models: Sequence[Contract]
) -> None:
    require_name(name, f"NAME={name}")
    if target and target in main.label_columns and not main.target.event:
        raise AdoptionError(
            f"TARGET={target} is what the main model predicts (config/project.yaml)",
            "name another column, or change the main model",
        )
    dataset = inherited_from(main, name)["dataset"]
    for each in (*models, *load_sources(settings.root)):
        if each.dataset == dataset:
            raise AdoptionError(
                f"NAME={name}: its tables would be called {dataset}, as those of {each.file} are",
                "give the model another name",
            )
    if name == main_model(settings.whole_project, further_models(settings.root)):
        raise AdoptionError(
            f"NAME={name} is the main model in project.py", "give this one another name"
        )


def _unusable_features(settings: Settings, contract: Contract) -> tuple[str, ...]:
    """What keeps the project's features from this model, such as one that reads its target."""
    try:
        own = load_settings(settings.root, settings.whole_project, contract.model)
        learned_contract(own, contract)
    except ProjectError as error:
        return (f"NOT USABLE YET: {error.message}: {error.fix}",)
    return ()


def _other_models(settings: Settings, name: str) -> list[Contract]:
    """The contracts of the further models that are there already."""
    found = []
    for other in further_models(settings.root):
        if other == name:
            continue
        try:
            found.append(load_contract(settings.root, other))
        except ProjectError as error:
            raise AdoptionError(
                f"the model {other} cannot be read, so its target is not known: {error.message}",
                error.fix,
            ) from error
    return found


def _others(main: Contract, models: Sequence[Contract], target: str) -> dict[str, str]:
    """The columns that are left out beforehand, and why."""
    found = {column: AS_MAIN.format(why) for column, why in main.ignored.items()}
    for each in (main, *models):
        if not each.target.event:  # else it is made from a source's events, and is no raw column
            whose = f"the model {each.model}" if each.model else "the main model"
            found |= dict.fromkeys(each.label_columns, OTHER_TARGET.format(whose))
    found.pop(target, None)
    return found


def _is_csv(source: Source, root: Path) -> bool:
    if source.query:
        return False
    with list_parts(source, root)[0].local() as file:
        return not (is_parquet(file) or is_json_lines(file))


def _as_described(inferred: Inferred, main: Contract, reasons: Mapping[str, str]) -> Inferred:
    """The same with the main contract's features, and with why columns were left out beforehand."""
    described = {each.name: each for each in main.features}
    contract = inferred.contract
    ignored = {column: reasons.get(column, why) for column, why in contract.ignored.items()}
    features = tuple(described.get(each.name, each) for each in contract.features)
    decisions = []
    for each in inferred.decisions:
        feature = described.get(each.column)
        if each.column in ignored:
            decisions.append(replace(each, reason=ignored[each.column]))
        elif feature is not None and each.role == "feature":
            domain = feature.domain.describe()
            decisions.append(replace(each, type=feature.type, domain=domain, reason=DESCRIBED))
        else:
            decisions.append(each)
    contract = contract.with_parts(features=features, ignored=ignored)
    return replace(inferred, contract=contract, decisions=tuple(decisions))


def _dump(contract: Contract, main: Contract) -> str:
    """What differs from the main contract, as YAML."""
    values = contract.model_dump(mode="json", exclude_defaults=True)
    kept = {"problem": values["problem"]}
    if contract.has_target:
        kept["target"] = values["target"]
    if contract.features != main.features:
        kept["features"] = values["features"]
    kept["ignored"] = dict(contract.ignored)
    if _loses_forecast(contract, main):
        kept["forecast"] = None
    if lost := _lost_groups(contract, main):
        kept["fairness_groups"] = [each for each in main.fairness_groups if each not in lost]
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)


def _loses_forecast(contract: Contract, main: Contract) -> bool:
    return main.forecast is not None and contract.problem != "regression"


def _lost_groups(contract: Contract, main: Contract) -> list[str]:
    if not contract.has_target:  # without labels no group's answers are better than another's
        return [*main.fairness_groups]
    return [each for each in main.fairness_groups if each not in contract.feature_names]


def _notes(settings: Settings, contract: Contract, main: Contract) -> tuple[str, ...]:
    notes, name = [], contract.model
    if contract.features == main.features:
        notes.append("its features are those of config/project.yaml, also after a change there")
    else:
        notes.append("the other columns are features as config/project.yaml describes them")
    if lost := _lost_groups(contract, main):
        why = "no features of this model" if contract.has_target else "they compare labels"
        notes.append(f"fairness_groups without {', '.join(lost)}: {why}")
    if _loses_forecast(contract, main):
        notes.append("without the main model's forecast, which is for a regression")
    if name not in settings.whole_project.models:
        first = main_model(settings.whole_project, further_models(settings.root))
        notes.append(IN_CODE.format(name=name, main=f'"{first}": {first}, ' if first else ""))
    notes.append(f"{contract_file(name)} is read by every command with MODEL={name}")
    return tuple(notes)

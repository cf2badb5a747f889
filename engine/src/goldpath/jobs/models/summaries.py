"""What `status` and `check` say of each further model, in a line."""

from goldpath.contract import Contract, load_contract
from goldpath.errors import ProjectError
from goldpath.models.folders import further_models, other_folders
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.settings import Settings, load_settings

NO_MODEL = "no model: it holds no project.yaml"
NOT_NAMED = "the engine's own definitions, since project.py names no model {}"


def definitions_said(settings: Settings) -> str:
    """Whose definitions a further model has."""
    if settings.model in settings.project.models:
        return f"those of {settings.project.name}"
    return NOT_NAMED.format(settings.model)


def states_of_models(settings: Settings) -> tuple[dict[str, str], str]:
    """Each further model with its champion, and what is to be done for the first that needs it.

    A model that cannot be used is named with its error; the others are not disturbed. A folder in
    `models/` without a contract is named, too.
    """
    if settings.model:
        return {}, ""
    said, following = {}, ""
    for name in further_models(settings.root):
        try:
            own = load_settings(settings.root, settings.whole_project, name)
            contract = load_contract(settings.root, name)
            champion, command = _champion(own, contract)
            definitions = "" if name in own.project.models else f"; {definitions_said(own)}"
            said[name] = f"{_predicts(contract)}; champion: {champion}{definitions}"
        except ProjectError as error:
            said[name], command = f"cannot be used: {error.message}", error.fix
        following = following or command
    return said | dict.fromkeys(other_folders(settings.root), NO_MODEL), following


def _champion(settings: Settings, contract: Contract) -> tuple[str, str]:
    champion = MLflowManager(settings, contract).champion_version()
    if champion is not None:
        return f"version {champion.version}", ""
    return "none", f"make train-local MODEL={settings.model}"


def _predicts(contract: Contract) -> str:
    of = contract.target.column if contract.has_target else "its rows"
    return f"{contract.dataset}: {contract.problem} of {of}"

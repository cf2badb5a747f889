"""What serves the further models beside the main one; the app adds their routes later."""

import logging

from goldpath.contract import load_contract
from goldpath.errors import ProjectError
from goldpath.models.folders import FOLDER, further_models
from goldpath.serving.serving_core import ServingCore
from goldpath.settings import Settings, load_settings

OF_THE_SERVICE = (
    "host", "port", "workers", "maximum_body_bytes", "read_seconds", "access_log",
    "access_log_share", "tracing_endpoint", "tls_certificate", "tls_key", "api_key", "api_key_file",
    "trusted_proxies", "root_path",
)  # fmt: skip
"""Keys of serving.yaml that hold for a whole service: a further model's count where it is alone."""

log = logging.getLogger(__name__)


def add_further_models(core: ServingCore) -> None:
    """Give a main model's core those of the further models; a further model's has none."""
    settings = core.settings
    for name in () if settings.model else further_models(settings.root):
        try:
            own = load_settings(settings.root, settings.whole_project, name)
            contract = load_contract(settings.root, name)
            further = ServingCore(own, contract, after_loading=core.after_loading, main=core)
        except ProjectError as error:
            log.warning("the model %s cannot be served: %s", name, error)
            core.unusable[name] = error
            continue
        except Exception as error:
            # Its folder is a team's own, and must not stop the main model's service.
            log.exception("the model %s cannot be served", name)
            core.unusable[name] = ProjectError(
                f"the model {name} cannot be served: {type(error).__name__}: {error}",
                f"see the service's log, mend {FOLDER}/{name}, and start the service again",
            )
            continue
        if unused := [key for key in OF_THE_SERVICE if _differs(key, own, settings)]:
            log.warning(
                "the model %s is served with the main model's %s; its own hold where it is served "
                "alone: make serve MODEL=%s", name, ", ".join(unused), name,
            )  # fmt: skip
        core.further[name] = further
        core.metrics.beside.append(further.metrics)


def _differs(key: str, own: Settings, main: Settings) -> bool:
    return bool(getattr(own.serving, key) != getattr(main.serving, key))

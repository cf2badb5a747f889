"""A version copied to another registered model: dev.churn to prod.churn, or to another registry.

What arrives is verified where it comes from and signed anew for the model that it becomes. Within
one registry both versions share run and files; another registry gets run and files of its own.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from goldpath.model_version import ModelVersion
from goldpath.registry.files.documents import sign_report, verified_report, verify_documents
from goldpath.registry.layout import DIGEST_TAG, KEY_TAG, MODEL_PATH, RUN_KEY, SIGNATURE_TAG
from goldpath.registry.lookup import Lookup
from goldpath.registry.model_files import ModelFiles, signature_path
from goldpath.registry.recording import record_change
from goldpath.registry.registration import Registration
from goldpath.registry.stages import STAGE_TAG
from goldpath.registry.stores.store import RegistryError, RunRecord
from goldpath.trust.signing import sign_again

COPIED_FROM = "copied_from"
# What is said of the version where it was, and not of the files.
LEFT_BEHIND = (SIGNATURE_TAG, KEY_TAG, DIGEST_TAG, STAGE_TAG)
MLFLOW_TAGS = "mlflow."


def copy_version(source: ModelFiles, version: ModelVersion, target: Registration) -> ModelVersion:
    """Copy a version; a second call finds the copy and makes none.

    Args:
        source: The files where the version is.
        version: The version.
        target: The registered model that it goes to.

    Raises:
        SignatureError: If the version is not what was signed.
        RegistryError: If source and target are the same, or the run is gone.
    """
    copies = Lookup(target.connection, target.model_name)
    here = source.runs.connection.uri == target.connection.uri
    if here and version.name == target.model_name:
        raise RegistryError(
            "a version cannot be copied onto its own model", "name another model or registry"
        )
    origin = f"{version.name}/{version.version}"
    if not here:
        origin = f"{origin} run {version.run_id}"
    for known in copies.versions():
        if known.tags.get(COPIED_FROM) == origin:
            return known
    target.ensure_model()
    tags = {key: value for key, value in version.tags.items() if key not in LEFT_BEHIND}
    tags[COPIED_FROM] = origin
    if here:
        model_id = version.source.removeprefix("models:/")
        number = target.next_number()
        copied = target.create_signed(
            version.source,
            version.run_id,
            model_id if model_id != version.source else None,
            tags,
            version.description,
            sign_again(
                source.verify_model(version),
                target.model_name,
                number,
                target.connection.settings,
            ),
            signature_path(target.model_name, number),
        )
    else:
        copied = _copy_across(source, version, target, tags)
    record_change(
        target.connection.settings,
        target.connection.store,
        target.model_name,
        "copied",
        copied.version,
        {"from": origin},
    )
    return copies.version(copied.version)


def _copy_across(
    source: ModelFiles, version: ModelVersion, target: Registration, tags: dict[str, str]
) -> ModelVersion:
    """Run, files and model into another registry; the version comes last."""
    import mlflow

    registry = source.runs.connection
    run = registry.store.run(version.run_id) if version.run_id else None
    if run is None:
        raise RegistryError(
            f"the run of version {version.version} is gone", "copy one whose run is there"
        )
    with TemporaryDirectory(prefix="copy-") as name:
        model, files = Path(name) / "model", Path(name) / "files"
        model.mkdir()
        files.mkdir()
        signed = source.download(version, model)
        verify_documents(source.runs, source.settings, version, signed)
        report = verified_report(source.runs, source.settings, version)
        with registry.translate("downloading the run's files"):
            mlflow.artifacts.download_artifacts(
                run_id=version.run_id,
                dst_path=str(files),
                tracking_uri=registry.uri,
            )
        run_id = _copy_run(run, target)
        with target.connection.translate("uploading the run's files"):
            client = target.connection.client
            client.log_artifacts(run_id, str(files))
            client.log_artifacts(run_id, str(model), MODEL_PATH)
            location = client.get_run(run_id).info.artifact_uri
            client.set_terminated(run_id)
    # What arrived is what the signatures name: the digests of what was verified, and no others.
    settings = target.connection.settings
    if report is not None:
        texts = {path: content.decode("utf-8") for path, content in report.items()}
        sign_report(target.runs, settings, run_id, texts)
    return target.create_signed(
        f"{location}/{MODEL_PATH}",
        run_id,
        None,
        tags,
        version.description,
        sign_again(signed, target.model_name, target.next_number(), settings),
    )


def _copy_run(run: RunRecord, target: Registration) -> str:
    from mlflow.entities import Metric, Param

    tags = {key: value for key, value in run.tags.items() if not key.startswith(MLFLOW_TAGS)}
    tags.pop(RUN_KEY, None)  # the training that has this key belongs to the other registry
    with target.connection.translate("copying the run"):
        client = target.connection.client
        made = client.create_run(
            target.runs.experiment_id(), run_name=run.name, tags={**tags, COPIED_FROM: run.run_id}
        )
        client.log_batch(
            made.info.run_id,
            metrics=[Metric(name, value, 0, 0) for name, value in run.metrics.items()],
            params=[Param(name, value) for name, value in run.parameters.items()],
        )
    return str(made.info.run_id)

"""A version held against what was registered as it: by the audit log, and by MLflow's tag.

A signature says who vouches for the files. That they are also the ones that were registered under
this number is known from the record that the registration left.
"""

from collections.abc import Iterable

from goldpath.model_version import ModelVersion
from goldpath.registry.layout import DIGEST_TAG
from goldpath.settings import Settings
from goldpath.trust.audit import RENAMED, read_records
from goldpath.trust.audit_record import AuditRecord
from goldpath.trust.signing import Signature, SignatureError

REGISTERED = "registered"
DELETED = "deleted"
RESTORE = "restore its files from a backup, or register the model again: make train-local"


def require_registered(
    version: ModelVersion, signature: Signature, settings: Settings
) -> AuditRecord | None:
    """Refuse a version whose files are not those that were registered under its number.

    Returns:
        The record of the registration; None where another machine's log has it.

    Raises:
        SignatureError: If the digests differ, or the log is damaged and may have lost the record.
    """
    name = f"version {version.version} of {version.name}"
    tag = version.tags.get(DIGEST_TAG)
    if tag and tag != signature.digest:
        raise SignatureError(
            f"{name} is not what was registered: its files have the digest "
            f"{signature.digest[:16]}…, and MLflow's tag {DIGEST_TAG} says {tag[:16]}…",
            RESTORE,
        )
    records, problems = read_records(settings)
    record = registration_of(records, version)
    if record is None and problems:
        raise SignatureError(
            f"the audit log is damaged ({problems[0]}), so it cannot say what was registered as "
            f"{name}",
            "see what is wrong with it: registry audit verify",
        )
    digest = str(record.details.get("digest", "")) if record else ""
    if record and digest and digest != signature.digest:
        raise SignatureError(
            f"{name} is not what was registered: its files have the digest "
            f"{signature.digest[:16]}…, and record {record.sequence} of the audit log says "
            f"{digest[:16]}…",
            RESTORE,
        )
    return record


def registration_of(records: Iterable[AuditRecord], version: ModelVersion) -> AuditRecord | None:
    """The record of the version's registration from its run; None if there is none.

    One log may have the versions of several registries; the run tells equal numbers apart.
    """
    found = [
        record
        for record in registrations(records).get(version.name, ())
        if record.version == version.version and record.details.get("run_id") == version.run_id
    ]
    return found[-1] if found else None


def registrations(records: Iterable[AuditRecord]) -> dict[str, list[AuditRecord]]:
    """Registrations by the name that their model has now; those of deleted versions are gone."""
    found: dict[str, list[AuditRecord]] = {}
    for record in records:
        if record.action == REGISTERED:
            found.setdefault(record.model, []).append(record)
        elif record.action == RENAMED:
            found[record.model] = found.pop(str(record.details.get("before")), [])
        elif record.action == DELETED and record.version is None:
            found.pop(record.model, None)
        elif record.action == DELETED:
            known = found.get(record.model, [])
            found[record.model] = [item for item in known if item.version != record.version]
    return found

"""How a version is laid out in MLflow: its tags, and the files of its run."""

RUN_KEY = "run_key"
SNAPSHOT_TAG = "gold_snapshot"
SEMANTIC_TAG = "semantic_version"
SIGNATURE_TAG = "signature"
DIGEST_TAG = "model_digest"
KEY_TAG = "signed_by"
COMPILED_TAG = "compiled"
ENGINE_TAG = "engine_version"
PROJECT_TAG = "project_version"
CLASSES_TAG = "own_classes"
THRESHOLD_TAG = "decision_threshold"
UNSURE_TAG = "decision_unsure"
GROUPS_TAG = "decision_groups"
INTERVAL_TAG = "prediction_interval"
SEGMENTS_TAG = "highest_segment"

ENGINES_TAGS = frozenset(
    {
        *(RUN_KEY, SNAPSHOT_TAG, SEMANTIC_TAG, SIGNATURE_TAG, DIGEST_TAG, KEY_TAG, COMPILED_TAG),
        *("gold_table", "predictions_digest", "semantic_version_reason", "inputs_digest", "kind"),
        *(
            ENGINE_TAG,
            PROJECT_TAG,
            CLASSES_TAG,
            THRESHOLD_TAG,
            UNSURE_TAG,
            GROUPS_TAG,
            INTERVAL_TAG,
        ),
        SEGMENTS_TAG,
        *("stage", "gate", "gate_checks", "smoke_test", "traffic_share", "traffic_shadow"),
    }
)
"""Tags of runs and versions that the engine sets, so that a project must not."""

MODEL_PATH = "model"
CONTRACT_FILE = "contract.yaml"
REFERENCE_FILE = "drift/reference.parquet"
PROFILE_FILE = "drift/profile.npz"
EVALUATION_FILE = "evaluation.json"
CARD_FILE = "model_card.md"
REPORT_FILE = "validation/validation.json"
REPORT_PAGE = "validation/validation.html"
REPORT_SIGNATURE = "validation/signature.json"

DOCUMENTS = (CARD_FILE, REFERENCE_FILE, PROFILE_FILE)
"""Files of the run that are signed with the version; the gate's report is signed by the gate."""

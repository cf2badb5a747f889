"""How a version is laid out in MLflow: its tags, and the files of its run."""

RUN_KEY = "run_key"
SNAPSHOT_TAG = "gold_snapshot"
SEMANTIC_TAG = "semantic_version"
SIGNATURE_TAG = "signature"
DIGEST_TAG = "model_digest"
KEY_TAG = "signed_by"
COMPILED_TAG = "compiled"

MODEL_PATH = "model"
CONTRACT_FILE = "contract.yaml"
REFERENCE_FILE = "drift/reference.parquet"

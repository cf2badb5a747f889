"""Check every answer before a file is written; list all that is wrong, with what to type instead.

Cookiecutter renders this file and runs it in the new, still empty folder, which it removes where
this exits with 1. A `repo_name` that is not the name of one folder would leave a folder behind, so
`__folder` in cookiecutter.json refuses it earlier. Standard library only, Python 3.9, no network.
"""

import ipaddress
import json
import keyword
import os
import pkgutil
import re
import sys
import unicodedata
from difflib import get_close_matches

LICENSES = ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary")
PYTHON_VERSIONS = ("3.11", "3.12", "3.13")
# Regions are added every year, so the pattern decides; the list only helps to mend a slip.
AWS_REGION = re.compile(
    r"(af|ap|ca|cn|eu|il|me|mx|sa|us|us-gov|us-isob?|eusc-de)"
    r"-(central|(north|south)?(east|west)|north|south)-[1-9][0-9]?"
)
KNOWN_REGIONS = (
    "us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 ca-west-1 mx-central-1 sa-east-1 "
    "eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 "
    "af-south-1 il-central-1 me-central-1 me-south-1 ap-east-1 ap-northeast-1 ap-northeast-2 "
    "ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 ap-southeast-3 "
    "ap-southeast-4 cn-north-1 cn-northwest-1 us-gov-east-1 us-gov-west-1"
).split()
STANDARD_LIBRARY = set(sys.builtin_module_names) | set(
    getattr(sys, "stdlib_module_names", ())  # Python 3.10
    or (module.name for module in pkgutil.iter_modules([os.path.dirname(os.__file__)]))
)
LONGEST_NAME = 60  # of the project and its folder
# `from PACKAGE.pipelines.data_engineering import (` inside a function fits into a line of 100.
LONGEST_PACKAGE = 50
KEYWORDS = set(keyword.kwlist) | {"_", "case", "match", "type"}
# A package of one of these names would be imported in place of the library, or of a folder.
TAKEN = set(
    (
        "airflow alembic altair anyio argon2 arrow attr attrs audit automl azure bandit "
        "bootstrap boto3 botocore build cachetools catboost certifi cffi cfnlint "
        "check_jsonschema click cloudpickle config confluent_kafka conftest connexion "
        "coverage cryptography dags data databricks demo dist docker docs dotenv duckdb "
        "evidently examples fairlearn faker fastapi flask flask_appbuilder goldpath google "
        "grimp grpc grpcio gunicorn h11 hatchling holidays hooks httpcore httpx hypothesis ibis "
        "idna importlinter infra jinja2 joblib jose jwt kubernetes lake lightgbm logs lxml main "
        "mako markdown matplotlib mlflow moto msgspec multipart mypy notebooks numpy "
        "opentelemetry optuna package packaging pandas pandas_stubs pandera pendulum pip "
        "pip_audit pkg_resources playwright plotly polars pre_commit prettytable project "
        "prometheus_client protobuf psutil psycopg pwdlib pyarrow pyathena pydantic "
        "pydantic_core pydantic_settings pygments pyiceberg pyparsing pytest pytest_cov "
        "python python_dotenv pytz pyyaml ray redis reports requests requirements rich ruff run "
        "schemathesis scikit_learn scipy scripts semver setup setuptools shap six skinny "
        "skl2onnx sklearn skops sqlalchemy sqlglot sqlparse src starlette steps structlog "
        "tabulate tenacity test tests threadpoolctl torch tqdm typer typing_extensions "
        "tzdata ujson urllib3 uv uvicorn uvloop vendor virtualenv waitress watchfiles "
        "websockets werkzeug wheel xdist xgboost xgboost_cpu yaml"
    ).split()
)


def one_line(value, longest):
    """What is wrong with a line of free text, and the text mended; None where it is fine."""
    # Doubled braces would be read as template code by the tools that render the project's files.
    cleaned = "".join(" " if is_control(letter) else letter for letter in value)
    mended = " ".join(re.sub("[{]+[%#]?", "{", cleaned).split())
    # Cookiecutter writes None for a key of ~/.cookiecutterrc that has no value.
    if mended in ("", "None"):
        return "is empty", None
    if any(is_control(letter) for letter in value):
        return "has a line break or another control character in it", mended[:longest]
    if mended != value:
        problem = "has spaces at an end or several in a row, or braces that templates use"
        return problem, mended[:longest]
    if len(value) > longest:
        return f"has {len(value)} characters, {longest} at most", mended[:longest].rstrip()
    return None


def is_control(letter):
    """Control and invisible formatting characters, line separators and halves of characters."""
    joiner = "\u200d"  # part of many emoji
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter != joiner


def slug(value, separator):
    """The nearest text of lower-case ASCII letters and digits between separators."""
    ascii_text = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", separator, ascii_text.lower()).strip(separator)


def check_project_name(value):
    """A title for people: one line that holds a letter."""
    if problem := one_line(value, LONGEST_NAME):
        return problem[0], problem[1] or "Customer Churn"
    if not any(letter.isalpha() for letter in value):
        return "has no letter in it", f"Project {value}"[:LONGEST_NAME]
    return None


def check_repo_name(value):
    """The folder's and the distribution's name."""
    mended = slug(value, "-")[:LONGEST_NAME].strip("-") or "customer-churn"
    if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value) is None:
        return "must be lower-case letters and digits, with single hyphens between them", mended
    if len(value) > LONGEST_NAME:
        return f"has {len(value)} characters, {LONGEST_NAME} at most", mended
    return None


def check_package_name(value):
    """The name that Python imports."""
    mended = slug(value, "_").lstrip("0123456789_")[:LONGEST_PACKAGE].strip("_")
    mended = mended or "customer_churn"
    if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", value) is None:
        problem = "must be lower-case letters, digits and single underscores, a letter first"
    elif len(value) > LONGEST_PACKAGE:
        problem = f"has {len(value)} characters, {LONGEST_PACKAGE} at most"
    elif value in KEYWORDS:
        problem = "is a keyword of Python"
    elif value in STANDARD_LIBRARY:
        problem = "is the name of a module in Python's standard library"
    elif value in TAKEN:
        problem = "is the name of a library or a folder that the project uses"
    else:
        return None
    if mended in KEYWORDS | STANDARD_LIBRARY | TAKEN:
        mended = f"{mended[: LONGEST_PACKAGE - 6]}_model"
    return problem, mended


def check_description(value):
    """One sentence."""
    if problem := one_line(value, 200):
        return problem[0], problem[1] or "Predicts which customers leave, for the retention team."
    return None


def check_author_name(value):
    """A person or a team."""
    if problem := one_line(value, 80):
        return problem[0], problem[1] or "Data Team"
    return None


def check_author_email(value):
    """An address that package metadata accepts."""
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    local = r"[A-Za-z0-9!#$%&'*+/=?^_`|~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`|~-]+)*"
    if re.fullmatch(rf"{local}@({label}\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]", value) is None:
        return "is not an e-mail address, such as name@example.com", mended_email(value)
    if len(value) > 254 or value.index("@") > 64:
        return "is longer than e-mail allows (64 before the @, 254 in all)", "name@example.com"
    return None


def mended_email(value):
    """The nearest address that could be meant."""
    name, _, domain = value.rpartition("@") if "@" in value else (value, "", "")
    name = slug(name.rsplit("@", 1)[-1].strip().strip("."), ".")[:64] or "name"
    domain = ".".join(filter(None, (slug(part, "-") for part in domain.split("."))))
    return f"{name}@{domain if '.' in domain else 'example.com'}"


def check_license(value):
    """One of the four."""
    return one_of(value, LICENSES)


def check_python_version(value):
    """One of the three."""
    return one_of(value, PYTHON_VERSIONS)


def one_of(value, choices):
    """The nearest choice, where the value is none of them."""
    if value in choices:
        return None
    lower = {choice.lower(): choice for choice in choices}
    nearest = get_close_matches(value.lower(), lower, 1, 0.3) or [choices[0].lower()]
    return f"is not one of {', '.join(choices)}", lower[nearest[0]]


def check_aws_region(value):
    """The code of a region, those of the US government and of China included."""
    if AWS_REGION.fullmatch(value):
        return None
    nearest = get_close_matches(slug(value, "-"), KNOWN_REGIONS, 1, 0.6) or ["us-east-1"]
    return "is not the code of an AWS region", nearest[0]


def check_s3_bucket(value):
    """Amazon's rules for the name of a general purpose bucket."""
    problem = None
    reserved_start = next(
        (p for p in ("xn--", "sthree-", "amzn-s3-demo-") if value.startswith(p)), ""
    )
    reserved_end = next(
        (s for s in ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3") if value.endswith(s)),
        "",
    )
    if not 3 <= len(value) <= 63:
        problem = f"has {len(value)} characters; a bucket has 3 to 63"
    elif re.fullmatch(r"[a-z0-9][a-z0-9.-]*[a-z0-9]", value) is None:
        problem = (
            "must be lower-case letters, digits, hyphens and dots, a letter or digit at both ends"
        )
    elif ".." in value or ".-" in value or "-." in value:
        problem = "has a dot beside another dot or a hyphen"
    elif is_ip_address(value):
        problem = "looks like an IP address"
    elif reserved_start or reserved_end:
        problem = f"has {reserved_start or reserved_end!r}, which Amazon keeps for itself"
    if problem is None:
        return None
    mended = value[len(reserved_start) :]
    mended = mended[: len(mended) - len(reserved_end)] if reserved_end else mended
    mended = slug(mended, "-")[:58].strip("-")
    return problem, mended if len(mended) >= 3 and mended != value else f"{mended}-lake".lstrip("-")


def is_ip_address(value):
    """Whether the text reads as an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


CHECKS = {
    "project_name": check_project_name,
    "repo_name": check_repo_name,
    "package_name": check_package_name,
    "description": check_description,
    "author_name": check_author_name,
    "author_email": check_author_email,
    "license": check_license,
    "python_version": check_python_version,
    "aws_region": check_aws_region,
    "s3_bucket": check_s3_bucket,
}


def complaints(answers):
    """One paragraph for each answer that will not do."""
    found = []
    for prompt, check in CHECKS.items():
        value = str(answers.get(prompt, ""))
        if problem := check(value):
            what, instead = problem
            shown = json.dumps(
                value if len(value) <= 80 else value[:77] + "...", ensure_ascii=False
            )
            found.append(f"  {prompt}: {shown} {what}.\n    Type instead: {instead}")
    return found


def main():
    """Exit with 1 where an answer is bad."""
    # tojson escapes single quotes, line breaks and what is not ASCII: no answer ends this string.
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    found = complaints(answers)
    if found:
        count = "1 answer needs" if len(found) == 1 else f"{len(found)} answers need"
        text = f"\nNothing was created: {count} another value.\n\n" + "\n".join(found)
        sys.stderr.reconfigure(errors="backslashreplace")
        print(
            f"{text}\n\n(What follows is Cookiecutter's own report of the stop.)", file=sys.stderr
        )
        sys.exit(1)


if __name__ == "__main__":
    main()

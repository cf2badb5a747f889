"""A project for `init-aws`: the template, and names that no other test has."""

import shutil
from typing import Any
from uuid import uuid4

from goldpath.services.aws_stack import TEMPLATE
from goldpath.settings import AwsSettings, Settings

from .locations import PROJECT

REGION = "us-east-1"


def with_template(settings: Settings, **changes: Any) -> Settings:
    """The settings with new names, and the template in their folder."""
    file = settings.root / TEMPLATE
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROJECT / TEMPLATE, file)
    mark = uuid4().hex[:10]
    names = {
        "region": REGION,
        "bucket": f"lake-{mark}",
        "glue_database": f"lake_{mark}",
        "athena_workgroup": f"group-{mark}",
        "online_table": f"online-{mark}",
        "stack": f"stack-{mark}",
    }
    return with_aws(settings, **{**names, **changes})


def with_aws(settings: Settings, **changes: Any) -> Settings:
    """The settings with some of AWS's changed."""
    values = {**aws_of(settings).model_dump(), **changes}
    return settings.model_copy(update={"aws": AwsSettings(**values)})


def aws_of(settings: Settings) -> AwsSettings:
    """The names and limits of the resources."""
    assert settings.aws is not None
    return settings.aws


def as_list(value: str | list[str]) -> list[str]:
    """Actions and resources of a policy, which may be one or several."""
    return [value] if isinstance(value, str) else value

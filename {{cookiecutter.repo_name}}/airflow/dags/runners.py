"""Where a command of the project runs: here, in a container of Docker, on ECS or on Kubernetes.

PIPELINE_RUNNER chooses, else `runner` of config/airflow.yaml. What a runner needs (image, cluster,
resources, roles) stands there under its name. A provider is imported where its runner is chosen,
and nowhere else: requirements/airflow.in has none of them.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow.sdk import Asset, BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

# The commands' exit codes: the work was done before, a check says no, and too few rows.
NOTHING_TO_DO, CHECK_SAYS_NO, NOT_ENOUGH_DATA = 99, 1, 3
# As each operator says it.
SAID_NO = re.compile(rf"(exit[ _]?code|statuscode)\W+{CHECK_SAYS_NO}\b", re.IGNORECASE)

RUN_ID_VARIABLE = "AIRFLOW_CTX_DAG_RUN_ID"
# Which model a command is about; empty: the main one.
MODEL_VARIABLE = "MLOPS_MODEL"
# The parameters of a period: its first day, and the first day after it.
FIRST, AFTER = "from", "to"
XCOM_FILE = "/airflow/xcom/return.json"


@dataclass(frozen=True)
class Runner:
    """A way of running a command.

    Attributes:
        operator: The operator of Airflow.
        options: From the task's name and the command's line, the operator's options.
        hand_over: Gives the operator the command's variables, before it starts.
        name: As config/airflow.yaml calls it.
        shares_folders: Whether a command finds what the one before it left in reports/ and audit/.
    """

    operator: type
    options: Callable[[str, str], dict[str, Any]]
    hand_over: Callable[[Any, dict[str, str]], None]
    name: str = "local"
    shares_folders: bool = True


class Command(BaseOperator):
    """A command of the project. A run that is asked for what its DAG does not know fails here.

    Attributes:
        by_hand: The command with a run's values, as a shell takes it; empty before it runs.
        told_by: The alert of Prometheus that tells of the verdict that it failed with.
    """

    by_hand = ""
    told_by = ""
    runner_name = "local"
    shares_folders = True

    def __init__(
        self,
        *,
        words: Sequence[str],
        optional: Mapping[str, str],
        variables: Mapping[str, str],
        verdict_alert: str = "",
        only_if: str = "",
        backfills: bool = True,
        skips_backfills: bool = False,
        leaves_report: bool = False,
        renews: Mapping[str, Asset] | None = None,
        **options: Any,
    ) -> None:
        if renews:  # not else: a task that is mapped brings its own, empty ones
            options["outlets"] = list(renews.values())
        super().__init__(**options)
        self.words = words
        self.optional = optional
        self.variables = variables
        self.verdict_alert = verdict_alert
        self.only_if = only_if
        self.backfills = backfills
        self.skips_backfills = skips_backfills
        self.leaves_report = leaves_report
        self.renews = renews or {}

    def admit(self, context: Context) -> None:
        """Refuse or skip a run that cannot be what was asked for.

        Raises:
            AirflowFailException: If it cannot be; it is not tried again.
            AirflowSkipException: If the parameter `only_if` is off, or a backfill skips it.
        """
        run, known = context["dag_run"], sorted(context["dag"].params)
        if unknown := sorted(set(run.conf or {}) - set(known)):
            raise AirflowFailException(
                f"conf has {', '.join(unknown)}, which {context['dag'].dag_id} does not know; "
                f"it knows {', '.join(known) or 'no parameters'}"
            )
        if has_period(context["dag"].params):
            require_whole_period(context["params"])
        if self.leaves_report and not self.shares_folders:
            raise AirflowFailException(
                f"the runner {self.runner_name} leaves reports/ and audit/ in each ended "
                "container: the next task would find no verdict, and no earlier retraining, by "
                "which cooldown and budget are counted. Give the tasks volumes for both and say "
                f"so, shared_folders: true below {self.runner_name} in config/airflow.yaml "
                "(docs/airflow.md, Where the commands run); or run them here, runner: local"
            )
        if run.run_type == "backfill" and not self.backfills:
            raise AirflowFailException(
                f"{self.task_id} works on what is there now, whatever the interval: a backfill "
                "would do the same again for each; backfill data_pipeline, then run this once"
            )
        if run.run_type == "backfill" and self.skips_backfills:
            raise AirflowSkipException("a backfill is about the past, and this about what is new")
        if self.only_if and not context["params"][self.only_if]:
            raise AirflowSkipException(f"the parameter {self.only_if} is off")

    def work(self, context: Context, of_operator: Callable[..., Any], *event: Any) -> Any:
        """Let the operator run the command, or end it; where it fails, the log says it by hand."""
        # What is empty leaves the outer environment as it is; of the main model, whose name is
        # empty, it must not: MLOPS_MODEL there, or in .env, would make another model's task of it.
        given = self.variables.items()
        known = {name: value for name, value in given if value or name == MODEL_VARIABLE}
        known[RUN_ID_VARIABLE] = str(context["dag_run"].run_id)
        self.by_hand = self.said_by_hand(known)
        self.hand_over(self, known)
        try:
            result = of_operator(context, *event)
        except (AirflowSkipException, TaskDeferred):
            raise
        except BaseException as error:  # Airflow's timeout is no Exception
            # The alert is made from a report, which may have ended with its container.
            if self.shares_folders and SAID_NO.search(str(error)):
                self.told_by = self.verdict_alert
            # The traceback is Airflow's to log.
            self.log.error("By hand, in the project's folder: %s", self.by_hand)  # noqa: TRY400
            raise
        values = read_result(result)
        for key, asset in self.renews.items():
            *path, last = key.split(".")
            found = values
            for part in path:
                found = found[part]
            context["outlet_events"][asset].extra = {last: found[last]}
        return values

    def said_by_hand(self, known: Mapping[str, str]) -> str:
        """The command with these values, as a shell takes it."""
        words = [known.get(word[1:], word) if word[0] == "$" else word for word in self.words]
        for option, name in self.optional.items():
            words += [option, known[name]] if name in known else []
        own = {name: value for name, value in known.items() if name.startswith("MLOPS_") and value}
        return " ".join([*(f"{name}={shlex.quote(own[name])}" for name in own), shlex.join(words)])


def step_class(runner: Runner) -> Any:
    """The class of a runner's tasks."""
    base: Any = runner.operator

    class Step(Command, base):
        __qualname__ = "Step"  # as logs name it
        template_fields = (*base.template_fields, "variables")
        hand_over = staticmethod(runner.hand_over)
        runner_name = runner.name
        shares_folders = runner.shares_folders

        def __init__(self, **options: Any) -> None:  # of its own: Airflow wraps it
            super().__init__(**options)

        def execute(self, context: Context) -> Any:
            """Run the command, where the run's parameters ask for it."""
            self.admit(context)
            return self.work(context, super().execute)

        # Where an operator waits without a worker, it ends in one of these: ECS', Kubernetes'.
        def execute_complete(self, context: Context, event: Any = None) -> Any:
            return self.work(context, super().execute_complete, event)

        def trigger_reentry(self, context: Context, event: Any) -> Any:
            return self.work(context, super().trigger_reentry, event)

    return Step


def chosen_runner(settings: Mapping[str, Any], root: str) -> Runner:
    """The runner that PIPELINE_RUNNER names, else `runner` of config/airflow.yaml.

    Args:
        settings: The file's values.
        root: The project's folder, for commands that run here.

    Raises:
        ValueError: If there is no such runner, or its settings lack what it needs.
    """
    name = os.environ.get("PIPELINE_RUNNER") or settings.get("runner") or "local"
    if name == "local":
        return local(root)
    known = {"docker": docker, "ecs": ecs, "kubernetes": kubernetes}
    if name not in known:
        raise ValueError(f"PIPELINE_RUNNER is {name}; it can be local, {', '.join(known)}")
    own = settings.get(name) or {}
    if missing := [key for key in NEEDED[name] if not own.get(key)]:
        raise ValueError(f"config/airflow.yaml: {name} lacks {', '.join(missing)}")
    shared = bool(own.get("shared_folders"))
    return replace(known[name](own), name=name, shares_folders=shared)


NEEDED = {
    "docker": ("image",),
    "ecs": ("cluster", "task_definition", "container", "subnets"),
    "kubernetes": ("image", "namespace"),
}


def local(root: str) -> Runner:
    """By the project's own Python, beside Airflow."""
    from airflow.providers.standard.operators.bash import BashOperator

    def options(_: str, line: str) -> dict[str, Any]:
        return {"bash_command": line, "cwd": root, "env": {}, "append_env": True}

    def hand_over(task: Any, variables: dict[str, str]) -> None:
        task.env = variables

    return Runner(BashOperator, options, hand_over)


def docker(own: Mapping[str, Any]) -> Runner:
    """In a new container of this machine's Docker."""
    from airflow.providers.docker.operators.docker import DockerOperator
    from docker.types import Mount

    def options(_: str, line: str) -> dict[str, Any]:
        mounts = [each.split(":") for each in own.get("mounts") or []]
        return {
            "image": own["image"],
            "entrypoint": ["sh", "-c"],
            "command": [in_project(line)],
            "network_mode": own.get("network"),
            "mounts": [Mount(target, source, type="bind") for source, target in mounts],
            "mount_tmp_dir": False,
            "auto_remove": "force",
        }

    def hand_over(task: Any, variables: dict[str, str]) -> None:
        passed = {name: os.environ[name] for name in own.get("pass_on") or [] if name in os.environ}
        task.environment = passed | variables

    return Runner(DockerOperator, options, hand_over)


def ecs(own: Mapping[str, Any]) -> Runner:
    """As a task of ECS; Airflow's triggerer waits for its end."""
    from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator

    def options(_: str, line: str) -> dict[str, Any]:
        container = {"name": own["container"], "command": ["sh", "-c", in_project(line)]}
        network = {
            "subnets": own["subnets"],
            "securityGroups": own.get("security_groups") or [],
            "assignPublicIp": "ENABLED" if own.get("public_ip") else "DISABLED",
        }
        roles = {"taskRoleArn": own["task_role"]} if own.get("task_role") else {}
        sizes = {key: str(own[key]) for key in ("cpu", "memory") if own.get(key)}
        return {
            "cluster": own["cluster"],
            "task_definition": own["task_definition"],
            "launch_type": own.get("launch_type") or "FARGATE",
            "overrides": {"containerOverrides": [container], **roles, **sizes},
            "network_configuration": {"awsvpcConfiguration": network},
            "container_name": own["container"],
            "awslogs_group": own.get("log_group"),
            "awslogs_stream_prefix": own.get("log_prefix"),
            "region_name": own.get("region"),
            "reattach": True,
            "deferrable": True,
        }

    def hand_over(task: Any, variables: dict[str, str]) -> None:
        listed = [{"name": name, "value": value} for name, value in variables.items()]
        task.overrides["containerOverrides"][0]["environment"] = listed

    return Runner(EcsRunTaskOperator, options, hand_over)


def kubernetes(own: Mapping[str, Any]) -> Runner:
    """In a pod of its own; Airflow's triggerer waits for its end."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import models

    def claimed(volumes: Sequence[str]) -> dict[str, Any]:
        pairs = [each.split(":") for each in volumes]
        source = models.V1PersistentVolumeClaimVolumeSource
        return {
            "volumes": [
                models.V1Volume(name=claim, persistent_volume_claim=source(claim_name=claim))
                for claim, _ in pairs
            ],
            "volume_mounts": [
                models.V1VolumeMount(name=claim, mount_path=path) for claim, path in pairs
            ],
        }

    def options(task_id: str, line: str) -> dict[str, Any]:
        wanted = {key: str(own[key]) for key in ("cpu", "memory") if own.get(key)}
        secrets = [models.V1SecretEnvSource(name=name) for name in own.get("secrets") or []]
        return {
            "name": task_id.replace("_", "-"),
            "namespace": own["namespace"],
            "image": own["image"],
            "cmds": ["sh", "-c"],
            "arguments": [with_result(in_project(line))],
            "service_account_name": own.get("service_account"),
            "container_resources": models.V1ResourceRequirements(
                requests=wanted or None, limits=wanted or None
            ),
            "env_from": [models.V1EnvFromSource(secret_ref=secret) for secret in secrets],
            **claimed(own.get("volumes") or []),
            "do_xcom_push": True,
            "on_finish_action": "delete_pod",
            "deferrable": True,
        }

    def hand_over(task: Any, variables: dict[str, str]) -> None:
        task.env_vars = [models.V1EnvVar(name=name, value=variables[name]) for name in variables]

    return Runner(KubernetesPodOperator, options, hand_over)


def has_period(params: Any) -> bool:
    """Whether a DAG's parameters of these names are days; in a team's own they may be anything."""
    return all(
        name in params and params.get_param(name).schema.get("format") == "date"
        for name in (FIRST, AFTER)
    )


def require_whole_period(params: Mapping[str, Any]) -> None:
    """Refuse a period that lacks an end, which the command would refuse again at each retry.

    Raises:
        AirflowFailException: Names the parameter, its value and what belongs there.
    """
    first, after = params.get(FIRST), params.get(AFTER)
    if bool(first) != bool(after):
        given, lacks = (FIRST, AFTER) if first else (AFTER, FIRST)
        raise AirflowFailException(
            f"{given} is {first or after} and {lacks} is empty: a period has both. {FIRST} is its "
            f"first day and {AFTER} the first day after it; both empty: what changed"
        )
    if first and after and first >= after:
        raise AirflowFailException(
            f"{FIRST} is {first} and {AFTER} is {after}: {AFTER} is the first day after the "
            f"period, so it is later than {FIRST}"
        )


def in_project(line: str) -> str:
    """A line for the project's image, which says where the project is: PROJECT_ROOT."""
    return 'cd "${PROJECT_ROOT:-.}" && ' + line


def with_result(line: str) -> str:
    """A line that leaves its last line of output where a pod's sidecar reads the result."""
    return (
        f"({line}) > /tmp/result; code=$?; cat /tmp/result; "
        f"tail -n 1 /tmp/result | grep . > {XCOM_FILE} || echo null > {XCOM_FILE}; exit $code"
    )


def read_result(result: Any) -> Any:
    """A command's last line as a value; as text where something was printed after the result."""
    if not isinstance(result, str):
        return result
    try:
        return json.loads(result)
    except ValueError:
        return result

# Airflow in its own environment, beside the environment that runs the project's commands.
#
# They must not share one: Airflow pins FastAPI below the version that the project locks, and a resolver
# that may choose falls back to an older Airflow without a word. The DAGs call PROJECT_PYTHON.
FROM python:{{ cookiecutter.python_version }}-slim AS environments
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/airflow && python -m venv /opt/environment
COPY requirements/airflow.txt requirements/monitoring.txt /tmp/requirements/
RUN /opt/airflow/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements/airflow.txt
# requirements/monitoring.txt is core (data, training, batch), Evidently (drift-check) and the service,
# which a candidate is tried behind before it becomes the champion.
RUN /opt/environment/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements/monitoring.txt
# The engine: the wheel in vendor/ and no other. `pip check` says where the lock no longer fits it.
COPY requirements/engine.txt /tmp/requirements/
COPY vendor /tmp/vendor
RUN /opt/environment/bin/pip install --require-hashes --no-deps -r /tmp/requirements/engine.txt && /opt/environment/bin/pip check
RUN echo /app/src > "$(/opt/environment/bin/python -c 'import site; print(site.getsitepackages()[0])')/project.pth"

FROM python:{{ cookiecutter.python_version }}-slim
# LightGBM is linked against GNU's OpenMP, which the slim image lacks.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin app
WORKDIR /app
COPY --from=environments /opt/airflow /opt/airflow
COPY --from=environments /opt/environment /opt/environment
COPY airflow/dags airflow/dags
COPY config config
# models/ is there only where the project has further models: a pattern may match nothing beside a file that exists.
COPY config/project.yaml model[s] models/
COPY src src
COPY infra/docker/airflow-entrypoint.sh infra/docker/airflow-health.sh /usr/local/bin/
# The official Helm chart asks for a pod's health by this name.
RUN chmod a+rx /usr/local/bin/airflow-entrypoint.sh && ln -s /usr/local/bin/airflow-entrypoint.sh /entrypoint
# What tasks write; a named volume takes the owner of the folder that it is mounted over.
RUN rm models/project.yaml && chmod -R a+rX airflow config models src && folders=".airflow .secrets audit data/sample keys lake logs mlflow reports run" && mkdir -p $folders && chown app:app $folders
ENV PATH=/opt/airflow/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GIT_PYTHON_REFRESH=quiet \
    DO_NOT_TRACK=true \
    MLOPS_ROOT=/app \
    PROJECT_ROOT=/app \
    PROJECT_PYTHON=/opt/environment/bin/python \
    AIRFLOW_HOME=/app/.airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/app/airflow/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=/app/.airflow/passwords.json \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
USER app
# Not /app: Python would find its folder `airflow` there.
WORKDIR /app/.airflow
EXPOSE 8080
# Which process a container runs, and how its health is asked, stands in compose.yaml.
# On SIGTERM, Airflow's children outlive it; on Ctrl-C's signal they end cleanly.
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/usr/local/bin/airflow-entrypoint.sh"]
CMD ["airflow", "api-server"]

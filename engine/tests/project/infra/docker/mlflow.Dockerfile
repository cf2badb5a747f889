# MLflow's server: tracking and registry in one SQLite file, artifacts beside it, both in the volume /mlflow.
FROM python:3.11-slim AS environment
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/environment
COPY requirements/core.txt /tmp/requirements/
RUN /opt/environment/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements/core.txt

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin app && mkdir /mlflow && chown app:app /mlflow
COPY --from=environment /opt/environment /opt/environment
# Job execution would start eight more processes (1.1 GB instead of 0.5) for features that are not used here.
ENV PATH=/opt/environment/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GIT_PYTHON_REFRESH=quiet \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
USER app
WORKDIR /mlflow
VOLUME /mlflow
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/health', timeout=4)"]
# MLflow refuses unknown Host headers, and a compose service name is one: the API and Airflow say `mlflow:5000`.
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "2", \
     "--backend-store-uri", "sqlite:////mlflow/mlflow.db", \
     "--artifacts-destination", "/mlflow/artifacts", \
     "--allowed-hosts", "mlflow:5000,localhost,localhost:*,127.0.0.1,127.0.0.1:*"]

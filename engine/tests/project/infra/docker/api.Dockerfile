# The HTTP service: requirements/serving.txt, the engine and the project's source, nothing else.
FROM python:3.11-slim AS environment
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# The kernel that scores compiled models is built here: the service's own image has no compiler.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/environment
COPY requirements/serving.txt /tmp/requirements/
RUN /opt/environment/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements/serving.txt
# The engine: the wheel in vendor/ and no other. `pip check` says where the lock no longer fits it.
COPY requirements/engine.txt /tmp/requirements/
COPY vendor /tmp/vendor
RUN /opt/environment/bin/pip install --require-hashes --no-deps -r /tmp/requirements/engine.txt && /opt/environment/bin/pip check
# The project is found by a path file: building a package of it would fetch a backend without a hash.
RUN echo /app/src > "$(/opt/environment/bin/python -c 'import site; print(site.getsitepackages()[0])')/project.pth"
RUN /opt/environment/bin/python -m goldpath.compiled.native /opt/kernels

FROM python:3.11-slim
# LightGBM is linked against GNU's OpenMP, which the slim image lacks.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin app
WORKDIR /app
COPY --from=environment /opt/environment /opt/environment
COPY config config
# models/ is there only where the project has further models: a pattern may match nothing beside a file that exists.
COPY config/project.yaml model[s] models/
COPY src src
# What the service writes. A named volume takes the owner of the folder that it is mounted over.
# Commands write for their own user only, also below config/; here another user has to read it.
RUN rm models/project.yaml && chmod -R a+rX config models src && python -m compileall -q src && mkdir -p .secrets keys logs reports run/prometheus && chmod 700 .secrets run/prometheus && chown app:app .secrets keys logs reports run run/prometheus
COPY --from=environment --chown=app:app /opt/kernels run/kernels
ENV PATH=/opt/environment/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GIT_PYTHON_REFRESH=quiet \
    MLOPS_ROOT=/app \
    MLOPS_ENVIRONMENT=production \
    MLOPS_SERVING__HOST=0.0.0.0 \
    MLOPS_SERVING__PORT=8000
# docker build --build-arg GIT_COMMIT=$(git rev-parse HEAD): `GET /version` shows it.
ARG GIT_COMMIT=
ENV GIT_COMMIT=$GIT_COMMIT
USER app
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "goldpath.serving.process.health"]
CMD ["python", "-m", "customer_churn", "serve", "--production"]

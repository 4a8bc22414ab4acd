# One image for searches, the endpoint and MLflow. It has the pinned package versions and does not run as root.
#
# Build from the project's folder:
#     docker build --tag raygenre:0.2.0-ray2.60.0-cuda .
#     docker build --build-arg ACCELERATOR=cpu --build-arg TORCH_INDEX=URL --tag raygenre:0.2.0-ray2.60.0-cpu .
# The first image includes CUDA and is several GB larger. For the second one, take the URL of PyTorch's CPU builds from
# its installation page.
#
# Run the endpoint on one machine without Kubernetes; ./results must belong to uid 10001 and contain a champion:
#     docker run --read-only --tmpfs /tmp --tmpfs /home/raygenre --shm-size 1g --volume ./results:/results \
#         --publish 127.0.0.1:8000:8000 --env RAYGENRE_API_KEYS raygenre:0.2.0-ray2.60.0-cpu
# To pin the base image, look up its digest in its registry and build with:
#     --build-arg PYTHON=3.11-slim-bookworm@sha256:DIGEST
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ARG ACCELERATOR=cuda
ARG TORCH_INDEX
WORKDIR /app
RUN python -m venv /opt/raygenre
ENV PATH=/opt/raygenre/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt pyproject.toml ./
# torch is installed before the code is copied, so that it is not downloaded again whenever the code changes.
RUN case "$ACCELERATOR" in \
        cuda) pip install --constraint constraints.txt torch torchvision ;; \
        cpu) pip install --constraint constraints.txt torch torchvision \
            --extra-index-url "${TORCH_INDEX:?must be the URL of PyTorch builds without CUDA}" ;; \
        *) echo "ACCELERATOR must be cpu or cuda, not $ACCELERATOR" >&2; exit 1 ;; \
    esac
COPY LICENSE README.md ./
COPY raygenre raygenre
COPY serve serve
RUN pip install --constraint constraints.txt '.[servers]' 'mlflow[auth]' \
    && ln -s "$(cd / && python -c 'import serve.network; print(*serve.network.__path__)')/haproxy.sh" \
        /opt/raygenre/bin/raygenre-haproxy
# The pretrained network is never written to again, so it needs no volume and works with a read-only root.
RUN RAYGENRE_CACHE=/opt/raygenre/cache raygenre pretrained install

FROM python:${PYTHON}
RUN groupadd --gid 10001 raygenre && useradd --uid 10001 --gid 10001 --create-home raygenre \
    && mkdir /results && chown 10001:10001 /results \
    && echo 'export PATH=/opt/raygenre/bin:$PATH' > /etc/profile.d/raygenre.sh  # for login shells, which reset PATH
COPY --from=build /opt/raygenre /opt/raygenre
WORKDIR /app
COPY experiments experiments
COPY k8s/__init__.py k8s/study_exists.py k8s/begin_or_resume.sh k8s/
COPY serve/public.yaml public.yaml
ENV PATH=/opt/raygenre/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RAYGENRE_STORAGE=/results \
    RAYGENRE_CACHE=/opt/raygenre/cache \
    RAY_SERVE_ENABLE_HA_PROXY=1 \
    RAY_SERVE_HAPROXY_BINARY_PATH=/opt/raygenre/bin/raygenre-haproxy \
    RAY_SERVE_HAPROXY_NBTHREAD=2 \
    RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S=3 \
    RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD=0 \
    MALLOC_ARENA_MAX=2 \
    GOMP_SPINCOUNT=10000 \
    RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S=0.5 \
    RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S=5 \
    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.network.proxy_middleware.middlewares \
    RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
EXPOSE 8000
# For the endpoint without Kubernetes; Kubernetes ignores this check and uses its own probes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["serve", "run", "--address", "local", "public.yaml"]

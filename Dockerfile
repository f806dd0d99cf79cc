# Kinora in a container. For an NVIDIA GPU:  docker build --build-arg TORCH=cuda .
#
#   docker run -p 127.0.0.1:7860:7860 -v kinora:/data kinora        the page and the API
#   docker run -e REDIS_URL=redis://... -v kinora:/data kinora worker
#
# Server and worker use the same image. torch's package for Linux contains CUDA, so both builds have
# the same slim base; the GPU driver comes from the host.
FROM python:3.12-slim-bookworm

ARG TORCH=cpu
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# Debian's mirrors keep only the newest version of a package, so pinning one would break the build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg curl tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 kinora \
    && useradd --create-home --uid 1000 --gid 1000 kinora \
    && install -d -o kinora -g kinora /data

WORKDIR /app
# Hash-pinned by `make lock`; torch separately, because its CPU build is on another index
COPY docker/base.lock docker/torch-cpu.lock docker/torch-cuda.lock docker/
RUN pip install --require-hashes --no-deps -r docker/base.lock
RUN if [ "$TORCH" = cpu ]; then export PIP_INDEX_URL=https://download.pytorch.org/whl/cpu; fi \
    && pip install --require-hashes --no-deps -r "docker/torch-$TORCH.lock"

COPY . .

# A number, so that orchestrators can verify that it is not root. The code belongs to root.
USER 1000:1000
ENV KINORA_DATA_DIR=/data \
    HF_HOME=/data/hub \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "tools.container_health"]

# tini forwards SIGTERM, so that a worker can finish its clip
ENTRYPOINT ["tini", "--", "python", "app.py"]
CMD ["serve"]

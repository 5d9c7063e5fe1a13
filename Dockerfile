# GenLoop in a container: docs/docker.md says how to build and run it.

FROM python:3.12-slim AS build
# cpu, or cuda for a machine with an NVIDIA GPU.
ARG TORCH=cpu
# The address of PyTorch's CPU index (pytorch.org names it); x86 needs it for cpu.
ARG TORCH_INDEX_URL=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN if [ "$TORCH" = cpu ] && [ -z "$TORCH_INDEX_URL" ] && [ "$(uname -m)" = x86_64 ]; then \
        echo "Give --build-arg TORCH_INDEX_URL=... (the address of PyTorch's CPU index, see" \
             "pytorch.org), or --build-arg TORCH=cuda for a much larger image." >&2; \
        exit 1; \
    fi
RUN ["python", "-m", "venv", "/venv"]
WORKDIR /build
COPY requirements.txt requirements-s3.txt ./
RUN torch=$(grep '^torch==' requirements.txt) \
    && /venv/bin/pip install --no-cache-dir ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} "$torch" \
    && /venv/bin/pip install --no-cache-dir -r requirements.txt -r requirements-s3.txt \
    && /venv/bin/pip uninstall --yes pip
WORKDIR /app
COPY . .
# Compiled here, for the running container cannot write beside its code.
RUN ["/venv/bin/python", "-m", "compileall", "-q", "."]

FROM python:3.12-slim
# What installs packages is not needed any more, and would help an intruder alone.
RUN useradd --create-home --uid 1000 genloop \
    && install --directory --owner=genloop --group=genloop /data \
    && rm -rf /usr/local/lib/python3.12/site-packages/pip* /usr/local/bin/pip* \
        /usr/local/lib/python3.12/ensurepip
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/data/huggingface \
    GRADIO_TEMP_DIR=/tmp/gradio \
    GENLOOP_HOST=0.0.0.0 \
    GENLOOP_PORT=7860 \
    GENLOOP_DATA_DIR=/data
USER 1000
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['GENLOOP_PORT'] + '/health', timeout=4)"]
CMD ["python", "app.py"]

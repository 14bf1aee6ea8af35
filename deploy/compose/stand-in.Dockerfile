# The stand-in platform for trying: the probe's image with what measures parts. Never used for probing.
ARG PROBE_IMAGE=probe-fleet
FROM ${PROBE_IMAGE}
USER root
COPY requirements/dev.lock requirements/dev.lock
RUN .venv/bin/python -m pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: --requirement requirements/dev.lock
COPY fixtures/platform fixtures/platform
USER probe

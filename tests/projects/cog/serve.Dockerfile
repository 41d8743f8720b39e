ARG BASE_IMAGE=python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285
FROM ${BASE_IMAGE}
RUN python3 -m venv /opt/venv
COPY requirements.txt /tmp/
COPY wheels/ /tmp/wheels/
# `harness setup` has fetched the wheels: the build itself needs no network.
RUN /opt/venv/bin/pip install --no-cache-dir --no-index --find-links=/tmp/wheels \
        --require-hashes --requirement=/tmp/requirements.txt
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    COG_PREDICT_TYPE_STUB=run.py:Runner
WORKDIR /src
COPY run.py ./
COPY openapi_schema.json .cog/
RUN mkdir /model && chown 10001:10001 /model
USER 10001:10001
EXPOSE 5000
CMD ["python", "-m", "cog.server.http"]

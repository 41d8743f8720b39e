ARG BASE_IMAGE=python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/venv
COPY requirements.txt /tmp/
COPY wheels/ /tmp/wheels/
# `harness setup` has fetched the wheels: the build itself needs no network.
RUN /opt/venv/bin/pip install --no-cache-dir --no-index --find-links=/tmp/wheels \
        --require-hashes --requirement=/tmp/requirements.txt

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY serve.py ./
RUN mkdir /model && chown 10001:10001 /model
USER 10001:10001
EXPOSE 8080
CMD ["python", "serve.py"]

# One image for every process of TradeSage; docker-compose.yml says which one a container runs.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make gcc libc6-dev libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tradesage \
    && install --directory --owner tradesage /srv/tradesage /var/lib/tradesage
WORKDIR /srv/tradesage
USER tradesage
# The environment first: it changes less often than the code
COPY --chown=tradesage Makefile pyproject.toml requirements.lock README.md ./
COPY --chown=tradesage .ci .ci
COPY --chown=tradesage pipelines/__init__.py pipelines/__init__.py
COPY --chown=tradesage serving/__init__.py serving/__init__.py
RUN make setup
COPY --chown=tradesage . .
# Named volumes take over the owner of what they cover
RUN mkdir -p .dvc/cache data
ENV PATH=/srv/tradesage/.venv/bin:$PATH \
    TRADESAGE_STATE=/var/lib/tradesage \
    NUMBA_CACHE_DIR=/var/lib/tradesage/compiled \
    BENTOML_DO_NOT_TRACK=true \
    PYTHONUNBUFFERED=1

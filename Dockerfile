# One image, one start word per service: `callboard run edge|router|connectors|authsvc|projections`.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m pip install --no-cache-dir uv==0.13.8
COPY pyproject.toml uv.lock README.md ./
RUN UV_PROJECT_ENVIRONMENT=/opt/callboard uv sync --frozen --no-dev --no-install-project --extra demo
COPY libs libs
COPY services services
RUN UV_PROJECT_ENVIRONMENT=/opt/callboard uv sync --frozen --no-dev --no-editable --extra demo

FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --uid 10001 callboard \
    && for name in nats edge router connectors authsvc projections admin; do \
         install -d -m 0700 -o callboard -g callboard /keys/$name; done \
    && chown callboard:callboard /keys && install -d -m 0700 -o callboard -g callboard /data
COPY --from=build /opt/callboard /opt/callboard
ENV PATH=/opt/callboard/bin:$PATH PYTHONUNBUFFERED=1
USER callboard
WORKDIR /data
ENTRYPOINT ["callboard"]
CMD ["--help"]

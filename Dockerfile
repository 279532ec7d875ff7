# One image for all parts; the command says which: portal (default), gateway, worker, poller, agent, or any manage.py
# command.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements-bootstrap.txt requirements.txt ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements-bootstrap.txt \
    && /opt/venv/bin/uv pip install --no-cache --python /opt/venv/bin/python --require-hashes -r requirements.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONUTF8=1 \
    DJANGO_SETTINGS_MODULE=hostedai.settings.prod HOSTEDAI_VAR=/var/lib/hostedai
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core fonts-droid-fallback \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/hostedai --create-home hostedai
WORKDIR /srv/hostedai
COPY --from=build /opt/venv /opt/venv
COPY manage.py ./
COPY hostedai hostedai
COPY celery_worker celery_worker
COPY apps apps
COPY agent agent
COPY templates templates
COPY static static
COPY deploy/entrypoint deploy/healthcheck /usr/local/bin/
RUN SECRET_KEY=build ALLOWED_HOSTS=build DATABASE_URL=postgres://build@build/build REDIS_URL=redis://build \
    python manage.py collectstatic --noinput -v 0 \
    && mkdir -p /var/lib/hostedai/gateway /var/lib/hostedai/agent && chown -R hostedai /var/lib/hostedai
USER hostedai
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["healthcheck"]
ENTRYPOINT ["entrypoint"]
CMD ["portal"]

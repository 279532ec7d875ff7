#!/bin/sh
# Run once by the PostgreSQL image on an empty volume.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$HOSTEDAI_PASSWORD" -U postgres <<'SQL'
CREATE ROLE hostedai LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE hostedai OWNER hostedai TEMPLATE template0 ENCODING 'UTF8';
SQL

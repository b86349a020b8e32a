#!/bin/sh
# The part of the official entry point that the tests and compose files ask for:
# https://github.com/docker-library/docs/blob/master/postgres/README.md#how-to-extend-this-image
set -eu

file_or_value() { # the variable $1, or what stands in the file that $1_FILE names
  eval "file=\${$1_FILE:-} value=\${$1:-}"
  if [ -n "$file" ]; then value=$(cat "$file"); fi
  printf '%s' "$value"
}

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=$(file_or_value POSTGRES_PASSWORD)
  user=$(file_or_value POSTGRES_USER)
  user=${user:-postgres}
  database=$(file_or_value POSTGRES_DB)
  database=${database:-$user}
  if [ -z "$password" ]; then
    echo "Error: Database is uninitialized and superuser password is not specified." >&2
    exit 1
  fi
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  printf '%s\n' "$password" >/tmp/password
  eval "initdb --username=\"\$user\" --pwfile=/tmp/password ${POSTGRES_INITDB_ARGS:-}"
  rm /tmp/password
  printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
  printf "listen_addresses = '*'\n" >>"$PGDATA/postgresql.conf"

  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
  if [ "$database" != postgres ]; then
    psql -v ON_ERROR_STOP=1 --username "$user" --no-password --dbname postgres -c "CREATE DATABASE \"$database\""
  fi
  for script in /docker-entrypoint-initdb.d/*; do
    case "$script" in
      *.sh) . "$script" ;;
      *.sql) psql -v ON_ERROR_STOP=1 --username "$user" --no-password --dbname "$database" -f "$script" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
fi

exec "$@"

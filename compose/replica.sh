#!/bin/sh
# A streaming replica of the service `postgres`: a copy of its data at the first start, whole or not at all, then what
# the command says.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  part=${PGDATA%/*}/part
  rm -rf "$part"
  PGPASSWORD=$(cat /run/secrets/database_password) pg_basebackup --pgdata="$part" --host=postgres \
    --username=postgres --wal-method=stream --checkpoint=fast --write-recovery-conf
  rm -rf "$PGDATA"
  mv "$part" "$PGDATA"
fi
exec "$@"

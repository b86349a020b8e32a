#!/bin/sh
# Secrets come in files: the variable NAME is what stands in the file that NAME_FILE names, for this process and
# those it starts alone. `docker inspect` shows the name of the file.
set -eu
for variable in $(env | sed -n 's/^\(MUL_[A-Z_]*\)_FILE=..*/\1/p'); do
  eval "file=\$${variable}_FILE"
  value=$(cat "$file")
  export "$variable=$value"
done
exec "$@"

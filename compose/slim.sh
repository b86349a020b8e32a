#!/bin/sh
# Takes out of a virtual environment what is there for development alone, then compiles what is left: where the
# file system is read-only Python could not keep what it compiles, and would compile it at every start.
set -eu
venv=$1
"$venv/bin/python" -m pip uninstall --quiet --yes --root-user-action ignore pip setuptools
cd "$venv"/lib/python3*/site-packages
find . -depth -type d \( -name __pycache__ -o -name testing -o -name tests \) -exec rm -rf {} +
find . -type f \( -name '*.a' -o -name '*.c' -o -name '*.h' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.pyx' \) -exec rm -f {} +
# Of Plotly the report needs one file, which it finds by the package's name.
if [ -d plotly ]; then
  find plotly -mindepth 1 -maxdepth 1 ! -name __init__.py ! -name package_data -exec rm -rf {} +
  find plotly/package_data -type f ! -name plotly.min.js -exec rm -f {} +
  rm -rf narwhals
fi
"$venv/bin/python" -m compileall -q --invalidation-mode unchecked-hash .

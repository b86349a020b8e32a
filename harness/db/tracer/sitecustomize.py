"""Python imports this file at start-up because its folder is first on PYTHONPATH: it starts the tracer of a
migration's process, then the `sitecustomize` this one hides, as if ours were not there
(https://docs.python.org/3/library/site.html#module-sitecustomize).

Standard library only, Python 3.9 and later: it runs in the user's interpreter, not in the harness's.
"""

from __future__ import annotations

import os
import sys


def _start_tracer() -> None:
    if not os.environ.get("MUL_TRACE_FILE"):
        return
    try:
        import mul_tracer  # type: ignore[import-not-found] # it lies beside this file

        mul_tracer.start()
    except Exception as error:
        sys.stderr.write(f"migrate-under-load: this process is not traced: {error!r}\n")


def _run_hidden_sitecustomize() -> None:
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path) != here])
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_start_tracer()
_run_hidden_sitecustomize()

"""Locust with the harness in it: any locustfile, unchanged, is a migration test.

`python -m harness.plug_in -f theirs.py …` is `locust -f theirs.py …` after `import harness.locust`,
and what `harness run` starts. In a distributed run every process is started so.
"""

import harness.locust  # noqa: F401, I001 - first: it hangs itself on Locust's events

from locust.main import main

if __name__ == "__main__":
    main()

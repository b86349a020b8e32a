"""a script that cannot be imported"""

revision = "a1"
down_revision = None

import no_such_library  # noqa

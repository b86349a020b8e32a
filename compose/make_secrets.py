"""Makes the stack's secrets, once: `make_secrets.py FOLDER`. Files that are there stay as they are."""

import secrets
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

VALKEY = """\
bind * -::*
requirepass {password}
save ""
appendonly no
maxmemory 64mb
maxmemory-policy volatile-ttl
"""


PGBOUNCER = """\
[databases]
shop = host=postgres port=5432
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/pgbouncer_users
pool_mode = transaction
default_pool_size = 20
max_client_conn = 200
"""


def main() -> None:
    folder = Path(sys.argv[1])
    password = keep(folder / "database_password", secrets.token_urlsafe(24))
    keep(folder / "database_url", f"postgresql://postgres:{password}@postgres/shop")
    keep(folder / "replica_url", f"postgresql://postgres:{password}@replica/shop")
    keep(folder / "pooled_database_url", f"postgresql://postgres:{password}@pgbouncer:6432/shop")
    keep(folder / "pgbouncer_users", f'"postgres" "{password}"\n')
    keep(folder / "pgbouncer.ini", PGBOUNCER.format(folder=folder))
    keep(folder / "auth_database_url", f"postgresql://postgres:{password}@postgres/auth")
    password = keep(folder / "cache_password", secrets.token_urlsafe(24))
    keep(folder / "cache_url", f"redis://:{password}@valkey:6379/0")
    keep(folder / "valkey.conf", VALKEY.format(password=password))
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    keep(folder / "signing_key", pem.decode())


def keep(path: Path, made: str) -> str:
    """What stands in the file, which is made whole or not at all. Every user of the volume may read it."""
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(made, encoding="utf-8")
        part.chmod(0o444)
        part.rename(path)
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()

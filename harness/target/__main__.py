"""`python -m harness.target serve|seed|rotate-keys`; the environment has the settings (see `settings.py`)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.command in ("serve", "seed") and arguments.role:
        os.environ["MUL_TARGET_ROLE"] = arguments.role  # each of uvicorn's processes reads its settings anew
    # Imported here: serving needs no Alembic and seeding no web framework, and each costs half a second.
    if arguments.command == "serve":
        if arguments.workers > 1 and (arguments.drain or arguments.shared is not None):
            raise SystemExit(
                "--drain and --shared are of one process: give each of several a port of its own."
            )
        if arguments.end_with_input:
            threading.Thread(target=_end_with_input, daemon=True).start()
        from harness.target.serving import serve

        serve(arguments.host, arguments.port, arguments.workers, arguments.shared, arguments.drain)
    elif arguments.command == "rotate-keys":
        from harness.target.rotation import rotate_keys

        rotate_keys()
    else:
        from harness.target.seed import seed

        seed(arguments.rows, arguments.accounts, arguments.existing)


def _end_with_input() -> None:
    """The process that started this one holds the other end; however that process ends, so does this one."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness.target", description="The reference service.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer requests until SIGTERM")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, required=True)
    serve.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    serve.add_argument(
        "--shared", type=int, metavar="FD", help="accept from this inherited listening socket, too"
    )
    serve.add_argument(
        "--drain",
        action="store_true",
        help="other processes serve on when this one ends: let whoever has a connection go to them first",
    )
    serve.add_argument("--end-with-input", action="store_true", help="end when standard input is closed")
    seed = commands.add_parser("seed", help="create the schema of release N and fill an empty database")
    seed.add_argument("--rows", type=int, default=200_000, help="documents (default 200,000)")
    seed.add_argument("--accounts", type=int, default=1_000, help="accounts that share them (default 1,000)")
    seed.add_argument(
        "--existing",
        choices=["refuse", "keep", "replace"],
        default="refuse",
        help="what becomes of a database that holds accounts already (default refuse)",
    )
    for command in (serve, seed):
        command.add_argument(
            "--role",
            choices=["all", "auth", "api"],
            help="accounts and tokens, what accounts keep, or both in one database (the default)",
        )
    commands.add_parser("rotate-keys", help="a new signing key: no token that was issued is good any more")
    return parser


if __name__ == "__main__":
    main()

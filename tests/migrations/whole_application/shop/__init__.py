"""An application that connects, prints and starts a thread as soon as it is imported."""

import atexit
import os
import sys
import threading

from sqlalchemy import text

from shop.database import engine

print("shop: starting")  # noqa: T201
sys.setrecursionlimit(5000)
os.environ["SHOP_STARTED"] = "1"
atexit.register(print, "shop: stopping")
with engine.connect() as connection:
    features = connection.execute(text("SELECT count(*) FROM notes")).scalar_one()
stop = threading.Event()
threading.Thread(target=stop.wait, daemon=True).start()

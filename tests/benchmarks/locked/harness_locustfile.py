"""Users of the one query, by the harness."""

from locust import task

from harness.locust import MigrationUser


class Reader(MigrationUser):
    """Reads."""

    @task
    def read(self) -> None:
        """The one query."""
        self.client.get("/item")

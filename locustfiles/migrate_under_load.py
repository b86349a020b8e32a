"""People at work on the reference service while its database is migrated."""

from harness.locust import MigrationUser, PasswordGrant  # isort: skip - first: this makes the file a migration test

from locust import task


class Person(MigrationUser):
    """Reads more than it writes."""

    auth = PasswordGrant("/token", refresh="/token/refresh", scope="read write")

    @task(25)
    def look_through_documents(self) -> None:
        self.list()

    @task(35)
    def read_document(self) -> None:
        self.read()

    @task(15)
    def create_document(self) -> None:
        self.create()

    @task(20)
    def update_document(self) -> None:
        self.update()

    @task(2)
    def delete_document(self) -> None:
        self.delete()

    @task(3)
    def transfer_money(self) -> None:
        self.transfer()

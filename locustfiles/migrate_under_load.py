"""People at work on the reference service while its database is migrated."""

from harness.locust import MigrationUser, PasswordGrant, Resource, Revoke, Stream, Totals, canary, new_id  # isort: skip - it goes first

import uuid

from locust import task

from harness.core.operations import OperationKind


class Person(MigrationUser):
    """Reads more than it writes."""

    auth = PasswordGrant(
        "/token",
        refresh="/token/refresh",
        scope="read write",
        read_scope="read",
        revoke=Revoke("/token/revoke", by="json"),
        jwks="/.well-known/jwks.json",
        signing_key="MUL_TARGET_SIGNING_KEY",
        leeway_s=0.0,
    )
    stream = Stream("/ws", record="document", ends_with_token=True)
    wallets = Totals("/wallets", amount="balance")
    documents = Resource(
        "/documents",
        create={"id": new_id, "title": canary, "body": canary("lorem ipsum dolor sit amet " * 12)},
        version="version",
        page="limit/after",
        created={201},
        refusals={404},
    )

    @task(25)
    def look_through_documents(self) -> None:
        self.documents.list()

    @task(35)
    def read_document(self) -> None:
        self.documents.read()

    @task(15)
    def create_document(self) -> None:
        self.documents.create()

    @task(20)
    def update_document(self) -> None:
        self.documents.update()

    @task(2)
    def delete_document(self) -> None:
        self.documents.delete()

    @task(3)
    def transfer_money(self) -> None:
        """Look at the account's wallets, or move a little money between two of them once they are known."""
        wallets = [wallet["id"] for wallet in self.wallets.records]
        if not wallets or self.random.random() < 0.5:
            self.wallets.read()
            return
        key = uuid.uuid4()
        source, target = self.random.sample(wallets, 2)
        order = {"id": str(key), "from": source, "to": target, "amount": self.random.randint(1, 10)}
        self.write(OperationKind.TRANSFER, key, 0, "POST", "/transfers", expect={201, 409}, json=order)

import pytest

from harness.core.accounts import Account, accounts_of_text
from harness.errors import UsageError


def test_accounts_of_a_csv_file_with_their_columns() -> None:
    text = "username,password,tenant\nann,s1,north\nbob,s2,south\n"
    first, second = accounts_of_text(text, "accounts.csv")
    assert (first.name, first.password, first.columns["tenant"]) == ("ann", "s1", "north")
    assert second.name == "bob"


def test_accounts_of_a_json_file_keep_the_types_of_their_values() -> None:
    [account] = accounts_of_text('[{"email": "ann@example.org", "token": "t", "id": 7}]', "accounts.json")
    assert account.name == "ann@example.org"
    assert account.columns == {"email": "ann@example.org", "token": "t", "id": 7}


@pytest.mark.parametrize(
    ("header", "name"),
    [("name,email,username", "c"), ("name,email", "b"), ("name", "a")],
)
def test_username_counts_before_email_before_name(header: str, name: str) -> None:
    values = "a,b,c"[: header.count(",") * 2 + 1]
    [account] = accounts_of_text(f"{header}\n{values}\n", "accounts.csv")
    assert account.name == name


def test_byte_order_mark_and_quoted_commas_and_spaces_in_the_header_are_fine() -> None:
    [account] = accounts_of_text('\ufeffusername, password\nann,"a,b"\n', "accounts.csv")
    assert (account.name, account.password) == ("ann", "a,b")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("username,password\nann,hush\nbob,hush\nann,hush\n", r"line 4: ann is there already, in line 2"),
        ('[{"name": "ann"}, {"name": "ann"}]', r"entry 2: ann is there already, in entry 1"),
        ("login,password\nann,hush\n", r"line 2: no column says.*there are: login, password.*username"),
        ("username,password\nann\n", r"line 2: it has not as many values as the header has names \(2\)"),
        ("username,password\nann,hush,more\n", r"line 2: it has not as many values"),
        ("username,password\nAnn Smith,hush\n", r"line 2: username is 'Ann Smith', which no account"),
        ("username,password\n,hush\n", r"line 2: username is ''"),
        ("username,password\n", r"lists no account"),
        ("", r"lists no account"),
        ("[]", r"lists no account"),
        ('{"username": "ann", "password": "hush"}', r"one JSON object, not a list"),
        ('["ann"]', r"entry 1: it is no object"),
        ('[{"username": "ann"\n', r"line 2: this is no JSON"),
        ('username,password\nann,"hush\n', r"this is no CSV"),
    ],
)
def test_wrong_file_is_refused_with_the_place_and_without_a_password(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        accounts_of_text(text, "accounts.csv")
    assert "accounts.csv" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_template_is_filled_with_the_accounts_columns() -> None:
    account = Account("ann", "s1", {"id": 7, "tenant": "north"})
    template = {"sub": "{id}", "who": ["{name} of {tenant}", 3], "admin": False}
    assert account.fill(template) == {"sub": 7, "who": ["ann of north", 3], "admin": False}


def test_column_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="tenant"):
        Account("ann").fill("{tenant}")


def test_no_secret_is_shown() -> None:
    shown = repr(Account("ann", "s1", {"token": "t-1"}))
    assert "s1" not in shown
    assert "t-1" not in shown

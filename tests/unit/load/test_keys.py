import random
import uuid

from harness.load.keys import new_key


def test_a_key_is_a_random_uuid() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert {(key.version, key.variant) for key in keys} == {(4, uuid.RFC_4122)}


def test_a_locustfile_that_seeds_its_choices_repeats_no_keys() -> None:
    random.seed(1)
    first = new_key()
    random.seed(1)
    assert new_key() != first

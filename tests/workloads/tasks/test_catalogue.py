"""Tasks by name: what is refused."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.tasks.catalogue import load_task


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit", {}, "data.name: no data set 'digit'; nearest: digits"),
        (
            "digits",
            {"augmented": True},
            "data.augmented: not an option of digits; nearest: augment",
        ),
        ("digits", {"tokenizer": 1}, "data.tokenizer: not an option of digits; known: "),
        ("digits", {"augment": 1}, "data.augment must be true or false; got 1"),
        ("digits", {"train_limit": 0}, "data.train_limit must be at least 1; got 0"),
        ("digits", {"train_limit": "9"}, "data.train_limit must be an integer; got '9'"),
        ("digits", {"train_limit": True}, "data.train_limit must be an integer; got True"),
        ("pydoc", {"window": 1}, "data.window must be at least 2 tokens; got 1"),
        ("pydoc", {"window": 64.0}, "data.window must be an integer; got 64.0"),
        ("pydoc", {"test_split": "tests"}, "split of pydoc must be one of train, valid, test"),
        ("glue/mrpc", {}, "data.name: glue/mrpc is text; the model has no tokenizer"),
        ("glue/stsb", {}, "data.name: glue/stsb is text; the model has no tokenizer"),
        ("jets", {"features": "all"}, "data.features must be kin, kinpid or full; got 'all'"),
    ],
)
def test_refusals(name, options, message):
    with pytest.raises(InputError) as caught:
        load_task(name, options=options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)

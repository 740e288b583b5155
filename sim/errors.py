"""Errors that are the user's to mend, and one that is the machine's."""


class InputError(ValueError):
    """Bad input. One line that names file, key, value and what is allowed; exit code 2."""


class CapacityError(InputError):
    """A model that the given chips cannot hold; the message gives the shortfall in arrays."""


class DeadlockError(RuntimeError):
    """A run that stopped with tokens in flight; the message says who waits for whom."""


def shortened(value: object, most: int = 100) -> str:
    """A value as messages show it: its repr, with the middle left out where that is long.

    >>> shortened("a" * 300, 20)
    "'aaaaaaaa…aaaaaaaaa'"
    """
    text = repr(value)
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[: half - 1]}…{text[-half:]}"

"""Errors of models that are the user's to mend."""


class ModelError(ValueError):
    """Bad model, weights or input. One line that names key, value and what is allowed."""


class LossError(ModelError):
    """A loss that is not finite: a step was too long for the model."""


def too_long(rate: float, decay: float, names: tuple[str, str]) -> str:
    """Which of ``names``, of learning rate and weight decay, has made a loss infinite, in a line.

    A step takes rate x decay of a weight from it: where that is more than all, weights grow.

    >>> too_long(1e-3, 1e60, ("lr", "weight_decay"))
    'weight_decay: the loss is not finite with 1e+60; take a lower one'
    """
    name, value = (names[1], decay) if rate * decay > 1 and decay > rate else (names[0], rate)
    return f"{name}: the loss is not finite with {value:g}; take a lower one"

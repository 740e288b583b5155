"""Errors of models that are the user's to mend."""


class ModelError(ValueError):
    """Bad model, weights or input. One line that names key, value and what is allowed."""

"""What a model is asked to do, and how well it does it: data in the model's form, loss, score.

A task joins a data set to a way to feed it to a model and is found by the name of the data set
(catalogue.py); one of your own is any object with the attributes of :class:`~.base.Task`.
"""

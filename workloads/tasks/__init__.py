"""What a model is asked to do, and how well it does it: data in the model's form, loss, score.

A task joins a data set (datasets.py) with a way to feed it to a model. It is found by the name of
the data set::

    sentences.py   glue/*                    classes of sentences; similarity of two (stsb)
    language.py    wikitext-2, pydoc, ...    the next token; perplexity
    images.py      cifar10, digits           classes of images
    jets.py        jets, jets-20k            classes of jets

A task of your own is any object with the attributes of :class:`~.base.Task`.
"""

from hyflexsim.workloads.tasks.base import Metric, Task, load_task

__all__ = ["Metric", "Task", "load_task"]

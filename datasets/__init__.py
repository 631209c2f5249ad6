"""Datasets of people in pictures. `register_dataset` registers a Python function or class as a dataset."""


def register_dataset(name):
    """See `datasets.registered.register_dataset`."""
    from datasets.registered import register_dataset  # imports torch, which this package does not
    return register_dataset(name)

"""People in pictures. `register_dataset` makes a Python function or class a data set by name."""


def register_dataset(name):
    """See `datasets.registered.register_dataset`."""
    from datasets.registered import register_dataset  # which brings in torch; this package alone does not
    return register_dataset(name)

"""One logger for the whole project, and messages that are said only once."""
import logging
import sys

_said = set()


def get_logger():
    """The project's logger: INFO and above, one line a message, on stderr."""
    logger = logging.getLogger('hmr')
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter('%(asctime)s %(levelname).1s %(message)s', '%H:%M:%S'))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


def log_once(message, level=logging.INFO):
    """Log a message the first time it is seen in this process."""
    if message not in _said:
        _said.add(message)
        get_logger().log(level, message)

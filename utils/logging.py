"""The project's logger, and messages that are logged only once."""
import logging
import sys

_said = set()


def get_logger():
    """The project's logger: INFO and above, one line per message, on stderr."""
    logger = logging.getLogger('hmr')
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter('%(asctime)s %(levelname).1s %(message)s', '%H:%M:%S'))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


def log_once(message, level=logging.INFO):
    """Log a message only the first time it occurs in this process."""
    if message not in _said:
        _said.add(message)
        get_logger().log(level, message)

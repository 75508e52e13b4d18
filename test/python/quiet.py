"""Collects everything that Python's logging and warnings say while a block runs, so that a check can fail on a warning."""
import contextlib
import logging
import warnings


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(level=logging.WARNING)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@contextlib.contextmanager
def collect_warnings():
    """Yields a list that fills with log records of level WARNING and above (any logger, transformers' included) and Python warnings."""
    lines: list[str] = []
    handler = _Collector(lines)
    loggers = [logging.getLogger(), logging.getLogger("transformers")]  # transformers' own logger does not propagate
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield lines
        lines += [f"{w.category.__name__}: {w.message}" for w in caught]
    finally:
        for logger in loggers:
            logger.removeHandler(handler)

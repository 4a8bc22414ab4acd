"""The replicas' log: one JSON object per line on standard error, which Ray collects.

The log contains no names or contents of files, no API keys and no client addresses.
"""

import json
import logging
import sys
import time

NAME = "raygenre.serve"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Set up this process's log; each replica calls this once."""
    logger = logging.getLogger(NAME)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def info(event: str, **facts: object) -> None:
    logging.getLogger(NAME).info(event, extra={"facts": facts})


def warning(event: str, **facts: object) -> None:
    logging.getLogger(NAME).warning(event, extra={"facts": facts})


def error(event: str, exception: BaseException, **facts: object) -> None:
    """Log an error with its traceback."""
    logging.getLogger(NAME).error(event, exc_info=exception, extra={"facts": facts})

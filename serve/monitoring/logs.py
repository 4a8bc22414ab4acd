"""Logs as one JSON object a line, on standard error, where Ray collects them: facts about requests and models.

Nothing of a file's content or name, no key and no address is written.
"""

import json
import logging
import sys
import time

NAME = "raygenre.serve"


class _Json(logging.Formatter):
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


def begin() -> None:
    """Have this process write its log; a replica does it once."""
    logger = logging.getLogger(NAME)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def info(event: str, **facts: object) -> None:
    logging.getLogger(NAME).info(event, extra={"facts": facts})


def warning(event: str, **facts: object) -> None:
    logging.getLogger(NAME).warning(event, extra={"facts": facts})


def error(event: str, problem: BaseException, **facts: object) -> None:
    """Write an error with its traceback."""
    logging.getLogger(NAME).error(event, exc_info=problem, extra={"facts": facts})

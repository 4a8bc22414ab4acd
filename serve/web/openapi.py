"""Writes the OpenAPI document, from which clients can be generated.

Run, from the project's folder:
    make openapi                             # or: python -m serve.web.openapi
"""

import json
from pathlib import Path

from serve.web.routes import build_without_service

FILE = Path(__file__).with_name("openapi.json")


def document() -> str:
    """Return the application's OpenAPI document as JSON."""
    return json.dumps(build_without_service().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(document())

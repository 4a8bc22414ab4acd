"""The OpenAPI document, as the repository keeps it for clients that are made from it.

Run, from the project's folder:
    make openapi                             # or: python -m serve.web.openapi
"""

import json
from pathlib import Path

from serve.web.routes import blank

FILE = Path(__file__).with_name("openapi.json")


def document() -> str:
    """Return the application's document."""
    return json.dumps(blank().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(document())

"""The web pages, and the files that they use."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from serve.errors import RefusalError

PAGE = Path(__file__).parent / "page"
ASSETS = {
    "page.css": "text/css",
    "element.js": "text/javascript",
    "page.js": "text/javascript",
    "stream.js": "text/javascript",
    "timeline.js": "text/javascript",
    "sample.mp3": "audio/mpeg",
    "docs.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

pages = APIRouter(include_in_schema=False)


@pages.get("/")
async def page() -> FileResponse:
    """Return the page for classifying a song in the browser."""
    return FileResponse(PAGE / "index.html", media_type="text/html")


@pages.get("/docs")
async def docs() -> FileResponse:
    """Return the API documentation page."""
    return FileResponse(PAGE / "docs.html", media_type="text/html")


@pages.get("/page/{name}")
async def asset(name: str) -> FileResponse:
    """Return a stylesheet, script or icon that the pages use."""
    if name not in ASSETS:
        raise RefusalError(404, "no such file")
    return FileResponse(PAGE / name, media_type=ASSETS[name])

"""The upload page shows the same times as `raygenre predict`, and shows warnings.

The tests use a real Chromium browser and a fake endpoint.
"""

import base64
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from raygenre.model.classifier import Prediction
from raygenre.pretrained.tags import NOTE
from raygenre.spectrogram.image import write_plain_png, write_png
from raygenre.workflows import timeline
from serve.schema import Answer, ModelFacts, ModelName, Problem, StreamedWindow, TrainedOn, Window
from serve.tag_schema import TAG_EXAMPLE, TagAnswer, TagFacts
from serve.web.pages import ASSETS, PAGE

SITE = "http://page.test"
# In seconds; the song is silent after 208 s.
TIMES = ((0.0, 30.01), (30.01, 60.02), (150.05, 180.06), (177.99, 208.0), (568.71, 599.99))
MODEL = ModelName(name="raygenre", version="1", run_id="0")
TRAINED_ON, SYNTHETIC = TrainedOn(kind="real", name="GTZAN"), TrainedOn(kind="synthetic", name="synthetic")
FACTS = ModelFacts(
    model=MODEL,
    genres=["jazz", "rock"],
    input="levels",
    takes_images=True,
    test_accuracy=0.81,
    synthetic=False,
    trained_on=TRAINED_ON,
    threshold=0.5,
    sha256="0" * 64,
    card="",
    challenger=None,
    most_bytes=25_000_000,
    most_seconds=900,
)

TAGGED = TagAnswer.model_validate(TAG_EXAMPLE)
TAG_FACTS = TagFacts.model_validate(cast(dict[str, Any], TagFacts.model_config["json_schema_extra"])["example"])

pytestmark = pytest.mark.integration


def answer() -> Answer:
    """An answer in which consecutive windows alternate between two genres."""
    windows = []
    for number, (start, end) in enumerate(TIMES):
        jazz = 0.7 if number % 2 else 0.3
        probabilities = {"jazz": jazz, "rock": 1 - jazz}
        genre = max(probabilities, key=lambda name: probabilities[name])
        windows.append(
            Window(number=number, start=start, end=end, genre=genre, confidence=0.7, probabilities=probabilities)
        )
    whole = {"jazz": 0.46, "rock": 0.54}
    return Answer(
        genre="rock",
        confidence=0.54,
        uncertain=False,
        probabilities=whole,
        windows=windows,
        model=MODEL,
        trained_on=TRAINED_ON,
        request_id="1",
    )


def lines(response: Answer, *, has_pictures: bool = True) -> str:
    """Return an answer as the lines that the endpoint would stream."""
    picture = base64.b64encode(write_plain_png(np.zeros((128, 333), dtype=np.uint8))).decode()
    shown = picture if has_pictures else None
    windows = [StreamedWindow(**dict(window), picture=shown) for window in response.windows]
    return "".join(f"{piece.model_dump_json(exclude_none=True)}\n" for piece in (*windows, response))


def fulfill(route: Route) -> None:
    """Respond as the endpoint would."""
    path = urlsplit(route.request.url).path
    name = path.rpartition("/")[2]
    if path == "/":
        route.fulfill(path=PAGE / "index.html", content_type="text/html")
    elif name in ASSETS:
        route.fulfill(path=PAGE / name, content_type=ASSETS[name])
    elif name == "model":
        route.fulfill(body=FACTS.model_dump_json())
    elif name == "predict":
        route.fulfill(body=lines(answer()))
    elif name == "spectrogram":
        route.fulfill(body=write_png(np.zeros((128, 333), dtype=np.uint8)), content_type="image/png")


def respond(page: Page, path: str, body: str) -> None:
    """From now on, respond to requests for an API path with the given body."""
    page.route(f"{SITE}/v1/{path}*", lambda route: route.fulfill(body=body))


@pytest.fixture
def page(browser: Browser) -> Page:
    page = browser.new_page()
    page.route(f"{SITE}/**", fulfill)
    page.goto(SITE)
    return page


def test_the_page_shows_the_same_times_as_the_command(page: Page, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    page.set_input_files("#file", tmp_path / "song.mp3")
    buttons = page.locator("#timeline button")
    expect(buttons).to_have_count(len(TIMES))
    shown = [button.get_attribute("aria-label") for button in buttons.all()]

    response = answer()
    windows = tuple(window.probabilities for window in response.windows)
    prediction = Prediction(response.genre, response.confidence, False, response.probabilities, windows)
    clock, percent = timeline._clock, timeline.percent
    assert shown == [
        f"{clock(part.start)} to {clock(part.end)}: {part.genre}, {percent(part.confidence)}"
        for part in timeline.stretches(TIMES, prediction)
    ]
    expect(page.locator("#begin")).to_have_text("0:00")
    expect(page.locator("#end")).to_have_text("9:59")
    buttons.nth(3).click()
    expect(page.locator("#bars-title")).to_have_text("From 3:00 to 3:28")
    expect(page.locator("#caption")).to_contain_text("2:57 to 3:28")  # the spectrogram includes the overlap
    page.close()


def test_the_page_warns_about_a_model_of_synthetic_sounds(page: Page, tmp_path: Path) -> None:
    expect(page.locator("#facts")).to_contain_text("81 %")
    expect(page.locator("#facts")).not_to_contain_text("synthetic")
    respond(page, "model", FACTS.model_copy(update={"trained_on": SYNTHETIC}).model_dump_json())
    respond(page, "predict", lines(answer().model_copy(update={"trained_on": SYNTHETIC})))
    page.reload()
    expect(page.locator("#facts")).to_contain_text("trained on synthetic sounds, not on music")
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    page.set_input_files("#file", tmp_path / "song.mp3")
    text = "Answered by raygenre 1, which was trained on synthetic sounds, not on music"
    expect(page.locator("#status")).to_have_text(text)
    page.close()


def test_dropped_files_are_all_classified(page: Page) -> None:
    script = """() => { const transfer = new DataTransfer();
        for (const name of ["a.mp3", "b.mp3"]) transfer.items.add(new File(["ID3"], name)); return transfer }"""
    page.dispatch_event("#drop", "drop", {"dataTransfer": page.evaluate_handle(script)})
    expect(page.locator("#name")).to_have_text("a.mp3")
    expect(page.locator("#songs .state")).to_have_text(["rock, 54 %", "rock, 54 %"])
    page.close()


def test_an_error_after_some_windows_keeps_them(page: Page, tmp_path: Path) -> None:
    *windows, _ = lines(answer()).splitlines(keepends=True)
    problem = Problem(title="Service Unavailable", status=503, detail="too late", request_id="1").model_dump_json()
    respond(page, "predict", "".join([*windows, problem, "\n"]))
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    page.set_input_files("#file", tmp_path / "song.mp3")
    expect(page.get_by_role("alert")).to_have_text("The server is busy (too late).")
    expect(page.locator("#timeline button")).to_have_count(len(TIMES))
    page.close()


def test_genres_have_the_same_colours_as_in_the_plot(page: Page) -> None:
    assert tuple(page.evaluate("COLOURS")) == timeline.COLOURS
    shown = page.evaluate("COLOURS.map(textColour)")
    assert shown == [{"black": "#000", "white": "#fff"}[timeline._text_colour(colour)] for colour in timeline.COLOURS]
    page.close()


def test_without_a_champion_the_page_shows_tags(page: Page, tmp_path: Path) -> None:
    respond(page, "model", TAG_FACTS.model_dump_json())
    respond(page, "predict", f"{TAGGED.model_dump_json()}\n")
    page.reload()
    expect(page.locator("#facts")).to_contain_text(NOTE)
    expect(page.locator("#image-files")).to_be_hidden()
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    page.set_input_files("#file", tmp_path / "song.mp3")
    expect(page.locator("#genre")).to_have_text("jazz, blues, 60s")
    expect(page.locator("#tags-note")).to_contain_text(f"{NOTE}: predicted by MSD_musicnn (ISC licence)")
    expect(page.locator("#bars li").first).to_have_text("jazz62 %")
    expect(page.locator("#show-tags")).to_be_hidden()
    expect(page.locator("#caption")).to_contain_text("Spectrogram, 0:00 to 0:29")
    expect(page.locator("#spectrogram")).to_have_js_property("naturalWidth", 432)
    expect(page.locator("#status")).to_have_text(f"Answered by MSD_musicnn: {NOTE}")
    page.close()


def test_tags_are_shown_next_to_a_prediction(page: Page, tmp_path: Path) -> None:
    respond(page, "model", FACTS.model_copy(update={"pretrained": TAG_FACTS.pretrained}).model_dump_json())
    page.route(f"{SITE}/v1/predict?tags=true", lambda route: route.fulfill(body=TAGGED.model_dump_json()))
    page.reload()
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    page.set_input_files("#file", tmp_path / "song.mp3")
    expect(page.locator("#genre")).to_have_text("rock, 54 %")
    page.click("#show-tags")
    expect(page.locator("#tags-note")).to_contain_text(NOTE)
    expect(page.locator("#bars li").first).to_have_text("jazz62 %")
    page.click("#show-tags")
    expect(page.locator("#tags-note")).to_be_hidden()
    expect(page.locator("#bars li").first).to_have_text("rock54 %")
    expect(page.locator("#caption")).to_contain_text("Input of the network, 0:00 to 0:30")
    page.close()


def test_windows_without_pictures_get_their_spectrograms(page: Page, tmp_path: Path) -> None:
    respond(page, "model", FACTS.model_copy(update={"input": "features"}).model_dump_json())
    respond(page, "predict", lines(answer(), has_pictures=False))
    page.reload()
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    page.set_input_files("#file", tmp_path / "song.mp3")
    expect(page.locator("#spectrogram")).to_have_js_property("naturalWidth", 432)
    page.locator("#timeline button").nth(1).click()
    expect(page.locator("#caption")).to_contain_text("Spectrogram, 0:30 to 1:00")
    page.close()


@pytest.mark.parametrize("seconds", [0, 29.99, 30.01, 59.5, 60, 240.5, 599.99, 3600])
def test_the_page_rounds_seconds_down(page: Page, seconds: float) -> None:
    assert page.evaluate(f"clock({seconds})") == timeline._clock(seconds)
    page.close()

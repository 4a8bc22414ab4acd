"""The upload page, tested in a real Chromium browser with a real endpoint."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect
from ray import serve

from raygenre.audio import encoding
from raygenre.audio.synthesis import synthesise
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from tests.helpers.serving import GENRES, new_storage, register, running
from tests.helpers.sounds import encode

PICTURES = os.environ.get("SCREENSHOTS")
KEY = "browser-key-0123456789"
DESKTOP, PHONE = ViewportSize(width=1200, height=900), ViewportSize(width=360, height=740)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    storage = new_storage(tmp_path_factory.mktemp("site"))
    if PICTURES:  # screenshots look better with a model that can tell genres apart
        register(storage, favourite=0, model=ModelConfig(genres=len(GENRES), widths=(8, 16, 16), dense=16), steps=60)
    unsure = storage.root / "unsure"
    Classifier(GenreCNN(ModelConfig(genres=len(GENRES))), GENRES, Calibration(threshold=1)).save(unsure)
    with (
        running(storage, most_bytes=8_000_000) as client,
        running(storage, name="protected", prefix="/protected", api_keys=KEY),
        running(storage, name="unsure", prefix="/unsure", model_uri=unsure),
    ):
        yield str(client.base_url)
    serve.shutdown()


@pytest.fixture
def page(browser: Browser, site: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page; it must send no requests to other hosts and log no errors to the console."""
    viewport: ViewportSize = getattr(request, "param", DESKTOP)
    context = browser.new_context(viewport=viewport, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    opened = context.new_page()
    urls: list[str] = []
    errors: list[str] = []
    opened.on("request", lambda sent: urls.append(sent.url))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(site)
    expect(opened.locator("#facts")).to_contain_text("75 %")
    yield opened
    context.close()
    assert [url for url in urls if not url.startswith((site, "blob:"))] == []
    expected = ("the server responded with a status of",)  # Chromium logs this for every refused request
    assert [text for text in errors if not any(part in text for part in expected)] == []


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-minute song with four windows."""
    path = tmp_path_factory.mktemp("songs") / "two minutes.mp3"
    samples = np.concatenate([synthesise(genre, seed=1) for genre in ("bells", "storm", "drone", "chiptune")])
    path.write_bytes(encode(samples, "mp3", "libmp3lame"))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "bells.flac"
    path.write_bytes(encode(synthesise("bells", seed=5), "flac", "flac"))
    return path


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A twenty-minute mix with 40 windows."""
    path = tmp_path_factory.mktemp("mixes") / "twenty minutes.opus"
    sound = np.concatenate([np.tile(synthesise(genre, seed=1), 5) for genre in GENRES])
    mix = np.resize(sound, 1200 * 24_000)
    path.write_bytes(encoding.encode(mix, "ogg", "libopus", rate=24_000, bit_rate=24_000))
    return path


def keep(page: Page, name: str) -> None:
    """If `$SCREENSHOTS` is set, save a screenshot in that folder, reduced to a few colours to keep the file small."""
    if PICTURES:
        page.mouse.move(0, 0)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.quantize(128, dither=Image.Dither.NONE).save(Path(PICTURES) / f"page-{name}.png", optimize=True)


def expect_answer(page: Page) -> None:
    expect(page.locator("#status")).to_contain_text("Answered by", timeout=60_000)
    expect(page.locator("#genre")).to_contain_text("bells", timeout=60_000)
    expect(page.locator("#spectrogram")).to_have_js_property("naturalWidth", 333, timeout=60_000)


def wider_than_the_screen(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize("page", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])
def test_a_clip_gets_its_genre_bars_and_spectrogram(page: Page, clip: Path, tmp_path: Path) -> None:
    page.set_input_files("#file", clip)
    expect_answer(page)
    rows = page.locator("#bars li")
    expect(rows).to_have_count(3)
    shares = [int(text.split()[0]) for text in page.locator("#bars .share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert 98 <= sum(shares) <= 102
    expect(page.locator("#timeline-part")).to_be_hidden()
    expect(page.locator("#uncertain")).to_be_hidden()
    expect(page.locator("#error")).to_be_hidden()
    assert not wider_than_the_screen(page)
    page.screenshot(path=tmp_path / "clip.png", full_page=True)
    assert (tmp_path / "clip.png").stat().st_size > 20_000


@pytest.mark.parametrize("page", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])
def test_a_long_song_has_a_timeline_with_keyboard_control(page: Page, song: Path) -> None:
    page.set_input_files("#file", song)
    expect_answer(page)
    buttons = page.locator("#timeline button")
    expect(buttons).to_have_count(4)
    expect(buttons.nth(1)).to_have_accessible_name("0:30 to 1:00: bells, 91 %")
    before = page.locator("#spectrogram").get_attribute("src")
    buttons.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(buttons.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#bars-title")).to_have_text("From 1:00 to 1:30")
    expect(page.locator("#caption")).to_contain_text("1:00 to 1:30")
    assert page.locator("#spectrogram").get_attribute("src") != before
    page.locator("#whole").click()
    expect(page.locator("#bars-title")).to_have_text("Probability of each genre")
    assert not wider_than_the_screen(page)


@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
def test_timeline_buttons_are_large_enough_for_a_finger(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "seven minutes.opus"
    sound = np.tile(synthesise("bells", seed=1), 16)
    path.write_bytes(encoding.encode(sound, "ogg", "libopus", rate=24_000, bit_rate=32_000))
    page.set_input_files("#file", path)
    expect_answer(page)
    buttons = page.locator("#timeline button")
    assert buttons.count() > 13  # more buttons than fit in one row
    boxes = [button.bounding_box() for button in buttons.all()]
    assert all(box and box["width"] >= 24 and box["height"] >= 24 for box in boxes), boxes  # in CSS pixels; WCAG 2.2
    assert not wider_than_the_screen(page)


@pytest.mark.parametrize("page", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])
def test_the_timeline_of_a_long_mix_grows(page: Page, mix: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.evaluate(
        "() => { window.counts = []; const strip = document.getElementById('timeline');"
        "new MutationObserver(() => counts.push(strip.children.length)).observe(strip, { childList: true }) }"
    )
    page.set_input_files("#file", mix)
    expect(page.locator("#status")).to_contain_text("Answered by", timeout=120_000)
    buttons = page.locator("#timeline button")
    expect(buttons).to_have_count(40)
    assert len(set(page.evaluate("counts"))) > 5
    labels = [text for text in page.locator("#timeline span").all_inner_texts() if text]
    assert labels, "no genre name fits into the strip"
    expect(page.locator("#player")).to_be_visible()
    buttons.nth(20).click()
    expect(page.locator("#caption")).to_contain_text("10:00 to 10:30")
    expect(page.locator("#spectrogram")).to_have_js_property("naturalWidth", 333)
    expect(buttons.nth(20)).to_have_class("playing")
    expect(page.locator("#player")).to_have_js_property("paused", False)
    page.evaluate("document.getElementById('player').currentTime = 660")
    expect(buttons.nth(21)).to_have_class("playing")
    expect(buttons.nth(21)).to_have_attribute("aria-pressed", "true")  # the spectrogram follows the player
    page.evaluate("document.getElementById('player').pause()")
    assert len(sent) == 1  # the file is sent only once
    assert not wider_than_the_screen(page)
    if page.viewport_size == DESKTOP:
        keep(page, "desktop")


def test_several_songs_fill_a_list(page: Page, clip: Path, song: Path, tmp_path: Path) -> None:
    (tmp_path / "note.mp3").write_bytes(b"not music")
    page.set_input_files("#file", [clip, tmp_path / "note.mp3", song])
    states = page.locator("#songs .state")
    expect(states).to_have_text([re.compile(r"bells, \d+ %"), "no answer", re.compile(r"bells, \d+ %")], timeout=60_000)
    page.get_by_role("button", name="two minutes.mp3").click()
    expect(page.locator("#name")).to_have_text("two minutes.mp3")
    expect(page.locator("#timeline button")).to_have_count(4)
    page.get_by_role("button", name="note.mp3").click()
    expect(page.get_by_role("alert")).to_contain_text("neither a PNG nor audio")


def test_an_upload_shows_its_progress_and_can_be_cancelled(page: Page, clip: Path, tmp_path: Path) -> None:
    network = page.context.new_cdp_session(page)
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400_000}
    network.send("Network.emulateNetworkConditions", speed)
    (tmp_path / "slow.wav").write_bytes(encode(np.tile(synthesise("bells", seed=1), 4)))
    page.set_input_files("#file", [tmp_path / "slow.wav", clip])
    expect(page.locator("#progress-text")).to_have_text(re.compile(r"[1-9]\d* % sent"))
    page.locator("#cancel").click()
    expect(page.get_by_role("alert")).to_have_text("Cancelled.")
    expect(page.locator("#songs .state").nth(1)).to_have_text(re.compile(r"bells, \d+ %"), timeout=60_000)


def test_the_sample_song_gets_an_answer(page: Page) -> None:
    page.get_by_role("button", name="Try a sample song").click()
    expect_answer(page)
    expect(page.locator("#timeline button")).to_have_count(3)


def test_an_uncertain_answer_is_called_a_guess(page: Page, site: str, clip: Path) -> None:
    page.goto(f"{site}unsure/")
    page.set_input_files("#file", clip)
    expect(page.locator("#uncertain")).to_have_text(
        re.compile(r"The network is uncertain: (\w+) is a guess, \w+ has \d+ %\.")
    )
    guess = page.locator("#uncertain").inner_text().split()[4]
    expect(page.locator("#genre")).to_contain_text(guess)


def test_windows_after_silence_show_their_own_spectrograms(page: Page, tmp_path: Path) -> None:
    sounds = [synthesise(genre, seed=1) for genre in ("bells", "storm")]
    path = tmp_path / "silence first.flac"
    path.write_bytes(encode(np.concatenate([np.zeros_like(sounds[0]), *sounds]), "flac", "flac"))
    page.set_input_files("#file", path)
    expect_answer(page)
    expect(page.locator("#begin")).to_have_text("0:30")
    buttons = page.locator("#timeline button")
    expect(buttons).to_have_count(2)
    for index, range_ in ((1, "1:00 to 1:30"), (0, "0:30 to 1:00"), (1, "1:00 to 1:30")):
        buttons.nth(index).click()
        expect(page.locator("#caption")).to_contain_text(range_)
        expect(page.locator("#spectrogram")).to_have_js_property("naturalWidth", 333)


def test_a_file_can_be_chosen_by_keyboard_and_dropped_by_mouse(page: Page, clip: Path) -> None:
    page.on("filechooser", lambda chooser: chooser.set_files(clip))
    page.wait_for_timeout(500)  # Chromium does not signal when it starts reporting file choosers to the test
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Space")
    expect_answer(page)
    expect(page.locator("#genre")).to_be_focused()
    script = "bytes => { const transfer = new DataTransfer(); transfer.items.add(FILE); return transfer }"
    script = script.replace("FILE", "new File([new Uint8Array(bytes)], 'dropped.flac')")
    dropped = page.evaluate_handle(script, list(clip.read_bytes()))
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    expect(page.locator("#name")).to_have_text("dropped.flac")
    expect_answer(page)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("note.mp3", b"not music", "neither a PNG nor audio"),
        ("short.wav", encode(np.zeros(22_050, dtype=np.float32)), "at least 3 s"),
        ("large.wav", bytes(8_000_001), "the limit is 8 MB"),
    ],
)
def test_an_unusable_file_shows_an_error_and_the_next_one_works(
    page: Page, clip: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    page.set_input_files("#file", tmp_path / name)
    expect(page.get_by_role("alert")).to_contain_text(message)
    expect(page.locator("#result")).to_be_hidden()
    page.set_input_files("#file", clip)
    expect_answer(page)
    expect(page.locator("#error")).to_be_hidden()


def test_a_file_name_is_shown_as_plain_text(page: Page, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.flac"
    path.write_bytes(clip.read_bytes())
    page.set_input_files("#file", path)
    expect(page.locator("#name")).to_have_text(path.name)
    assert page.locator("#name img").count() == 0


def test_the_page_asks_for_an_api_key(page: Page, site: str, clip: Path) -> None:
    page.goto(f"{site}protected/")
    expect(page.get_by_role("alert")).to_contain_text("requires an API key")
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).to_contain_text("75 %")
    expect(page.locator("#error")).to_be_hidden()
    page.set_input_files("#file", clip)
    expect_answer(page)


def test_the_api_page_shows_every_path(page: Page, site: str) -> None:
    page.goto(f"{site}docs")
    paths = httpx.get(f"{site}openapi.json").json()["paths"]
    titles = [f"{method.upper()} {path}" for path, operations in paths.items() for method in operations]
    expect(page.locator(".path h2")).to_have_text(titles)
    expect(page.locator("#examples")).to_contain_text(f"--data-binary @song.mp3 {site}v1/predict")
    assert not wider_than_the_screen(page)

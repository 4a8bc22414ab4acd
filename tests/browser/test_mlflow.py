"""MLflow's own pages after a search, tested in a real Chromium browser.

If `$SCREENSHOTS` names a folder, the tests run a larger search and write the README's screenshots there
(`make screenshots`).
"""

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Page, Request, Route, expect

from raygenre.data.dataset import Dataset
from raygenre.search.space.config import Resources
from raygenre.search.study.ledger import RUN, Ledger
from raygenre.search.summary.figures import TITLES
from raygenre.search.trials.phases import TextDisplay
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from raygenre.tracking.shared_view import view_url
from raygenre.workflows import tune
from tests.conftest import new_ledger
from tests.helpers.mlflow_server import MlflowServer

PICTURES = os.environ.get("SCREENSHOTS")
TRIALS, EPOCHS, FINALISTS = (8, 9, 2) if PICTURES else (4, 2, 1)
SEARCHED = ("decay", "dropout", "learning_rate")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]


@dataclass(frozen=True)
class Shown:
    """A finished search on a server.

    Attributes:
        pages: base URL of the server's pages.
        link: URL of the view that shows the search's trials.
        parent: MLflow run id of the search.
        trials: MLflow run ids of the trials.
        version: version of the registered model.
    """

    pages: str
    link: str
    parent: str
    trials: tuple[str, ...]
    version: int


@pytest.fixture(scope="module")
def shown(tracks: Dataset, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    storage = server.storage(tmp_path_factory.mktemp("results"))
    tracks = replace(tracks, source="music")  # keeps test paths out of the screenshots
    ledger = new_ledger(
        storage.studies.folder, tracks, "spring", trials=TRIALS, epochs=EPOCHS, top_k=FINALISTS, scheduler="asha"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["experiments/tune.py"])  # MLflow records this path as the runs' source
        outcome = tune.run(
            ledger, tracks, Server(storage), resources=Resources(1, 0), promote=True, display=TextDisplay()
        )
    yield shown_of(storage, ledger, outcome.version)
    server.kill()


def shown_of(storage: Storage, ledger: Ledger, version: int) -> Shown:
    trials = tuple(ledger.trial_run(trial.number) or "" for trial in ledger.trials)
    link = view_url(Server(storage), ledger.id)
    return Shown(f"{storage.server}/#", link, str(ledger.study.user_attrs[RUN]), trials, version)


@pytest.fixture
def new_page(browser: Browser, shown: Shown) -> Iterator[Page]:
    """An empty page in a browser that has never opened MLflow and has no internet access.

    Embedded figures and reports must send no requests and comply with their Content Security Policy.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    errors: list[str] = []

    def block_internet(route: Route) -> None:
        route.continue_() if urlsplit(route.request.url).hostname == "127.0.0.1" else route.abort()

    def check_embedded(request: Request) -> None:
        if request.is_navigation_request() or request.url.startswith(("blob:", "data:")):
            return  # the new page's frame is not available yet
        if request.frame.parent_frame:
            errors.append(request.url)

    context.route("**/*", block_internet)
    context.on("request", check_embedded)
    context.on("console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None)
    expect.set_options(timeout=60_000)
    yield context.new_page()
    context.close()
    assert errors == []


@pytest.fixture
def page(new_page: Page, shown: Shown) -> Page:
    """MLflow's list of runs in the model training view, with the assistant closed."""
    new_page.goto(f"{shown.pages}/experiments/1/runs")
    new_page.get_by_text("Model training").click()
    new_page.get_by_role("button", name="Close").first.click()
    return new_page


def keep(page: Page, name: str) -> None:
    """If `$SCREENSHOTS` is set, write a screenshot for the README, reduced to a few colours to keep the file small."""
    if PICTURES:
        page.wait_for_timeout(1500)  # wait until animations have ended
        screenshot = Image.open(io.BytesIO(page.screenshot()))
        screenshot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
            Path(PICTURES) / f"mlflow-{name}.png", optimize=True
        )


def test_the_link_opens_the_trials_and_their_curves(new_page: Page, shown: Shown) -> None:
    new_page.goto(shown.link)
    new_page.get_by_role("button", name="Close").first.click()  # the assistant
    expect(new_page.get_by_role("link", name=re.compile("trial-"))).to_have_count(TRIALS)
    expect(new_page.get_by_role("link", name="spring", exact=True)).to_have_count(0)
    headers = new_page.get_by_role("columnheader")
    for column in ("best_validation_loss", "validation_accuracy", *SEARCHED, "state"):
        expect(headers.filter(has_text=re.compile(f"^{column}$")).first).to_be_attached()
    expect(new_page.get_by_test_id("saved-views-trigger")).to_have_text("spring")
    keep(new_page, "trials")
    new_page.locator("label:has(input[value=CHART])").click()
    chart = new_page.get_by_test_id("experiment-view-compare-runs-card").first
    expect(chart.get_by_text("validation_loss", exact=True)).to_be_visible()
    plot = chart.locator(".js-plotly-plot").element_handle()
    curves = "([plot, epochs]) => Math.max(...plot.data.map(trace => trace.x.length)) == epochs"
    new_page.wait_for_function(curves, arg=[plot, EPOCHS])
    keep(new_page, "curves")


def test_the_search_expands_to_its_trials_and_finalists(page: Page, shown: Shown) -> None:
    cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name="spring", exact=True))
    expect(page.get_by_role("link", name=re.compile("trial-"))).to_have_count(0)
    cell.get_by_role("button").click()
    for number in range(TRIALS):
        expect(page.get_by_role("link", name=f"trial-{number:04d}", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="finalists", exact=True)).to_be_visible()
    page.get_by_text("Expand rows").click()
    expect(page.get_by_text("validation", exact=True)).to_be_visible()
    keep(page, "runs")


def test_the_search_run_shows_results_data_and_code_version(page: Page, shown: Shown) -> None:
    page.goto(f"{shown.pages}/experiments/1/runs/{shown.parent}")
    expect(page.get_by_text("is best on new seeds")).to_be_visible()
    page.get_by_text("Show more").click()
    expect(page.get_by_text("What the seed does not fix")).to_be_visible()
    expect(page.get_by_role("cell", name="bells")).to_be_visible()
    expect(page.get_by_text(re.compile(r"music \([0-9a-f]{16}\)")).first).to_be_visible()
    expect(page.get_by_text("trials_per_hour")).to_be_visible()
    keep(page, "search")


def test_comparing_trials_shows_parameters_and_the_objective(page: Page, shown: Shown) -> None:
    runs, experiments = quote(json.dumps(shown.trials)), quote(json.dumps(["1"]))
    page.goto(f"{shown.pages}/compare-runs?runs={runs}&experiments={experiments}")
    axes = page.locator(".parcoords .axis-title, .parcoords text.axis-title")
    expect(axes).to_have_count(4)
    assert sorted(axes.all_text_contents()) == sorted([*SEARCHED, "best_validation_loss"])
    keep(page, "compare")


def figures(page: Page, shown: Shown) -> FrameLocator:
    page.goto(f"{shown.pages}/experiments/1/runs/{shown.parent}/artifacts/figures/all.html")
    return page.frame_locator("iframe")


def test_the_figures_open_in_the_artifact_view(page: Page, shown: Shown) -> None:
    frame = figures(page, shown)
    for title, _ in TITLES.values():
        expect(frame.get_by_role("heading", name=title, exact=True)).to_be_attached()
    for name in TITLES:
        expect(frame.locator(f"#{name} .main-svg").first).to_be_attached()
    expect(frame.locator(".left-out")).to_have_count(0)
    expect(frame.locator("#learning_curves .scatterlayer .trace")).to_have_count(TRIALS)
    keep(page, "figures")
    page.get_by_text("learning_curves.png").click()
    picture = page.locator("img[src^='blob:'], img[src^='data:'], img[alt*='learning_curves']").first
    expect(picture).to_be_visible()


def test_the_model_version_shows_its_signature_alias_and_report(page: Page, shown: Shown) -> None:
    page.set_viewport_size({"width": 1280, "height": 2200})
    page.goto(f"{shown.pages}/models/raygenre/versions/{shown.version}")
    expect(page.get_by_text("@ champion", exact=True).first).to_be_visible()  # MLflow shows aliases with an @
    page.get_by_text("Inputs (1)").click()
    page.get_by_text("Outputs (6)").click()
    for column in ("file", "confidence", "storm"):
        expect(page.get_by_role("cell", name=re.compile(rf"^{column}\b")).first).to_be_visible()
    report = page.get_by_role("link", name=re.compile("report.html"))
    expect(report).to_be_visible()
    keep(page, "model")
    with page.expect_popup() as popup:
        report.click()
    opened = popup.value
    opened.set_viewport_size({"width": 1280, "height": 800})
    opened.get_by_text("report.html", exact=True).click()
    frame = opened.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Model card")).to_be_attached()
    expect(frame.get_by_role("heading", name="Confusion and calibration")).to_be_attached()
    keep(opened, "report")

"""MLflow's own UI in a browser, for somebody who was granted one experiment and one model of several."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import mlflow
import pytest
from mlflow.server.auth.client import AuthServiceClient
from playwright.sync_api import Browser, Error, Page, Response, expect

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio
from tests.support.training import Trained, client_of, train_iris

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and scikit-learn's, of each other
EXPERIMENT, MODEL, SPAN = "ui-granted-experiment", "ui-granted-model", "ui-granted-span"
SECRETS = ("ui-foreign-experiment", "ui-foreign-run", "ui-foreign-metric", "ui-foreign-model")
# What MLflow's UI complains of by itself, by how it begins: its table's library is newer than its use of it,
# and it draws a chart of traces before that has a size.
MLFLOWS_OWN = (
    "AG Grid: since v27.1, `getRowNodeId` is deprecated and has been replaced by `getRowId`.",
    "AG Grid: since v27.1, `immutableData` is deprecated.",
    "The width(-1) and height(-1) of chart should be greater than 0,",
)
# It asks for its assistant, which runs programs on the server: Studio does not offer that.
ASSISTANT = "/mlflow/ajax-api/3.0/mlflow/assistant/"
# Chromium's own, of any page with a form.
CHROMIUMS_OWN = "CONNECT content-autofill.googleapis.com:443 "


@dataclass(frozen=True)
class Granted:
    """What rita may read, and the ids of what she may not."""

    trained: Trained
    foreign_experiment: str
    foreign_run: str

    @property
    def experiment(self) -> str:
        return f"experiments/{self.trained.experiment_id}"


@dataclass
class Proxy:
    """Where a browser would send what is for another host: it answers nothing, and remembers."""

    address: str
    asked: list[str] = field(default_factory=list)


@dataclass
class Visit:
    """rita's browser on MLflow's UI, and the answers to the page that is open."""

    tab: browsers.Tab
    root: str
    answers: list[Response] = field(default_factory=list)

    @property
    def page(self) -> Page:
        return self.tab.page

    def open(self, address: str) -> None:
        self.page.goto("about:blank")  # or only the fragment would change
        self.answers.clear()
        self.page.goto(f"{self.root}/mlflow/#/{address}")

    def heard(self, response: Response) -> None:
        if urlsplit(response.url).path.startswith(("/mlflow/ajax-api/", "/mlflow/graphql")):
            self.answers.append(response)

    def refused(self) -> set[str]:
        """What MLflow has refused, by the last part of the address."""
        paths = [urlsplit(answer.url).path for answer in self.answers if answer.status >= 400]
        return {path.split("/")[-1] for path in paths if not path.startswith(ASSISTANT)}

    def told(self, asked_for: str = "") -> list[str]:
        """Which secrets page and answers know, but for what the address itself has named."""
        known = self.page.content() + "".join(answer.text() for answer in self.answers)
        return [secret for secret in SECRETS if secret in known and secret not in asked_for]

    def complaints(self) -> list[str]:
        """Of the console, without the page's address, what is MLflow's own, and what `refused` tells."""
        texts = [complaint.partition(": ")[2] for complaint in self.tab.complaints]
        known = (*MLFLOWS_OWN, "Failed to load resource: the server responded with a status of 403")
        return [text for text in texts if not text.startswith(known)]


@pytest.fixture(scope="module")
def granted(live: Studio, token: str) -> Granted:
    with client_of(live.url, token) as client:
        trained = train_iris(EXPERIMENT)
        mlflow.register_model(f"models:/{trained.model_id}", MODEL)
        with mlflow.start_span(SPAN) as span:
            span.set_inputs({SPAN: 1})
        mlflow.flush_trace_async_logging()
        foreign = client.create_experiment(SECRETS[0])
        run_id = client.create_run(foreign, run_name=SECRETS[1]).info.run_id
        client.log_metric(run_id, SECRETS[2], 1)
        client.create_registered_model(SECRETS[3])
        made = f"from studio.accounts.models import User; User.objects.create_user('rita', password='{PASSWORD}')"
        live.manage("shell", "-c", made)
        grants = AuthServiceClient(live.url)
        grants.grant_user_permission("rita", "experiment", trained.experiment_id, "READ")
        grants.grant_user_permission("rita", "registered_model", MODEL, "READ")
    return Granted(trained, foreign, run_id)


@pytest.fixture
def elsewhere() -> Iterator[Proxy]:
    """Workers of a page, of whose requests Playwright does not tell, have to come through here too."""

    class Remember(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            proxy.asked.append(self.rfile.readline().decode(errors="replace"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Remember) as server:
        proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
        serving = threading.Thread(target=server.serve_forever, args=[0.05])
        serving.start()
        yield proxy
        server.shutdown()
        serving.join()


@pytest.fixture
def rita(live: Studio, granted: Granted, chromium: Browser, elsewhere: Proxy) -> Iterator[Visit]:
    """Over all she does: no policy report, no error, no request to another host."""
    with browsers.tab(chromium, proxy=elsewhere.address) as tab:
        asked: list[str] = []
        visit = Visit(tab, live.url)
        tab.page.context.on("request", lambda request: asked.append(request.url))
        tab.page.context.on("response", visit.heard)
        browsers.sign_in(tab.page, live.url, PASSWORD, "rita")
        yield visit
        assert visit.complaints() == []
        assert {urlsplit(url).netloc for url in asked} <= {urlsplit(live.url).netloc, ""}
        assert [line for line in elsewhere.asked if not line.startswith(CHROMIUMS_OWN)] == []


def test_the_experiments_are_those_that_were_granted(rita: Visit) -> None:
    rita.open("experiments")
    expect(rita.page.get_by_role("link", name=EXPERIMENT, exact=True)).to_be_visible()
    assert (rita.refused(), rita.told()) == (set(), [])


def test_an_experiment_shows_its_runs_and_a_run_its_metrics(rita: Visit, granted: Granted) -> None:
    page, run_id = rita.page, granted.trained.run_id
    rita.open(f"{granted.experiment}/runs")
    page.get_by_role("link", name="trained", exact=True).click()
    page.wait_for_url(f"**/mlflow/#/{granted.experiment}/runs/{run_id}**")
    row = page.get_by_role("row").filter(has_text="val/loss")
    expect(row).to_contain_text("0.007446583070924338")
    page.get_by_role("tab", name="Model metrics").click()
    drawn = page.locator(".js-plotly-plot .scatterlayer .lines path").first
    assert (drawn.get_attribute("d") or "").count("L") > 10  # a line through many points
    assert rita.told() == []


def test_a_picture_that_was_logged_is_shown(rita: Visit, granted: Granted) -> None:
    run = f"{granted.experiment}/runs/{granted.trained.run_id}"
    rita.open(f"{run}/artifacts/training_confusion_matrix.png")
    picture = rita.page.locator("img[src^='blob:'], img[src*='get-artifact']").first
    expect(picture).to_be_visible()
    assert picture.evaluate("async (it) => { await it.decode(); return it.naturalWidth }") > 100
    assert rita.refused() == set()


def test_a_trace_is_shown(rita: Visit, granted: Granted) -> None:
    """One of the things for which the UI is kept."""
    rita.open(f"{granted.experiment}/traces")
    expect(rita.page.get_by_text(SPAN).first).to_be_visible()
    assert rita.refused() == set()


def test_a_model_shows_its_versions(rita: Visit) -> None:
    rita.open("models")
    expect(rita.page.get_by_role("link", name=MODEL, exact=True)).to_be_visible()
    assert (rita.refused(), rita.told()) == (set(), [])
    rita.open(f"models/{MODEL}")
    rita.page.get_by_role("link", name="Version 1").click()
    rita.page.wait_for_url(f"**/mlflow/#/models/{MODEL}/versions/1**")
    expect(rita.page.get_by_role("link", name="trained", exact=True)).to_be_visible()
    assert (rita.refused(), rita.told()) == (set(), [])


def test_an_experiment_that_was_not_granted_is_refused(rita: Visit, granted: Granted) -> None:
    rita.open(f"experiments/{granted.foreign_experiment}/runs")
    told = "You don't have permissions to open requested experiment."
    expect(rita.page.get_by_text(told)).to_be_visible()
    assert rita.refused() == {"get", "search-datasets"}
    assert rita.told() == []


def test_a_model_that_was_not_granted_is_refused(rita: Visit) -> None:
    rita.open(f"models/{SECRETS[3]}")
    told = f"Permission denied for {SECRETS[3]}."
    expect(rita.page.get_by_text(told)).to_be_visible()
    assert rita.refused() == {"get"}
    assert rita.told(asked_for=SECRETS[3]) == []


def test_what_was_not_granted_is_nowhere_at_its_other_addresses(
    rita: Visit, granted: Granted
) -> None:
    """MLflow's UI shows an empty page here: its GraphQL answers with nothing, and not with a refusal."""
    experiment = f"experiments/{granted.foreign_experiment}"
    for address in (experiment, f"{experiment}/runs/{granted.foreign_run}"):
        with rita.page.expect_response("**/mlflow/graphql"):
            rita.open(address)
        expect(rita.page.get_by_text("rita", exact=True)).to_be_visible()
        assert rita.told() == []


def test_studios_pages_lead_to_the_same_page_of_the_ui(rita: Visit, granted: Granted) -> None:
    page, run_id = rita.page, granted.trained.run_id
    page.locator(".menu summary").click()
    page.get_by_role("link", name="MLflow's own UI").click()
    page.wait_for_url(f"{rita.root}/mlflow/**")
    expect(page).to_have_title(re.compile("MLflow"))  # its scripts put the page's name before it
    for own, address in (
        (f"/{granted.experiment}/", granted.experiment),
        (f"/runs/{run_id}/", f"{granted.experiment}/runs/{run_id}"),
    ):
        page.goto(f"{rita.root}{own}")
        page.get_by_role("link", name="Open in MLflow's own UI").click()
        page.wait_for_url(f"{rita.root}/mlflow/#/{address}**")


def test_who_was_on_the_way_to_the_ui_is_there_after_signing_in(
    live: Studio, granted: Granted, chromium: Browser
) -> None:
    with browsers.tab(chromium) as tab:
        page = tab.page
        page.goto(f"{live.url}/mlflow#/models/{MODEL}")
        page.get_by_label("Username").fill("rita")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{live.url}/mlflow/#/models/{MODEL}**")
        expect(page.get_by_role("link", name="Version 1")).to_be_visible()


def test_another_host_would_be_noticed(chromium: Browser, elsewhere: Proxy) -> None:
    """What the tests above rely on."""
    with browsers.tab(chromium, proxy=elsewhere.address) as tab:
        with pytest.raises(Error):
            tab.page.goto("http://mlflow.example/")
        assert {line.split()[1] for line in elsewhere.asked} == {"http://mlflow.example/"}


def test_the_ui_is_told_to_send_nothing_to_its_makers(live: Studio, token: str) -> None:
    with live.client(token) as api:
        told = api.get("/mlflow/ajax-api/3.0/mlflow/ui-telemetry").json()
    assert told["disable_ui_telemetry"] is True


def test_browsers_keep_the_files_of_the_ui(live: Studio, token: str) -> None:
    with live.client(token) as api:
        page = api.get("/mlflow/")
        (script,) = [part for part in page.text.split('"') if part.endswith(".js")]
        kept = api.get(f"/mlflow/{script}").headers["Cache-Control"]
        assert kept == "private, max-age=31536000, immutable"
        again = api.get("/mlflow/", headers={"If-None-Match": page.headers["ETag"]})
        assert (page.headers["Cache-Control"], again.status_code) == ("no-cache", 304)

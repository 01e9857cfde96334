"""The list of endpoints, an endpoint's tabs, its fragments and its log, as a browser asks for them."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils.timezone import now

from endpoints import logs
from endpoints.models import (
    STEPS,
    AttemptStep,
    Deployment,
    Endpoint,
    ReplicaState,
    State,
    Wanted,
)
from studio.accounts.models import User
from tests.support.pages import Page, page
from tests.support.serving import (
    WITH_EXAMPLE,
    deploy,
    last_attempt,
    make_deployment,
    make_endpoint,
    make_replica,
    play_engine,
    servable,
    settle,
)

IRIS = "/endpoints/iris/"


def get(client: Client, path: str, **query: Any) -> Page:
    response = client.get(path, query)
    assert response.status_code == 200, response.content
    return page(response)


def pills(shown: Page) -> list[str]:
    return [e.text for e in shown.all("span") if e.attributes.get("class", "").startswith("pill")]


class TestList:
    def test_without_any_it_shows_how_to_make_the_first(self, as_alice: Client) -> None:
        shown = get(as_alice, "/endpoints/")
        assert "Deploy your first model" in shown.texts("h2")
        (command,) = shown.texts("code")
        assert f"curl {settings.PUBLIC_URL}/api/v1/endpoints" in command
        assert shown.link("registered model") == "/models/"

    def test_each_has_its_state_its_deployments_and_its_address(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_replica(make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100))
        make_deployment(alice, iris, "green")
        shown = get(as_alice, "/endpoints/")
        assert shown.link("iris") == IRIS
        assert pills(shown) == ["Live"]
        row = shown.texts("tr")[1]
        assert "blue 100 %" in row
        assert "green" in row
        assert f"{settings.SCORING_URL}/endpoints/iris/invocations" in row

    def test_it_is_searched_by_name(self, as_alice: Client, alice: User) -> None:
        for name in ("churn-eu", "churn-us", "iris"):
            make_endpoint(alice, name)
        shown = get(as_alice, "/endpoints/", search="CHURN")
        assert {a["href"] for a in shown.all("a")} >= {
            "/endpoints/churn-eu/",
            "/endpoints/churn-us/",
        }
        assert IRIS not in {a["href"] for a in shown.all("a")}
        nothing = get(as_alice, "/endpoints/", search="none-such")
        assert "No endpoint is named like “none-such”" in nothing.texts("h2")

    def test_a_long_list_has_pages(self, as_alice: Client, alice: User) -> None:
        for number in range(51):
            make_endpoint(alice, f"endpoint-{number}")
        first = get(as_alice, "/endpoints/")
        assert len(first.all("tr")) == 51
        second = as_alice.get("/endpoints/" + (first.related("next") or ""))
        assert page(second).texts("tr")[1].startswith("endpoint-0Empty")
        assert get(as_alice, "/endpoints/", page="nonsense").texts("tr") == first.texts("tr")

    @pytest.mark.parametrize("count", [1, 30])
    def test_it_takes_as_many_statements_for_many_as_for_one(
        self, as_alice: Client, alice: User, count: int, django_assert_num_queries: Any
    ) -> None:
        for number in range(count):
            endpoint = make_endpoint(alice, f"endpoint-{number}")
            make_replica(make_deployment(alice, endpoint, state=State.LIVE, traffic=100))
        with django_assert_num_queries(6):  # session, user, count, endpoints, deployments, replicas
            assert len(get(as_alice, "/endpoints/").all("tr")) == count + 1


class TestOverview:
    def test_an_empty_one_says_what_to_do(self, as_alice: Client, iris: Endpoint) -> None:
        shown = get(as_alice, IRIS)
        assert "Nothing is deployed here" in shown.texts("h2")
        assert pills(shown) == ["Empty"]
        assert "Logs" not in shown.texts("a")

    def test_one_on_its_way_shows_each_step_and_its_log(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.FETCHING)
        attempt = last_attempt(blue)
        AttemptStep.objects.create(
            attempt=attempt, name=State.RESOLVING, ended_at=now(), detail="sklearn"
        )
        AttemptStep.objects.create(attempt=attempt, name=State.FETCHING)
        logs.write(logs.of_attempt(attempt), "fetching 5 files")
        shown = get(as_alice, IRIS)
        marks = [(e.attributes["class"], " ".join(e.text.split())) for e in shown.all("li")]
        assert [mark for mark, _ in marks] == ["done", "now", "todo", "todo", "todo", "todo"]
        assert marks[0][1].startswith("Resolving the model · sklearn")
        assert [text for _, text in marks[2:]] == [state.label for state in STEPS[2:]]
        assert "fetching 5 files" in shown.texts("pre")[-1]
        assert "blue · attempt 1" in shown.texts("h2")

    def test_a_failed_one_says_why_and_offers_to_try_again(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.FAILED, reason="It did not load.")
        AttemptStep.objects.create(
            attempt=last_attempt(blue), name=State.PROBING, ended_at=now(), failed=True
        )
        shown = get(as_alice, IRIS)
        assert "It did not load." in shown.texts("p")
        assert shown.all("li")[4]["class"] == "failed"
        (form,) = (f for f in shown.all("form") if "retry" in f.attributes.get("action", ""))
        assert as_alice.post(form["action"])["Location"] == f"{IRIS}?deployment=blue"
        assert Deployment.objects.get().state == State.QUEUED

    def test_a_live_one_shows_its_steps_folded(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        since = now() - timedelta(days=1)
        make_replica(make_deployment(alice, iris, state=State.LIVE, traffic=100, state_at=since))
        shown = get(as_alice, IRIS)
        (fold,) = (e for e in shown.all("details") if e["class"] == "fold")
        assert "open" not in fold.attributes
        assert State.PROBING.label in fold.text
        assert shown.all("pre") == []
        row = shown.texts("tr")[1]
        assert "100 %" in row
        assert "1 / 1" in row
        (overview,) = (e for e in shown.elements if e.attributes.get("id") == "overview")
        assert overview["hx-trigger"] == "news from:body"  # it waits for its replicas to tell

    def test_of_several_the_newest_unfinished_is_in_focus(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, "red", state=State.FAILED)
        make_deployment(alice, iris, "blue", state=State.BUILDING)
        make_deployment(alice, iris, "green", state=State.LIVE)
        assert "blue · attempt 1" in get(as_alice, IRIS).texts("h2")

    def test_one_that_is_being_deleted_offers_nothing(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, state=State.FAILED, wanted=Wanted.GONE)
        shown = get(as_alice, IRIS)
        assert "being deleted" in shown.texts("tr")[1]
        assert not any("retry" in form.attributes.get("action", "") for form in shown.all("form"))


class TestFragment:
    def address(self, client: Client) -> str:
        (element,) = (e for e in get(client, IRIS).elements if e.attributes.get("id") == "overview")
        assert element.attributes["hx-trigger"] == "every 1s, news from:body"
        return element["hx-get"]

    def test_while_nothing_has_changed_it_is_204(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, state=State.BUILDING)
        response = as_alice.get(self.address(as_alice))
        assert (response.status_code, response.content) == (204, b"")

    def test_after_a_change_it_is_the_new_state_and_asks_on(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.BUILDING)
        address = self.address(as_alice)
        blue.move(State.STARTING)
        response = as_alice.get(address)
        assert response.status_code == 200
        shown = page(response)
        assert shown.all("html") == []
        assert "Starting" in pills(shown)
        (again,) = (e["hx-get"] for e in shown.elements if "hx-get" in e.attributes)
        assert again != address
        assert as_alice.get(again).status_code == 204

    @pytest.mark.parametrize("end", [State.LIVE, State.FAILED])
    def test_when_all_has_settled_it_says_so_in_place_and_asks_no_more(
        self, as_alice: Client, alice: User, iris: Endpoint, end: State
    ) -> None:
        blue = make_deployment(alice, iris, state=State.TRYING)
        address = self.address(as_alice)
        blue.move(end)
        shown = page(as_alice.get(address))
        assert shown.elements[0]["hx-trigger"] == "news from:body"
        (state,) = (e for e in shown.elements if e.attributes.get("id") == "endpoint-state")
        assert state["hx-swap-oob"] == "true"
        assert state.text == ("Degraded" if end == State.LIVE else "Failed")
        assert [e["class"] for e in shown.all("li")] == ["todo"] * len(STEPS)

    def test_when_another_comes_into_focus_the_page_is_loaded_with_its_log(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, "blue", state=State.TRYING)
        address = self.address(as_alice)
        make_deployment(alice, iris, "green")
        response = as_alice.get(address)
        assert (response["HX-Refresh"], response.content) == ("true", b"")

    def test_news_of_a_replica_are_a_change(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        """Whoever looks at a page that has not settled sees that another deployment lost its replica."""
        live = make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100)
        make_replica(live)
        make_deployment(alice, iris, "green", state=State.BUILDING)
        address = self.address(as_alice)
        play_engine(live, state=ReplicaState.UNREADY)
        Deployment.objects.filter(pk=live.pk).update(changes=1)
        assert "0 / 1" in page(as_alice.get(address)).texts("tr")[1]

    def test_an_endpoint_that_went_meanwhile_is_told_in_place(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris)
        address = self.address(as_alice)
        Endpoint.objects.all().delete()
        response = as_alice.get(address, headers={"HX-Request": "true"})
        assert response.status_code == 404
        assert "There is no endpoint named" in page(response).texts("p")[0]
        assert page(response).all("html") == []


class TestLog:
    ADDRESS = "/endpoints/iris/deployments/blue/log/"

    def test_a_page_reads_on_where_it_was(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.BUILDING)
        path = logs.of_attempt(last_attempt(blue))
        logs.write(path, "one")
        (shown,) = (
            e for e in get(as_alice, IRIS, tab="logs").all("pre") if "data-src" in e.attributes
        )
        assert shown["data-src"] == self.ADDRESS
        assert "one" in shown.text
        logs.write(path, "two")
        told = as_alice.get(self.ADDRESS, {"after": shown["data-after"]}).json()
        assert [line[9:] for line in told["lines"]] == ["two"]
        assert told["settled"] is False
        assert as_alice.get(self.ADDRESS, {"after": told["after"]}).json()["lines"] == []

    def test_builds_and_replicas_logs_come_together(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.PROBING)
        logs.write(logs.of_attempt(last_attempt(blue)), "built")
        told = as_alice.get(self.ADDRESS).json()
        replica = make_replica(blue)
        logs.write(logs.of_replica(replica), "loading")
        new = as_alice.get(self.ADDRESS, {"after": told["after"]}).json()
        assert [line[9:] for line in new["lines"]] == ["loading"]

    @pytest.mark.parametrize(("state", "settled"), [(State.LIVE, True), (State.TRYING, False)])
    def test_it_says_when_no_more_will_come(
        self, as_alice: Client, alice: User, iris: Endpoint, state: State, settled: bool
    ) -> None:
        make_deployment(alice, iris, state=state)
        assert as_alice.get(self.ADDRESS).json()["settled"] is settled
        assert (
            any("data-settled" in e.attributes for e in get(as_alice, IRIS, tab="logs").all("pre"))
            is settled
        )

    def test_of_a_long_log_more_is_read_although_no_more_will_come(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.FAILED)
        path = logs.of_attempt(last_attempt(blue))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"00:00:00 line {number}\n" for number in range(30_000)))
        found: list[str] = []
        told: dict[str, Any] = {"after": "", "settled": False}
        while not told["settled"]:
            told = as_alice.get(self.ADDRESS, {"after": told["after"]}).json()
            found += told["lines"]
        assert len(found) == 30_000

    @pytest.mark.parametrize(
        "after", ["nonsense", "build-1:-1", "build-1:x", ",,,", "build-1:" + "9" * 40]
    )
    def test_a_place_that_is_none_reads_from_the_beginning(
        self, as_alice: Client, alice: User, iris: Endpoint, after: str
    ) -> None:
        logs.write(logs.of_attempt(last_attempt(make_deployment(alice, iris))), "one")
        assert len(as_alice.get(self.ADDRESS, {"after": after}).json()["lines"]) == 1

    def test_who_watches_while_it_is_tried_again_sees_the_new_attempt_whole(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.BUILDING)
        logs.write(logs.of_attempt(last_attempt(blue)), "a first attempt")
        after = as_alice.get(self.ADDRESS).json()["after"]
        blue.attempts.create(number=2)
        for line in ("the second attempt", "and what it says"):
            logs.write(logs.of_attempt(last_attempt(blue)), line)
        told = as_alice.get(self.ADDRESS, {"after": after}).json()
        assert [line[9:] for line in told["lines"]] == ["the second attempt", "and what it says"]


class TestTabs:
    @pytest.mark.parametrize(
        ("tab", "current"),
        [("", "Overview"), ("overview", "Overview"), ("test", "Test"), ("consume", "Consume")]
        + [("logs", "Logs"), ("none-such", "Overview")],
    )
    def test_each_is_marked_as_the_one_that_is_shown(
        self, as_alice: Client, alice: User, iris: Endpoint, tab: str, current: str
    ) -> None:
        make_deployment(alice, iris)
        shown = get(as_alice, IRIS, tab=tab)
        marked = [a.text for a in shown.all("a") if a.attributes.get("aria-current") == "page"]
        assert marked[-1] == current

    def test_the_test_tab_offers_the_models_own_example(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        example = '{"dataframe_split": {"columns": ["x"], "data": [[4.25]]}}'
        version = servable(WITH_EXAMPLE, **{"serving_input_example.json": example})
        settle(deploy(alice, version, iris))
        (body,) = get(as_alice, IRIS, tab="test").texts("textarea")
        assert "4.25" in body

    def test_without_a_model_it_offers_the_shape_of_a_body(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        assert "dataframe_split" in get(as_alice, IRIS, tab="test").texts("textarea")[0]

    def test_the_consume_tab_shows_commands_without_a_key(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        shown = get(as_alice, IRIS, tab="consume")
        curl, python = shown.texts("code")[:2]
        assert shlex.split(curl)[:2] == [
            "curl",
            f"{settings.SCORING_URL}/endpoints/iris/invocations",
        ]
        assert "Authorization: Bearer $STUDIO_KEY" in curl
        assert "os.environ['STUDIO_KEY']" in python
        compile(shown.all("code")[1].text, "snippet", "exec")

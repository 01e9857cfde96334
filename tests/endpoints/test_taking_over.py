"""When the deployment with the traffic is deleted, another that is live takes it over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils.timezone import now

from endpoints import services
from endpoints.models import Deployment, Endpoint, State, Wanted
from studio.accounts.models import User
from tests.support.pages import page
from tests.support.serving import make_deployment, make_endpoint, make_replica

IRIS = "/endpoints/iris/"


def traffic() -> dict[str, int]:
    return dict(Deployment.objects.values_list("name", "traffic"))


def test_the_newest_that_is_live_takes_all_of_it(alice: User, iris: Endpoint) -> None:
    blue = make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100)
    for name in ("old", "new"):
        make_replica(make_deployment(alice, iris, name, state=State.LIVE))
    make_deployment(alice, iris, "broken", state=State.FAILED)
    make_deployment(alice, iris, "coming", state=State.BUILDING)
    heir = services.delete_deployment(deployment=blue, by=alice)
    assert heir is not None
    assert heir.name == "new"
    assert traffic() == {"blue": 0, "old": 0, "new": 100, "broken": 0, "coming": 0}
    assert Deployment.objects.get(name="new").changes == 1
    assert Endpoint.objects.get().state == "live"


@pytest.mark.parametrize(
    "other",
    [
        {"state": State.FAILED},
        {"state": State.TRYING},
        {"state": State.LIVE, "wanted": Wanted.GONE},
        {"state": State.LIVE, "wanted": Wanted.STOPPED},
        {"state": State.STOPPED, "wanted": Wanted.STOPPED},
    ],
)
def test_what_is_not_live_takes_nothing(alice: User, iris: Endpoint, other: dict[str, str]) -> None:
    blue = make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100)
    make_deployment(alice, iris, "green", **other)
    assert services.delete_deployment(deployment=blue, by=alice) is None
    assert traffic() == {"blue": 0, "green": 0}


def test_where_others_have_traffic_they_go_on_as_before(alice: User, iris: Endpoint) -> None:
    blue = make_deployment(alice, iris, "blue", state=State.LIVE, traffic=70)
    make_deployment(alice, iris, "green", state=State.LIVE, traffic=30)
    make_deployment(alice, iris, "red", state=State.LIVE)
    assert services.delete_deployment(deployment=blue, by=alice) is None
    assert traffic() == {"blue": 0, "green": 30, "red": 0}


def test_what_a_stopped_one_has_stays_its_own(alice: User, iris: Endpoint) -> None:
    blue = make_deployment(alice, iris, "blue", state=State.LIVE, traffic=70)
    make_deployment(alice, iris, "green", state=State.STOPPED, wanted=Wanted.STOPPED, traffic=30)
    make_deployment(alice, iris, "red", state=State.LIVE)
    assert services.delete_deployment(deployment=blue, by=alice) is not None
    assert traffic() == {"blue": 0, "green": 30, "red": 70}


def test_a_stopped_one_with_the_traffic_leaves_it_to_one_that_is_live(
    alice: User, iris: Endpoint
) -> None:
    blue = make_deployment(
        alice, iris, "blue", state=State.STOPPED, wanted=Wanted.STOPPED, traffic=100
    )
    make_deployment(alice, iris, "green", state=State.LIVE)
    assert services.delete_deployment(deployment=blue, by=alice) is not None
    assert traffic() == {"blue": 0, "green": 100}


def test_one_without_traffic_goes_and_nothing_else_changes(alice: User, iris: Endpoint) -> None:
    make_deployment(alice, iris, "blue", state=State.LIVE)
    green = make_deployment(alice, iris, "green", state=State.LIVE)
    assert services.delete_deployment(deployment=green, by=alice) is None
    assert traffic() == {"blue": 0, "green": 0}


def test_to_delete_it_twice_hands_over_once(alice: User, iris: Endpoint) -> None:
    blue = make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100)
    make_deployment(alice, iris, "green", state=State.LIVE)
    services.delete_deployment(deployment=blue, by=alice)
    Deployment.objects.filter(name="green").update(traffic=0)
    assert services.delete_deployment(deployment=blue, by=alice) is None  # `blue` is as it was
    assert traffic() == {"blue": 0, "green": 0}


def test_a_deployment_of_another_endpoint_takes_nothing(alice: User, iris: Endpoint) -> None:
    blue = make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100)
    make_deployment(alice, make_endpoint(alice, "churn"), "green", state=State.LIVE)
    assert services.delete_deployment(deployment=blue, by=alice) is None
    assert traffic()["green"] == 0


def test_with_the_whole_endpoint_nobody_takes_over(alice: User, iris: Endpoint) -> None:
    make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100)
    make_deployment(alice, iris, "green", state=State.LIVE)
    services.delete_endpoint(endpoint=iris, by=alice)
    assert traffic() == {"blue": 0, "green": 0}


def test_the_page_says_who_will_before_and_who_does_after(
    as_alice: Client, alice: User, iris: Endpoint
) -> None:
    make_deployment(alice, iris, "blue", state=State.LIVE, traffic=100)
    since = now() - timedelta(hours=1)
    make_replica(make_deployment(alice, iris, "green", state=State.LIVE, state_at=since))
    address = f"{IRIS}deployments/blue/delete/"
    (told, *_) = page(as_alice.get(address)).texts("p")
    assert "It takes 100 % of the traffic of iris: green (churn v1) takes over all of it." in told
    assert "refused" not in told
    assert traffic() == {"blue": 100, "green": 0}
    after = page(as_alice.post(address, follow=True))
    assert any("green takes all of the traffic now." in text for text in after.texts("p"))
    assert "100 %" in next(row for row in after.texts("tr") if row.startswith("green"))

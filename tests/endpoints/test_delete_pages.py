"""Deleting an endpoint or a deployment on its page: it asks first, and names what ends."""

from __future__ import annotations

import pytest
from django.test import Client

from endpoints.models import Deployment, Endpoint, ReplicaState, State, Wanted
from studio.accounts.models import User
from tests.support.pages import page
from tests.support.serving import make_deployment, make_replica

IRIS = "/endpoints/iris/"


class TestDelete:
    def test_an_endpoints_page_names_what_it_destroys(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        for name in ("blue", "green"):
            make_deployment(alice, iris, name)
        shown = page(as_alice.get(f"{IRIS}delete/"))
        assert shown.texts("h1") == ["Delete the endpoint iris?"]
        told = shown.texts("p")[0]
        assert iris.scoring_url in told
        assert "2 deployments with their logs: blue (churn v1), green (churn v1)" in told
        assert Endpoint.objects.get().wanted == Wanted.LIVE

    def test_confirmed_it_goes(self, as_alice: Client, alice: User, iris: Endpoint) -> None:
        make_deployment(alice, iris)
        response = as_alice.post(f"{IRIS}delete/", follow=True)
        assert response.redirect_chain == [("/endpoints/", 302)]
        assert "The endpoint iris is being deleted." in " ".join(page(response).texts("p"))
        assert Endpoint.objects.get().wanted == Wanted.GONE

    def test_a_deployments_page_names_what_it_destroys(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, "blue", state=State.LIVE, traffic=70)
        shown = page(as_alice.get(f"{IRIS}deployments/blue/delete/"))
        assert shown.texts("h1") == ["Delete the deployment blue?"]
        assert (
            "It takes 70 % of the traffic of iris: these requests are refused"
            in shown.texts("p")[0]
        )
        assert "It has no replicas now." in shown.texts("p")[0]
        assert Deployment.objects.get().wanted == Wanted.LIVE

    @pytest.mark.parametrize(
        ("count", "words"),
        [(1, "Its 1 replica finishes what it answers and ends;")]
        + [(3, "Its 3 replicas finish what they answer and end;")],
    )
    def test_it_names_how_many_replicas_end(
        self, as_alice: Client, alice: User, iris: Endpoint, count: int, words: str
    ) -> None:
        blue = make_deployment(alice, iris, "blue", state=State.LIVE)
        for _ in range(count):
            make_replica(blue)
        make_replica(blue, ReplicaState.GONE)
        assert words in page(as_alice.get(f"{IRIS}deployments/blue/delete/")).texts("p")[0]

    def test_a_confirmed_deployment_goes(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, "blue", state=State.LIVE, traffic=70)
        response = as_alice.post(f"{IRIS}deployments/blue/delete/", follow=True)
        assert response.redirect_chain == [(IRIS, 302)]
        assert Deployment.objects.get().wanted == Wanted.GONE
        assert "being deleted" in page(response).texts("tr")[1]

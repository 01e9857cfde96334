"""The palette names pages and actions, each to whom it is open; a page that is not there leads on."""

from __future__ import annotations

import gc

import pytest
from django.test import Client

from tests.support.pages import Page, page

EVERYBODYS = {"Home", "Experiments", "Models", "Endpoints", "Access tokens", "Password"} | {
    "MLflow's own UI",
    "Create an access token",
}
ADMINISTRATORS = {"Admin", "Users", "Health", "Audit log", "Create a user", "Deploy a model"}


def find(client: Client, text: str = "") -> Page:
    return page(client.get("/find/", {"text": text}))


def labels(found: Page) -> set[str]:
    return {
        told.removesuffix(kind)
        for told, kind in zip(found.texts("a"), found.texts("small"), strict=True)
    }


def test_without_a_text_it_offers_every_page_and_action(as_alice: Client, as_bob: Client) -> None:
    assert labels(find(as_alice)) == EVERYBODYS | ADMINISTRATORS
    assert labels(find(as_bob)) == EVERYBODYS


@pytest.mark.parametrize(
    ("text", "alices", "bobs"),
    [
        ("token", {"Access tokens", "Create an access token"}, None),
        ("USER", {"Users", "Create a user"}, set()),
        ("deploy", {"Deploy a model"}, set()),
        ("audit", {"Audit log"}, set()),
        ("health", {"Health"}, set()),
    ],
)
def test_they_are_found_by_name_by_whom_they_are_open_to(
    as_alice: Client, as_bob: Client, text: str, alices: set[str], bobs: set[str] | None
) -> None:
    assert labels(find(as_alice, text)) == alices
    assert labels(find(as_bob, text)) == (alices if bobs is None else bobs)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_each_leads_somewhere_and_has_a_name_of_its_own(as_alice: Client) -> None:
    links = find(as_alice).all("a")
    assert len({link["id"] for link in links}) == len(links)
    for link in links:
        if link["href"] == "/mlflow/":  # MLflow's own server has tests of its own
            continue
        assert as_alice.get(link["href"]).status_code == 200, link["href"]
    gc.collect()  # httpcore leaves a socket that found nobody to the garbage collector, which warns


@pytest.mark.parametrize(
    ("path", "label", "leads_to"),
    [
        ("/models/none-such/", "Models", "/models/"),
        ("/experiments/987654/", "Experiments", "/experiments/"),
        ("/runs/none-such/", "Experiments", "/experiments/"),
        ("/endpoints/none-such/", "Endpoints", "/endpoints/"),
    ],
)
def test_what_is_not_there_leads_to_the_list_of_what_is(
    as_alice: Client, path: str, label: str, leads_to: str
) -> None:
    response = as_alice.get(path)
    assert response.status_code == 404
    shown = page(response)
    assert [a["href"] for a in shown.all("a") if a.attributes.get("class") == "btn"] == [
        leads_to,
        "/",
    ]
    assert shown.link(label) == leads_to


def test_the_first_commands_name_one_variable_and_where_its_token_is_made(
    as_alice: Client,
) -> None:
    shown = page(as_alice.get("/endpoints/"))
    (command,) = shown.texts("code")
    assert command.count("$MLFLOW_TRACKING_TOKEN") == 2
    assert "STUDIO_TOKEN" not in command
    assert shown.link("access token") == "/settings/tokens/"

"""Two web processes are one Studio: what one of them is told, the other knows at once."""

from __future__ import annotations

import re
import threading
from typing import Any

import httpx
import pytest

from tests.support.hosts import PASSWORD, Host, Hosts
from tests.support.processes import until

# As nginx tells it of somebody far away.
_FAR = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
_COOKIE = re.compile(r"(studio_\w+)=([^;]+)")


def at(two: Hosts, host: Host, **headers: str) -> httpx.Client:
    """A client of this web process, by the words of the proxy. It keeps no cookies: they are secure ones."""
    told = {"Host": two.url.removeprefix("https://"), **_FAR, **headers}
    return httpx.Client(base_url=host.web, headers=told, timeout=30)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    found = (_COOKIE.match(line) for line in answer.headers.get_list("set-cookie"))
    return {match[1]: match[2] for match in found if match}


def sign_in(two: Hosts, page: Host, form: Host, username: str, password: str) -> httpx.Response:
    """The page from one host, the form to the other."""
    with at(two, page) as one, at(two, form) as other:
        shown = one.get("/login/")
        field = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown.text)
        assert field is not None
        cookie = "; ".join(f"{name}={value}" for name, value in cookies_of(shown).items())
        given = {"csrfmiddlewaretoken": field[1], "username": username, "password": password}
        headers = {"Cookie": cookie, "Origin": two.url}
        return other.post("/login/", data=given, headers=headers)


@pytest.fixture
def api(two: Hosts, token: str) -> Any:
    with two.client(headers=bearer(token)) as client:
        yield client


def make_user(api: httpx.Client, name: str) -> str:
    password = f"{name} has a long passphrase"
    made = api.post("/api/v1/users", json={"username": name, "password": password})
    assert made.status_code == 201, made.text
    return password


def test_all_is_well_on_both_and_at_the_one_address(two: Hosts) -> None:
    for host in (two.first, two.second):
        health = httpx.get(f"{host.web}/healthz", timeout=30).json()
        assert (health["status"], health["unwell"]) == ("ok", [])
    with two.client() as client:
        assert client.get("/livez").text == "ok"
    plain = httpx.get(f"{two.plain_url}/experiments/?a=b")
    assert (plain.status_code, plain.headers["location"]) == (
        301,
        "https://localhost/experiments/?a=b",
    )


def test_who_signs_in_through_one_is_signed_in_at_the_other(two: Hosts) -> None:
    answer = sign_in(two, two.first, two.second, "admin", PASSWORD)
    assert answer.status_code == 302
    cookies = cookies_of(answer)
    port = two.url.rpartition(":")[2]
    assert set(cookies) == {f"studio_session_{port}", f"studio_csrf_{port}"}
    assert all("Secure" in line for line in answer.headers.get_list("set-cookie"))
    cookie = f"studio_session_{port}={cookies[f'studio_session_{port}']}"
    for host in (two.first, two.second):
        with at(two, host, Cookie=cookie) as client:
            assert client.get("/settings/tokens/").status_code == 200
    with at(
        two, two.first, Cookie=cookie
    ) as client:  # signing out needs the page's token: by the page
        page = client.get("/settings/tokens/")
        field = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert field is not None
        csrf = cookies_of(page) or {f"studio_csrf_{port}": cookies[f"studio_csrf_{port}"]}
        jar = "; ".join([cookie, *(f"{name}={value}" for name, value in csrf.items())])
        out = client.post(
            "/logout/",
            data={"csrfmiddlewaretoken": field[1]},
            headers={"Cookie": jar, "Origin": two.url},
        )
        assert out.status_code == 302, out.text
    with at(two, two.second, Cookie=cookie) as client:
        assert client.get("/settings/tokens/").status_code == 302


def test_a_token_counts_everywhere_and_once_revoked_nowhere(two: Hosts, token: str) -> None:
    with at(two, two.first, **bearer(token)) as client:
        made = client.post("/api/v1/tokens", json={"label": "short"}).json()
    with at(two, two.second, **bearer(made["token"])) as client:
        assert client.get("/api/v1/tokens").status_code == 200
    with at(two, two.second, **bearer(token)) as client:
        assert client.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    with at(two, two.first, **bearer(made["token"])) as client:
        assert client.get("/api/v1/tokens").status_code == 401


def test_guesses_at_both_count_together_and_lock_out_one_client(
    two: Hosts, api: httpx.Client
) -> None:
    password = make_user(api, "guessed")

    def answer(host: Host, secret: str, chain: str) -> int:
        with at(two, host, **{"X-Forwarded-For": chain}) as client:
            return client.get("/api/v1/tokens", auth=("guessed", secret)).status_code

    for guess in range(10):  # another invented address each time, left of the proxy's own word
        chain = f"203.0.113.{guess}, 198.51.100.7"
        assert answer((two.first, two.second)[guess % 2], "wrong", chain) == 401
    for host in (two.first, two.second):
        assert answer(host, password, "203.0.113.77, 198.51.100.7") == 429
        assert answer(host, password, "198.51.100.8") == 200  # another behind the same proxy


def test_what_a_client_says_of_its_address_does_not_pass_nginx(two: Hosts) -> None:
    spoofed = dict.fromkeys(
        ("X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "Forwarded"), "203.0.113.5"
    )
    with two.client() as client:
        refused = client.get("/api/v1/tokens", auth=("spoofed", "wrong"), headers=spoofed)
    assert refused.status_code == 401
    assert address_of_failed(two, "spoofed") == "127.0.0.1"  # who asked nginx


def test_of_several_headers_the_last_is_the_proxy_s_own(two: Hosts) -> None:
    """Of a proxy that adds its own below the client's: granian joins them in their order."""
    lines = [
        ("Host", two.url.removeprefix("https://")),
        ("X-Forwarded-For", "203.0.113.5"),
        ("X-Forwarded-For", "198.51.100.9"),
    ]
    refused = httpx.get(
        f"{two.first.web}/api/v1/tokens", auth=("several", "wrong"), headers=lines, timeout=30
    )
    assert refused.status_code == 401
    assert address_of_failed(two, "several") == "198.51.100.9"


def address_of_failed(two: Hosts, subject: str) -> str:
    """Where a failure came from, as the log of the web process that counted it says."""

    def look() -> str:
        told = "".join((host.home / "web.out").read_text() for host in (two.first, two.second))
        found = re.search(rf"refused subject='{subject}' address=(\S+)", told)
        return found[1] if found else ""

    return until(look, "the refusal is logged", 10)


def test_another_host_s_name_is_refused_whoever_names_it(two: Hosts) -> None:
    with two.client() as client:
        assert (
            client.get("/login/", headers={"X-Forwarded-Host": "evil.example"}).status_code == 200
        )
        assert client.get("/login/", headers={"Host": "evil.example"}).status_code == 400


def test_what_a_user_may_is_the_same_on_both_at_the_next_request(
    two: Hosts, api: httpx.Client
) -> None:
    password = make_user(api, "granted")
    made = api.post("/api/2.0/mlflow/experiments/create", json={"name": "shared by two"})
    experiment = {"experiment_id": made.json()["experiment_id"]}

    def asked(host: Host) -> int:
        with at(two, host) as client:
            answer = client.get(
                "/api/2.0/mlflow/experiments/get", params=experiment, auth=("granted", password)
            )
            return answer.status_code

    assert (asked(two.first), asked(two.second)) == (403, 403)
    grant = {"username": "granted", "resource_type": "experiment", "permission": "READ"}
    grant |= {"resource_id": experiment["experiment_id"]}
    address = "/api/3.0/mlflow/users/permissions"
    with at(two, two.first, **dict(api.headers)) as first:
        given = first.post(f"{address}/grant", json=grant)
        assert given.status_code == 200, given.text
    assert (asked(two.second), asked(two.first)) == (200, 200)
    with at(two, two.second, **dict(api.headers)) as second:
        taken = second.post(f"{address}/revoke", json=grant)
        assert taken.status_code == 200, taken.text
    assert (asked(two.first), asked(two.second)) == (403, 403)


def test_a_request_that_is_repeated_at_the_other_is_done_once(two: Hosts, token: str) -> None:
    headers = {"Idempotency-Key": "the-same-request"}
    answers: list[httpx.Response] = []

    def ask(host: Host) -> None:
        with at(two, host, **bearer(token)) as client:
            answers.append(
                client.post("/api/v1/endpoints", json={"name": "repeated"}, headers=headers)
            )

    both = [threading.Thread(target=ask, args=[host]) for host in (two.first, two.second)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    ask(two.first)
    assert answers[-1].status_code == 201
    assert {answer.status_code for answer in answers} <= {201, 409}  # 409: it was under way
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1


def test_a_changed_password_counts_at_once_where_the_old_one_is_remembered(
    two: Hosts, api: httpx.Client
) -> None:
    old, new = make_user(api, "changed"), "an entirely new passphrase"

    def answers(password: str) -> list[int]:
        found = []
        for host in (two.first, two.second):
            with at(two, host) as client:
                found.append(client.get("/api/v1/tokens", auth=("changed", password)).status_code)
        return found

    assert answers(old) == answers(old) == [200, 200]
    given = {"username": "changed", "password": new}
    changed = api.patch("/api/2.0/mlflow/users/update-password", json=given)
    assert changed.status_code == 200, changed.text
    assert answers(old) == [401, 401]
    assert answers(new) == [200, 200]

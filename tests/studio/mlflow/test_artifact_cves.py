"""Each CVE of MLflow's that reads, writes or deletes files by its artifact routes, or that shows them: what was
sent then is sent to a running Studio, and must have no effect.

Nothing may come back of files outside STUDIO_ARTIFACTS, nothing outside may change, and what is yielded must
be refused. Not here: what needs no artifact route (commands, templates and pickles of a client's own machine).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.attacker import Answer, Attacker, Outside, nothing_of_it, user_on
from tests.support.live import Studio

_PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Scene:
    """An attacker with an experiment and a run of his own, and somebody else's of which he may see one."""

    me: Attacker
    victim: Attacker
    experiment: str
    run: str
    theirs: str  # an experiment that nobody has been let into
    shown: str  # one that everybody here may read

    @property
    def outside(self) -> Path:
        return self.me.outside.folder

    @property
    def root(self) -> Path:
        return self.me.live.home / "artifacts"

    def below(self, rest: str) -> str:
        """An address below the run's own, up to here."""
        return f"mlflow-artifacts:/{self.experiment}/{self.run}/artifacts/{rest}"


Send = Callable[[Scene], Iterable[Answer]]


class Case(NamedTuple):
    """`sent` in words; `send` yields the answers that must be refusals, unless it is `taken` for a name.

    On Linux a backslash is a letter, and what begins with a slash may lie below a folder all the same.
    """

    sent: str
    send: Send
    taken: bool = False


@pytest.fixture(scope="module")
def scene(live: Studio, token: str, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    outside = Outside(tmp_path_factory.mktemp("cves") / "folder", live.home / "beside")
    victim = Attacker(live, token, outside)
    me = Attacker(live, user_on(live, "trudy"), outside)
    theirs, shown = victim.new_experiment(), victim.new_experiment()
    grant = {"resource_type": "experiment", "resource_id": shown, "permission": "READ"}
    given = victim.send(
        "POST", "/api/3.0/mlflow/users/permissions/grant", {"username": "trudy"} | grant
    )
    assert given.status == 200, given
    own = me.new_experiment()
    return Scene(me, victim, own, me.new_run(own), theirs, shown)


@pytest.fixture(autouse=True)
def untouched(scene: Scene) -> Iterator[None]:
    yield
    state, before = scene.me.outside.state(), scene.me.outside.before
    scene.me.outside.before = state
    assert state == before


def address(written: str) -> Send:
    """An experiment at this place, then every route that opens what lies there."""

    def send(scene: Scene) -> Iterator[Answer]:
        made, *answers = scene.me.address(written.format(outside=scene.outside, root=scene.root))
        # But for the making of a trace and a version: they may say so, nothing is opened for it.
        opened = [
            one for one in answers if not one.asked.startswith("POST") or "upload" in one.asked
        ]
        yield from [made] if made.status != 200 else opened

    return send


def source(written: str, **more: str) -> Send:
    """A model version with this source, and, if that is let through, its files."""

    def send(scene: Scene) -> Iterator[Answer]:
        place = written.format(
            outside=scene.outside, root=scene.root, run=scene.run, own=scene.below("")
        )
        given = more | ({"run_id": scene.run} if "run_id" in more else {})
        yield from scene.me.source(place, **given)

    return send


def path(*written: str, encode: bool = True) -> Send:
    """This path below a run of one's own, read, listed, written and deleted."""

    def send(scene: Scene) -> Iterator[Answer]:
        for one in written:
            place = one.format(outside=scene.outside)
            yield from scene.me.path(scene.experiment, scene.run, place, encode=encode)

    return send


def a_link(scene: Scene) -> Iterator[Answer]:
    run = scene.me.new_run(scene.experiment)
    (scene.me.folder_of(scene.experiment, run) / "link").symlink_to(scene.outside)
    for name in ("link", "link/secret.txt", "link/new.txt"):
        yield from scene.me.path(scene.experiment, run, name)
    place = f"mlflow-artifacts:/{scene.experiment}/{run}/artifacts/link"
    _, *answers = scene.me.source(place, run_id=run)
    yield from answers


def a_prompt(scene: Scene) -> Iterator[Answer]:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    text = [{"key": "mlflow.prompt.text", "value": "x"}]
    for place in (f"file://{scene.outside}", str(scene.outside), "mlflow-artifacts:/../beside"):
        yield from scene.me.source(place, model_tags=tags, tags=tags + text)
        yield from scene.me.source(place, tags=tags + text)


def a_reader_deletes(scene: Scene) -> Iterator[Answer]:
    place = f"{_PROXY}/{scene.shown}/kept.txt"
    assert scene.victim.send("PUT", place, b"kept").status == 200
    assert scene.me.send("GET", place).body == b"kept"
    yield scene.me.send("DELETE", place)
    yield scene.me.send("DELETE", f"{_PROXY}/{scene.shown}")
    yield scene.me.send("PUT", place, b"evil")
    assert scene.victim.send("GET", place).body == b"kept"


def parts_of_an_upload(scene: Scene) -> Iterator[Answer]:
    for experiment in (scene.theirs, scene.shown):
        for name in ("model/MLmodel", "%2e%2e/x", "x"):
            for answer in scene.me.in_parts(f"{experiment}/run/artifacts/{name}"):
                assert answer.status in (400, 403), answer
                yield answer


def anothers_model(scene: Scene) -> Iterator[Answer]:
    model = scene.victim.new_model(scene.theirs)
    place = f"{_PROXY}/{scene.theirs}/models/{model}/artifacts/MLmodel"
    assert scene.victim.send("PUT", place, b"theirs").status == 200
    for api in ("/api/2.0", "/ajax-api/2.0", "/ajax-api/3.0", "/mlflow/ajax-api/2.0"):
        route = f"{api}/mlflow/logged-models/{model}/artifacts"
        for end in ("files?artifact_file_path=MLmodel", "directories"):
            answer = scene.me.send("GET", f"{route}/{end}")
            assert b"theirs" not in answer.body
            yield answer
    yield scene.me.send("GET", place)


def anothers_by_a_detour(scene: Scene) -> Iterator[Answer]:
    """The first number of a path says whose it is: it is the path after decoding whose number counts."""
    mine, theirs = scene.experiment, scene.theirs
    assert scene.victim.send("PUT", f"{_PROXY}/{theirs}/x.txt", b"theirs").status == 200
    coded = "".join(f"%25{ord(digit):x}" for digit in theirs)
    for way in (f"{mine}/../{theirs}", f"{mine}/%2e%2e/{theirs}", f"{mine}/%252e%252e/{theirs}", coded,
                f"./{theirs}", f"{mine}%2f..%2f{theirs}", f"//{theirs}", f"{mine}/..;/{theirs}"):  # fmt: skip
        for method in ("GET", "PUT", "DELETE"):
            answer = scene.me.send(
                method, f"{_PROXY}/{way}/x.txt", b"evil" if method == "PUT" else None
            )
            assert b"theirs" not in answer.body
            if "..;" not in way:  # a folder of that name in one's own experiment
                yield answer
    assert scene.victim.send("GET", f"{_PROXY}/{theirs}/x.txt").body == b"theirs"


def an_archive(scene: Scene) -> Iterator[Answer]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in (str(scene.outside / "new.txt"), "../../../../beside/new.txt"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    place = f"{_PROXY}/{scene.experiment}/{scene.run}/artifacts/model.tar.gz"
    assert scene.me.send("PUT", place, packed.getvalue()).status == 200
    assert scene.me.send("GET", place).body == packed.getvalue()  # kept as it is, never unpacked
    assert sorted(scene.me.folder_of(scene.experiment, scene.run).rglob("new.txt")) == []
    yield scene.me.send("GET", f"{place}/new.txt")


def a_content_type(scene: Scene) -> Iterator[Answer]:
    script = "<script>alert(1)</script>"
    wire = scene.me
    for route in ("runs/create", "experiments/create", "registered-models/create"):
        answer = wire.send(
            "POST", f"/api/2.0/mlflow/{route}", b"{}", headers={"Content-Type": script}
        )
        assert answer.headers["content-type"].startswith("application/json")
        shown_as_data(answer)
        yield answer


def a_page_as_artifact(scene: Scene) -> Iterator[Answer]:
    """Stored script: in MLmodel, which MLflow's UI parsed in the browser, and in files that a browser runs."""
    script = b"<script>alert(1)</script>"
    evil = b"name: !!js/function 'function(){alert(1)}'\nflavors: !!python/object/apply:os.system ['x']\n# "
    base = f"{_PROXY}/{scene.experiment}/{scene.run}/artifacts/m"
    for name in ("MLmodel", "x.html", "x.svg", "x.xml"):
        assert scene.me.send("PUT", f"{base}/{name}", evil + script).status == 200
        for answer in (
            scene.me.send("GET", f"{base}/{name}"),
            scene.me.send("GET", "/get-artifact", run_uuid=scene.run, path=f"m/{name}"),
            scene.me.send("GET", "/mlflow/get-artifact", run_uuid=scene.run, path=f"m/{name}"),
            scene.me.send("GET", f"/runs/{scene.run}/download/", path=f"m/{name}"),
        ):
            assert (answer.status, answer.body) == (200, evil + script), answer
            assert answer.headers["content-disposition"].startswith("attachment")
            shown_as_data(answer)
    made, *_ = scene.me.source(scene.below("m"), run_id=scene.run)
    name = made.json["model_version"]["name"]
    page = scene.me.send("GET", f"/models/{name}/versions/1/")
    assert page.status == 200
    assert script not in page.body
    preview = scene.me.send("GET", f"/runs/{scene.run}/preview/", path="m/MLmodel")
    assert script not in preview.body
    yield scene.me.send("GET", f"{base}/missing.html")


def shown_as_data(answer: Answer) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


CASES = {
    "CVE-2023-1176": Case("an absolute path as a run's artifact", path("/etc/passwd", "{outside}/secret.txt"), taken=True),
    "CVE-2023-1177": Case("a local folder as a version's source", source("file://{outside}")),
    "CVE-2023-2356": Case("relative parts in a source", source("mlflow-artifacts://host:1/../../../../beside")),
    "CVE-2023-2780": Case("backslashes in a source", source("file://{root}/\\..\\..\\beside")),
    "CVE-2023-3765": Case("an absolute path of Windows", path("C:\\secret.txt", "C:/secret.txt", "\\\\h\\s"), taken=True),
    "CVE-2023-6015": Case("an upload to a path that leads out", path("../../../../beside/new.txt")),
    "CVE-2023-6018": Case("an upload to an experiment elsewhere", address("file://{outside}")),
    "CVE-2023-6568": Case("a script as Content-Type", a_content_type),
    "CVE-2023-6753": Case("a path with Windows' separators", path("..\\..\\..\\..\\beside\\secret.txt"), taken=True),
    "CVE-2023-6831": Case("an encoded path to delete", path("%2e%2e/%2e%2e/%2e%2e/%2e%2e/beside", encode=False)),
    "CVE-2023-6909": Case("a query that leads out of a location", address("file://{root}?/../../beside")),
    "CVE-2023-6975": Case("a version's source elsewhere, then its file", source("{outside}")),
    "CVE-2023-6976": Case("a name that leads out of an upload", path("..", "x/../../new.txt")),
    "CVE-2023-6977": Case("a link", a_link),
    "CVE-2023-30172": Case("dots in the path of get-artifact", path("../../../../beside/secret.txt")),
    "CVE-2024-1483": Case("a local location with a fragment", address("file://{outside}#/../x")),
    "CVE-2024-1558": Case("a source with encoded dots", source("mlflow-artifacts:/x/..%2f..%2fbeside", run_id="")),
    "CVE-2024-1560": Case("a path to delete, encoded twice", path("%252e%252e/%252e%252e/%252e%252e/%252e%252e/beside", encode=False)),
    "CVE-2024-1593": Case("parts behind a semicolon", source("http://host/api/2.0/mlflow-artifacts/artifacts/x;..%2f..%2f", run_id="")),
    "CVE-2024-1594": Case("a fragment that leads out of a location", address("mlflow-artifacts:/x#/../../beside")),
    "CVE-2024-2928": Case("a fragment in a source", source("{own}x#/../../../../../beside", run_id="")),
    "CVE-2024-3848": Case("a fragment in a location of http", address("http://host/api/2.0/mlflow-artifacts/artifacts/x#../../beside")),
    "CVE-2024-4263": Case("a reader deletes", a_reader_deletes),
    "CVE-2024-8859": Case("a location of dbfs that is a local folder", address("dbfs:{outside}")),
    "CVE-2025-11201": Case("a source that looks like a remote one", source("s3:/x/../../../{outside}", run_id="")),
    "CVE-2025-15031": Case("an archive whose members lead out", an_archive),
    "CVE-2025-15036": Case("the same, of a model", an_archive),
    "CVE-2026-2033": Case("another's artifact by a detour", anothers_by_a_detour),
    "CVE-2026-2614": Case("a version that calls itself a prompt", a_prompt),
    "CVE-2026-2651": Case("parts of an upload to another's", parts_of_an_upload),
    "CVE-2026-33865": Case("a stored script in MLmodel", a_page_as_artifact),
    "CVE-2026-33866": Case("another's logged model", anothers_model),
}  # fmt: skip


@pytest.mark.parametrize("cve", CASES)
def test_it_has_no_effect_here(scene: Scene, cve: str) -> None:
    case = CASES[cve]
    answers = nothing_of_it(case.send(scene))
    assert answers
    for answer in answers:
        assert case.taken or answer.status >= 400, answer

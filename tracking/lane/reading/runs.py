"""runs/get and runs/search."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from studio.accounts.permissions import Level
from studio.lane import told, wires
from studio.lane.asked import (
    Asked,
    fields,
    number_of,
    offset_of,
    one_of,
    text,
    texts,
    token_for,
    whole,
)
from studio.lane.asking import Asker, Done, Elsewhere
from studio.lane.statements import asker, statement
from studio.lib.errors import Invalid
from tracking.lane.reading.named import STAGES, experiment_id, run_of
from tracking.lane.reading.run_json import run_json
from tracking.lane.reading.seeing import runs_seen
from tracking.lane.statements import RUN as WHICH_RUN
from tracking.lane.statements import SEEN
from tracking.parser import parse_order
from tracking.search import Search

_MOST, _USUAL = 50_000, 1000  # as MLflow's proto and store have them
# A run's models are its experiment's: who may see that may still be denied all models.
_HIDES_MODELS = """(NOT a.is_superuser
    AND studio_mlflow_level(a.username, 'experiment', r.experiment_id::text, 'logged_model') = 0)"""
_NAMES = {"run_id": text, "run_uuid": text}
_SEARCH = {
    "experiment_ids": texts,
    "filter": text,
    "run_view_type": one_of(*STAGES),
    "max_results": whole,
    "order_by": texts,
    "page_token": text,
}


class One(NamedTuple):
    """The run with this id, as it is now."""

    run_id: str

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""
        with wires.reader() as reader:
            rows = reader.rows(_one(asker.by_token), asker.given | {"run": self.run_id}, again=True)
        return told.one(b"run", rows)


def get(asked: Asked) -> One:
    return One(run_of(fields(asked, _NAMES)))


@cache
def _one(by_token: bool) -> bytes:
    steps = {"asker": asker(by_token), "run": WHICH_RUN}
    found = f"""(SELECT {run_json(_HIDES_MODELS, model_inputs=True)}
        FROM run JOIN runs r USING (run_uuid) WHERE run.level >= {Level.READ:d})"""  # noqa: S608 - constants
    return statement(steps, [*SEEN, found], "asker a LEFT JOIN run ON true")


class Page(NamedTuple):
    """A page of the runs that are found, without those that may not be seen."""

    search: Search
    most: int
    offset: int

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger and psycopg.Error."""
        with wires.reader() as reader:
            sight = runs_seen(reader, asker, list(self.search.experiments))
            seen = self.search._replace(experiments=sight.experiments).narrowed(reader.fetch)
            found = seen.page("runs.run_uuid", reader.fetch, self.most + 1, self.offset)
            ids = [run_id for (run_id,) in found[: self.most]]
            given = {"runs": ids, "hides_models": sight.hides_models}
            runs = reader.rows(_MANY, given, again=True) if found else []
        token = token_for(self.offset + self.most) if len(found) > self.most else None
        return told.rows(sight.seen, b"runs", runs, token)


class Refused(NamedTuple):
    """A filter that nobody can read: told to who may ask at all."""

    mistake: Invalid

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger and psycopg.Error, and MlflowException that shows the place of the mistake."""
        with wires.reader() as reader:
            runs_seen(reader, asker, [])
        words = filter(None, [self.mistake.message, self.mistake.detail])
        raise MlflowException("\n".join(words), INVALID_PARAMETER_VALUE)


def search(asked: Asked) -> Page | Refused:
    sent = fields(asked, _SEARCH)
    experiments = [experiment_id(given) for given in sent.get("experiment_ids", [])]
    stages = STAGES[sent.get("run_view_type", "ACTIVE_ONLY")]
    most, offset = number_of(sent, _MOST, _USUAL), offset_of(sent)
    try:
        orders = [parse_order(clause) for clause in sent.get("order_by", [])]
    except Invalid:
        raise Elsewhere from None
    try:
        wanted = Search.read(experiments, stages, sent.get("filter", ""), orders)
    except Invalid as mistake:
        return Refused(mistake)
    return Page(wanted, most, offset)


_MANY = f"""
    SELECT {run_json("%(hides_models)s", model_inputs=False)}
    FROM unnest(%(runs)s::text[]) WITH ORDINALITY AS page (run_uuid, place) JOIN runs r USING (run_uuid) ORDER BY place
""".encode()  # noqa: S608 - constants

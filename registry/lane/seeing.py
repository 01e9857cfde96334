"""Who may see models and versions. A prompt is a model with a tag, and has grants of a type of its own."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.utils.validation import _validate_model_name

from studio.accounts.permissions import WORKSPACE, Level
from studio.lane.asking import Asker, Elsewhere, Seen
from studio.lane.seeing import OWN, RIGHTS, grants
from studio.lane.statements import WHO, statement
from studio.lane.statements import asker as asker_subquery
from studio.lane.wires import Reader

_GRANTS = grants(
    "workspace", "run", "registered_model", "registered_model_version", "prompt", "prompt_version"
)


def _type(tags: str, whose: str) -> str:
    return f"""CASE WHEN EXISTS (
        SELECT FROM {tags} t WHERE t.workspace = '{WORKSPACE}' AND t.key = '{IS_PROMPT_TAG_KEY}' AND {whose} AND lower(t.value) = 'true'
    ) THEN 'prompt' ELSE 'registered_model' END"""  # noqa: S608 - constants


# Of a row `m` of models, and of a row `v` of versions by its own tags: the type of the grants on it.
MODEL_TYPE = _type("registered_model_tags", "t.name = m.name")
VERSION_TYPE = _type("model_version_tags", "t.name = v.name AND t.version = v.version")
# Whether who asks may read the model `m`, asked for by its name.
MAY_READ = f"(a.is_superuser OR studio_mlflow_level(a.username, {MODEL_TYPE}, m.name, '') >= {Level.READ:d})"


class Sight(NamedTuple):
    """Who asks, and what of all models he may see. `denied`: types of which he may see nothing."""

    seen: Seen
    everything: bool
    denied: list[str]


def name_of(written: str) -> str:
    """A model's name. Raises Elsewhere for what MLflow takes for none."""
    try:
        _validate_model_name(written)
    except MlflowException:
        raise Elsewhere from None
    return written


def sight(reader: Reader, asker: Asker) -> Sight:
    """Raises Stranger."""
    rows = reader.rows(_sight(asker.by_token), asker.given, again=True)
    seen = Seen.of(rows[0] if rows else None)
    return Sight(seen, *rows[0][-2:])


@cache
def _sight(by_token: bool) -> bytes:
    told = [*WHO, "rights.everything", "rights.denied"]
    return statement(rights_of(asker_subquery(by_token)), told, "asker a, rights")


def rights_of(asker: str) -> dict[str, str]:
    """Who asks and what he may see of everything, as the first steps of a statement."""
    return {"asker": asker, "grants": _GRANTS, "rights": RIGHTS}


def known(username: str) -> dict[str, str]:
    """The steps for who has been found before, is no administrator, and may not see everything. `username` is SQL."""
    found = f"SELECT {username}::text AS username, false AS is_superuser"
    return rights_of(found) | {"own": OWN}

"""What pages read of experiments and runs: few statements, however many rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any, TypedDict
from urllib.parse import urlencode

import orjson
from django.db import DataError, OperationalError, connection, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from django.utils.timezone import now
from psycopg.errors import QueryCanceled

from studio.accounts.permissions import Level
from studio.lib.errors import Invalid
from studio.lib.sql import PATIENCE, TOO_LONG, Sql
from tracking.models import (
    ACTIVE,
    Dataset,
    Experiment,
    Input,
    LatestMetric,
    LoggedModel,
    Metric,
    Param,
    Run,
    RunActivity,
    Tag,
)
from tracking.parser import parse_order
from tracking.search import Search

PAGE = 50
# Of the keys on a page of runs, those shown as columns: the most common ones.
_COLUMNS = 6
_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What a visitor asked of the run table. Built once, from the query string."""

    filter: str = ""
    order_by: str = ""
    state: str = ACTIVE
    page: int = 1

    @classmethod
    def from_query(cls, query: dict[str, str]) -> RunFilter:
        page = query.get("page", "")
        return cls(
            filter=query.get("filter", "").strip(),
            order_by=query.get("order_by", "").strip(),
            state="deleted" if query.get("state") == "deleted" else ACTIVE,
            page=max(1, int(page)) if page.isdecimal() and len(page) < 7 else 1,
        )

    def link(self, **changes: str | int) -> str:
        """The query string of this view with some things changed."""
        given = {
            name: getattr(self, name) for name in ("filter", "order_by", "state", "page")
        } | changes
        usual = RunFilter()
        return "?" + urlencode(
            {name: value for name, value in given.items() if value != getattr(usual, name)}
        )


@dataclass(frozen=True, slots=True)
class Column:
    """A param or metric as a column; `link` sorts by it, the other way round if it is sorted already."""

    key: str
    link: str
    sorted: str = ""  # "ascending", "descending" or ""


@dataclass(frozen=True, slots=True)
class Value:
    """A run's last value of a metric. `best`: none that was asked for comes before it."""

    number: float | None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    run: Run
    params: list[str | None]
    metrics: list[Value]


@dataclass(frozen=True, slots=True)
class RunPage:
    rows: list[Row]
    total: int
    page: int
    params: list[Column]
    metrics: list[Column]
    hidden_params: int
    hidden_metrics: int
    keys: list[str]  # of all metrics of these runs

    @property
    def pages(self) -> int:
        return max(1, ceil(self.total / PAGE))

    @property
    def first(self) -> int:
        return (self.page - 1) * PAGE + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return (self.page - 1) * PAGE + len(self.rows)


def experiment_list(experiments: QuerySet[Experiment], text: str) -> QuerySet[Experiment]:
    """Active experiments, the one used last first, each with its number of runs."""
    active = Q(runs__lifecycle_stage=ACTIVE)
    found = experiments.filter(lifecycle_stage=ACTIVE)
    if text:
        found = found.filter(name__icontains=text)
    found = found.annotate(
        run_count=Count("runs", filter=active),
        last_run=Max("runs__start_time", filter=active),
    )
    return found.order_by(F("last_run").desc(nulls_last=True), "-creation_time", "-pk")


def _rows(statement: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        return list(cursor.fetchall())


def run_page(experiments: list[int], wanted: RunFilter) -> RunPage:
    """One page of the table of these experiments' runs, with its columns. Raises Invalid for a filter that is refused."""
    orders = [parse_order(wanted.order_by)] if wanted.order_by else []
    found = Search.read(experiments, [wanted.state], wanted.filter, orders)
    with _patience(wanted.filter):
        found = found.narrowed(_rows)
        total: int = _rows(found.total)[0][0]
        page = min(wanted.page, max(1, ceil(total / PAGE)))
        shown = found.page("runs.*", _runs, PAGE, (page - 1) * PAGE)
    params, metrics = _params_of(shown), _metrics_of(shown)
    param_keys, metric_keys = _common(params), _common(metrics)
    param_columns = _columns(wanted, "params", param_keys)
    metric_columns = _columns(wanted, "metrics", metric_keys)
    best = {
        column.key: metrics[shown[0].pk].get(column.key)
        for column in metric_columns
        if column.sorted and page == 1
    }
    rows = [
        Row(
            run,
            [params[run.pk].get(column.key) for column in param_columns],
            [
                _value(metrics[run.pk].get(column.key), best.get(column.key))
                for column in metric_columns
            ],
        )
        for run in shown
    ]
    return RunPage(
        rows,
        total,
        page,
        param_columns,
        metric_columns,
        len(param_keys) - len(param_columns),
        len(metric_keys) - len(metric_columns),
        metric_keys,
    )


@contextmanager
def _patience(filter_string: str) -> Iterator[None]:
    """Around a search. Raises Invalid for a regular expression that is none, or that nobody waits for."""
    try:
        if "~" not in filter_string:
            yield
            return
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}s'")
            yield
    except DataError as failure:
        told = getattr(getattr(failure.__cause__, "diag", None), "message_primary", None)
        raise Invalid(f"This cannot be looked up: {told or failure}.") from None
    except OperationalError as failure:
        if isinstance(failure.__cause__, QueryCanceled):
            raise Invalid(TOO_LONG) from None
        raise


def _runs(statement: Sql) -> list[Run]:
    return list(Run.objects.raw(*statement))


def _columns(wanted: RunFilter, kind: str, keys: list[str]) -> list[Column]:
    """The first keys as columns; what the table is sorted by is one of them."""
    columns = [sort_column(wanted, f"{kind}.`{key}`", key) for key in keys]
    shown = columns[:_COLUMNS]
    hidden = [column for column in columns[_COLUMNS:] if column.sorted]
    return [*shown[:-1], *hidden] if hidden else shown


def _value(number: float | None, best: float | None) -> Value:
    return Value(number, number is not None and number == best)  # NaN is not even itself


def sort_column(wanted: RunFilter, clause: str, key: str) -> Column:
    ascending, descending = f"{clause} ASC", f"{clause} DESC"
    if wanted.order_by == ascending:
        return Column(key, wanted.link(order_by=descending, page=1), "ascending")
    state = "descending" if wanted.order_by == descending else ""
    return Column(key, wanted.link(order_by=ascending, page=1), state)


class Drawn(TypedDict):
    """A run as its charts need it."""

    id: str
    name: str
    running: bool


class Charts(TypedDict):
    """What a page draws: each of these metrics of each of these runs."""

    runs: list[Drawn]
    keys: list[str]


def charts(runs: Iterable[Run], keys: Iterable[str]) -> Charts:
    drawn = [Drawn(id=run.pk, name=str(run), running=run.status == "RUNNING") for run in runs]
    return Charts(runs=drawn, keys=list(keys))


def _params_of(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, key, value in Param.objects.filter(run__in=runs).values_list(
        "run_id", "key", "value"
    ):
        found[run_id][key] = value
    return found


def _metrics_of(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for metric in LatestMetric.objects.filter(run__in=runs):
        found[metric.run_id][metric.key] = metric.number
    return found


def _common(values: dict[str, dict[str, str]] | dict[str, dict[str, float]]) -> list[str]:
    """All keys, the most common first."""
    counts = Counter(key for given in values.values() for key in given)
    return [key for key, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset that a run has used, and what for."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class RunDetail:
    """Everything on a run's page but its artifacts and charts."""

    metrics: list[LatestMetric]
    params: list[Param]
    tags: list[Tag]
    system: dict[str, str]  # the tags that MLflow writes, by their names without "mlflow."
    models: list[LoggedHere]
    children: list[Run]
    parent: Run | None
    data: list[Data]
    last_write: (
        datetime | None
    )  # none is known of a run that was last written to before Studio noted it
    silent: bool  # it should be running, and neither it nor a child of it has written for long


def _last_values(run: Run) -> list[LatestMetric]:
    """A run's metrics, those with a history first: `history` says whether there is more than one point."""
    points = Metric.objects.filter(run=OuterRef("run"), key=OuterRef("key"))
    other = points.exclude(step=OuterRef("step"), timestamp=OuterRef("timestamp"))
    return list(
        LatestMetric.objects.filter(run=run)
        .annotate(history=Exists(other))
        .order_by("-history", "key")
    )


def run_detail(run: Run, visible: QuerySet[Run], models: QuerySet[LoggedModel]) -> RunDetail:
    """What the run's page shows. `visible`: the runs that may be told of; `models`: see logged_here."""
    tags = list(Tag.objects.filter(run=run).order_by("key"))
    system = {
        tag.key.removeprefix("mlflow."): tag.value or ""
        for tag in tags
        if tag.key.startswith("mlflow.")
    }
    children = visible.filter(
        tags__key=_PARENT, tags__value=run.pk, lifecycle_stage=ACTIVE
    ).order_by("start_time", "pk")
    parent_id = system.get("parentRunId")
    used = Input.objects.filter(
        destination_id=run.pk, destination_type="RUN", source_type="DATASET"
    )
    datasets = Dataset.objects.filter(dataset_uuid__in=used.values("source_id")).order_by("name")
    last_write = _last_write(run)
    return RunDetail(
        metrics=_last_values(run),
        params=list(Param.objects.filter(run=run).order_by("key")),
        tags=[tag for tag in tags if not tag.key.startswith("mlflow.")],
        system=system,
        models=logged_here(run, models),
        children=list(children[:200]),
        parent=visible.filter(pk=parent_id).first() if parent_id else None,
        data=[Data(dataset.name, dataset.digest) for dataset in datasets],
        last_write=last_write,
        silent=run.status == "RUNNING" and _is_silent(last_write, children),
    )


def _last_write(run: Run) -> datetime | None:
    return RunActivity.objects.filter(pk=run.pk).values_list("last_write_at", flat=True).first()


def _is_silent(last_write: datetime | None, children: QuerySet[Run]) -> bool:
    """A run that has children may leave all the writing to them."""
    heard = now() - RunActivity.QUIET
    if last_write is None or last_write > heard:
        return False
    recent = RunActivity.objects.filter(last_write_at__gt=heard)
    return not recent.filter(pk__in=children.order_by().values("pk")).exists()


@dataclass(frozen=True, slots=True)
class LoggedHere:
    """A model that a run has logged: a logged model of MLflow 3, or a folder of artifacts of an older client."""

    name: str
    source: str
    model_id: str = ""

    @property
    def key(self) -> str:
        return self.model_id or self.name


def logged_here(run: Run, models: QuerySet[LoggedModel]) -> list[LoggedHere]:
    """The models of a run that may be told of, the oldest first. `models`: all, with the level of who asks."""
    rows = list(
        models.filter(source_run_id=run.pk, lifecycle_stage=ACTIVE).order_by(
            "creation_timestamp_ms"
        )
    )
    if rows:
        return [
            LoggedHere(row.name, row.artifact_location, row.model_id)
            for row in rows
            if row.level >= Level.READ
        ]
    history = (
        Tag.objects.filter(run=run, key="mlflow.log-model.history")
        .values_list("value", flat=True)
        .first()
    )
    try:
        told = orjson.loads(history or "[]")
        paths = list(dict.fromkeys(str(item["artifact_path"]) for item in told))
    except (
        ValueError,
        TypeError,
        KeyError,
    ):  # a tag, so anybody may have written anything
        return []
    return [LoggedHere(path, f"{(run.artifact_uri or '').rstrip('/')}/{path}") for path in paths]

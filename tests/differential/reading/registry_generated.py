"""Searches of models and versions that hypothesis makes up: well formed, over what is there to be found."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.cases import Case
from tests.differential.cast import EVERYBODY
from tests.differential.reading.asks import SEARCH_MODELS, SEARCH_VERSIONS, get
from tests.differential.reading.ids import RUN, UNKNOWN_RUN
from tests.differential.reading.registry_rows import IS_PROMPT, NAMES, UNKNOWN_NAME
from tests.differential.reading.rows import ODD_KEYS, TEXTS

_STRING = st.sampled_from(["=", "!=", "!=", "LIKE", "ILIKE", "like"])
_PATTERNS = ("%", "reading%", "%-0_", "READING%", "%\\_under", "%100\\%", "%\\\\%", "%ю%", "r_d", "%e%", "_%", "%m-1", "p%")  # fmt: skip


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _texts(*known: str | None) -> st.SearchStrategy[str]:
    """Quoted by what is not in them."""
    words = [text for text in (*known, *TEXTS) if text is not None]
    usable = [text for text in words if not ("'" in text and '"' in text)]
    return st.one_of(st.sampled_from(usable), st.sampled_from(_PATTERNS)).map(_quoted)


def _list(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    some = st.lists(st.sampled_from(names), min_size=1, max_size=20)
    return some.map(lambda chosen: f"({', '.join(map(_quoted, chosen))})")


_KEY = st.sampled_from(["text", "colour", "colour", "none", *(f"`{key}`" for key in ODD_KEYS if "`" not in key)])  # fmt: skip
_PREFIX = st.sampled_from(["", "attribute."])
_IN = st.sampled_from(["IN", "NOT IN"])
_TAG = st.builds(
    "{}.{} {} {}".format, st.sampled_from(["tags", "tag"]), _KEY, _STRING,
    _texts("red", "RED", "odd 0", "odd 1"),
)  # fmt: skip
_PROMPT = st.builds(
    "tags.`{}` {} '{}'".format, st.just(IS_PROMPT), st.sampled_from(["=", "!=", "LIKE"]),
    st.sampled_from(["true", "true", "True", "false"]),
)  # fmt: skip
_NAME = st.one_of(
    st.builds("{}name {} {}".format, _PREFIX, _STRING, _texts(*NAMES, UNKNOWN_NAME)),
    st.builds("{}name {} {}".format, _PREFIX, _IN, _list(NAMES)),
)
_VERSION = st.one_of(
    st.builds(
        "{}version_number {} {}".format, _PREFIX,
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(0, 6),
    ),
    st.builds("{}run_id {} {}".format, _PREFIX, _STRING, _texts(RUN, UNKNOWN_RUN, "")),
    st.builds("run_id {} {}".format, _IN, _list((RUN, UNKNOWN_RUN, ""))),
    st.builds("source_path {} {}".format, _STRING, _texts("models:/m-1", "")),
)  # fmt: skip
_DIRECTION = st.sampled_from(["", " ASC", " DESC", " desc"])


def _column(term: str) -> str:
    """What a term orders by: MLflow takes each only once."""
    name = term.split(" ")[0].split(".")[-1]
    return "last_updated_timestamp" if name == "timestamp" else name


def _orders(*keys: str) -> st.SearchStrategy[list[str]]:
    term = st.builds("{}{}".format, st.sampled_from(keys), _DIRECTION)
    return st.lists(term, max_size=3, unique_by=_column)


def _search(route: str, who: str, **fields: object) -> Case:
    return get(route, **fields).by(who)


def _searches(
    route: str, condition: st.SearchStrategy[str], orders: st.SearchStrategy[list[str]]
) -> st.SearchStrategy[Case]:
    return st.builds(
        _search,
        st.just(route),
        st.sampled_from(["admin", *EVERYBODY]),
        filter=st.lists(condition, max_size=3).map(" AND ".join),
        order_by=orders,
        max_results=st.sampled_from([1, 3, 7, 10, 50, 1000]),
    )


SEARCHES = {
    SEARCH_MODELS: _searches(
        SEARCH_MODELS,
        st.one_of(_NAME, _TAG, _TAG, _PROMPT),
        _orders("name", "timestamp", "last_updated_timestamp"),
    ),
    SEARCH_VERSIONS: _searches(
        SEARCH_VERSIONS,
        st.one_of(_NAME, _TAG, _TAG, _PROMPT, _VERSION, _VERSION),
        _orders("name", "attribute.name", "version_number", "creation_timestamp", "last_updated_timestamp"),
    ),
}  # fmt: skip

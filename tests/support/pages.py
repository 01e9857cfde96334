"""A page as a browser reads it: elements, links and text, whatever the markup around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from django.http import HttpResponseBase
from django.http.response import HttpResponse

_EMPTY = {"input", "img", "link", "meta", "br", "path", "circle", "rect", "line"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]


@dataclass
class Page(HTMLParser):
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _EMPTY:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in [element.tag for element in self._open]:
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def texts(self, tag: str) -> list[str]:
        """The text of each element of this tag, white space made single."""
        return [" ".join(element.text.split()) for element in self.all(tag)]

    def link(self, text: str) -> str:
        """Where the one link with this text leads."""
        found = {a["href"] for a in self.all("a") if " ".join(a.text.split()) == text}
        assert len(found) == 1, f"{text!r}: {found} of {self.texts('a')}"
        return found.pop()

    def related(self, relation: str) -> str | None:
        """Where the link with this `rel` leads, if it is there."""
        found = [a["href"] for a in self.all("a") if a.attributes.get("rel") == relation]
        return found[0] if found else None


def page(response: HttpResponse | HttpResponseBase) -> Page:
    assert isinstance(response, HttpResponse)
    read = Page()
    read.feed(response.content.decode())
    return read

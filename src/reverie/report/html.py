"""Pages from templates: Jinja fills the files of templates/ and escapes every value that is put into them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reverie.report.values import date, heading, number, plain, words
from reverie.utils.formatting import clock


@dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its title, the template that draws it, and what the template shows."""

    anchor: str
    title: str
    template: str
    """name of a file in templates/"""
    content: Mapping[str, Any] = field(default_factory=dict)
    """the variables of the template"""


def render_page(template: str, title: str, sections: Sequence[Section], **content: Any) -> str:
    """A whole page: its title, the sections with links to them, and the variables of its template."""
    bodies = [Markup(render(section.template, **section.content)) for section in sections]  # escaped by render
    return render(template, title=title, sections=list(zip(sections, bodies, strict=True)), style=_style(), **content)


def render(template: str, **content: Any) -> str:
    """A template filled with variables, all of them escaped. Raises jinja2.UndefinedError if one is missing."""
    return _environment().get_template(template).render(**content)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reverie.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for function in (clock, date, heading, number, plain, words):
        environment.filters[function.__name__] = function
    return environment


@functools.cache
def _style() -> Markup:
    """The style sheet, which is not escaped: it is ours."""
    return Markup(resources.files("reverie.report").joinpath("style.css").read_text(encoding="utf-8"))

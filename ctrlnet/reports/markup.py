"""The few HTML elements of the page; every text is escaped here, SVG and base64 data are passed on as they are."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

__all__ = [
    "badge",
    "card",
    "code_block",
    "details",
    "figure",
    "joined",
    "listing",
    "missing",
    "paragraphs",
    "quote",
    "section",
    "table",
    "video",
]

TONES = {"certified": "good", "falsified": "bad", "undecided": "open"}


def badge(text: str, tone: str) -> str:
    """A rounded label; tone is good, bad, open or none."""
    return f'<span class="badge {tone}">{escape(text)}</span>'


def card(number: str, meaning: str) -> str:
    """One large number and what it is."""
    return f'<div class="card"><b>{escape(number)}</b><span>{escape(meaning)}</span></div>'


def section(title: str, *bodies: str) -> str:
    """A titled part of the page."""
    name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    inner = "\n".join(body for body in bodies if body)
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{inner}\n</section>'


def paragraphs(text: str) -> str:
    """A paragraph a line of text."""
    return "\n".join(f"<p>{escape(line)}</p>" for line in text.splitlines() if line.strip())


def quote(text: str, tone: str = "good") -> str:
    """A statement, set apart; lines are joined, a blank line begins a paragraph, and <= is set as ≤."""
    joined_lines = "\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    return f'<blockquote class="{tone}">{paragraphs(typeset(joined_lines))}</blockquote>'


def typeset(text: str) -> str:
    """Plain mathematics with the signs of print."""
    for plain, printed in (("<=", "≤"), (">=", "≥"), ("] x [", "] × [")):
        text = text.replace(plain, printed)
    return text


def details(title: str, body: str) -> str:
    """A part that opens on demand."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>" if body else ""


def listing(items: Iterable[str]) -> str:
    """A bulleted list."""
    return "<ul>" + "".join(f"<li>{escape(typeset(item))}</li>" for item in items) + "</ul>"


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns: what, and how much; a wide one scrolls by itself. Empty values are left out."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{_cell(value)}</td></tr>\n" for name, value in rows if value)
    return f'<div class="scroll"><table>\n{body}</table></div>' if body else ""


def _cell(value: str) -> str:
    return f"<code>{value}</code>" if re.fullmatch(r"[0-9a-f]{32,}", value) else escape(value)


def figure(drawing: str, caption: str, kind: str = "single") -> str:
    """A drawing with its caption; kind is single, wide or half (inside `joined`)."""
    return f'<figure class="{kind}">{drawing}<figcaption>{escape(caption)}</figcaption></figure>'


def joined(*figures: str) -> str:
    """Figures side by side where the window is wide enough."""
    return '<div class="pair">' + "\n".join(figures) + "</div>"


def video(data: bytes, caption: str) -> str:
    """An mp4 film inside the page."""
    source = base64.b64encode(data).decode()
    flags = " ".join(f'{flag}="{flag}"' for flag in ("controls", "autoplay", "loop", "muted", "playsinline"))
    return figure(f'<video {flags} src="data:video/mp4;base64,{source}"></video>', caption, "wide")


def missing(text: str) -> str:
    """A line that says what is not there and how to get it."""
    return f'<p class="missing">{escape(text)}</p>'


def code_block(text: str) -> str:
    """Commands to type."""
    return f"<pre><code>{escape(text)}</code></pre>"

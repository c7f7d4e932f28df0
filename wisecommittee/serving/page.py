"""The page of a served committee: its stages, what was found of it when it was chosen, and what it has counted.

It has no scripts and loads nothing; a content policy forbids whatever is not in it. All texts are escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from wisecommittee.committees.committee import Committee, together
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.report.markup import escape
from wisecommittee.serving.service import Service
from wisecommittee.version import __version__

STYLE = resources.files("wisecommittee.report").joinpath("page.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; form-action 'none'; frame-ancestors 'none'"
PATHS = ("/metrics", "/committee.json", "/openapi.json", "/health")
Row = Sequence[str]


def page(service: Service, address: str) -> str:
    """The page as HTML, with the counts of now. address : that of the server, as the browser named it."""
    committee = service.served.committee
    links = ", ".join(f'<a href="{path}">{path}</a>' for path in PATHS)
    sections = [
        f"<h1>{escape(committee.label())}</h1>",
        f'<p class="soft">{escape(_chosen(committee))}</p>',
        *_stages(committee, service.counts.exits_at()),
        *_recorded(committee),
        *_counted(service),
        "<h2>To ask it</h2>",
        f"<pre>{escape(_commands(service, address))}</pre>",
        f'<p class="note">{links}. No authentication: whoever reaches this address can use it. '
        f"wisecommittee {escape(__version__)}.</p>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(committee.label())}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def _chosen(committee: Committee) -> str:
    """How the members are combined, and on what the committee was chosen."""
    split = f"; chosen on {committee.chosen_on}" if committee.chosen_on else ""
    return f"combined by {committee.combine}, confidence {committee.confidence}, cost {committee.cost}{split}"


def _stages(committee: Committee, exits: Sequence[int]) -> list[str]:
    """The stages with their members and conditions, and the units that have exited there."""
    total = sum(exits)
    conditions = [*committee.conditions(), "always"] if committee.nested else []
    head = ["stage", "members", *(["exits if"] if conditions else []), "units since the start", "%"]
    rows = [
        [
            str(number + 1),
            together(stage),
            *([conditions[number]] if conditions else []),
            f"{exits[number]:,}",
            f"{100 * exits[number] / total:.1f}" if total else "-",
        ]
        for number, stage in enumerate(committee.stages)
    ]
    notes = []
    for number, part in enumerate(committee.parts):
        if isinstance(committee.policy, Mixing):
            share = committee.policy.share if number else 1 - committee.policy.share
            notes.append(f"On {100 * share:.1f} % of the units, drawn by their ids: {part.label()}.")
        if not part.nested:
            notes.append(f"Policy {part.policy.kind}: {part.policy.words}.")
    return ["<h2>Stages</h2>", _table(head, rows, 2), *(f'<p class="note">{escape(note)}</p>' for note in notes)]


def _recorded(committee: Committee) -> list[str]:
    """What committee.json says was found of the committee when it was chosen; it may have been edited since."""
    rows: list[Row] = []
    for each in committee.guarantee:
        how = ", ".join(f"{name} {each[name]}" for name in ("delta", "method", "n") if name in each)
        rows.append(["guaranteed", f"{each['statement']} ({how})"])
    expected, verdict = committee.expected or {}, (committee.provenance or {}).get("verdict")
    if isinstance(verdict, dict) and "sentence" in verdict:
        rows.append(["verdict", str(verdict["sentence"])])
    measure = f"agreement with {committee.labels_from}" if committee.labels_from else "quality"
    for name, words, factor, unit in (
        ("quality", measure, 100, " %"),
        ("average_cost", f"average {committee.cost}", 1, ""),
    ):
        if isinstance(value := expected.get(name), (int, float)):
            rows.append([f"expected {words}", f"{factor * value:.4g}{unit}{_interval(expected, name, factor)}"])
    if not rows:
        return []
    note = "As committee.json records it, of units like those that chose the committee; not checked here."
    return ["<h2>When it was chosen</h2>", _table(["", "recorded"], rows), f'<p class="note">{note}</p>']


def _interval(expected: Any, name: str, factor: float) -> str:
    ends = expected.get("interval" if name == "quality" else "cost_interval")
    is_pair = isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends)
    return f" [{factor * ends[0]:.4g}, {factor * ends[1]:.4g}]" if is_pair else ""


def _counted(service: Service) -> list[str]:
    """Counts since the start of the server."""
    counts, units = service.counts, sum(service.counts.exits_at())
    rows: list[Row] = [["units", f"{units:,}"]]
    for metric, words in (
        (counts.requests, "requests answered with"),
        (counts.failures, "requests without decisions:"),
    ):
        rows += [[f"{words} {labels[0][1]}", f"{int(value):,}"] for labels, value in sorted(metric.values.items())]
    for labels, value in sorted(counts.costs.values.items()):
        rows.append([f"average {labels[0][1]} of a unit", f"{value / max(units, 1):.4g}"])
    note = "Read at the time of this page; load it again for newer counts. Nothing says whether answers were right."
    return ["<h2>Since the start</h2>", _table(["", "count"], rows, 1), f'<p class="note">{note}</p>']


def _commands(service: Service, address: str) -> str:
    """How to ask with curl."""
    takes, lines = service.served.takes, list[str]()
    if takes.shape is not None:
        lines.append("curl -H 'Content-Type: application/x-npy' --data-binary @inputs.npy ADDRESS/predict")
    if takes.pictures:
        lines.append("curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg ADDRESS/predict")
    return "\n".join([*lines, f"It takes {takes.words}."]).replace("ADDRESS", address)


def _table(head: Row, rows: Sequence[Row], numbers_from: int = 99) -> str:
    def cells(tag: str, row: Row) -> str:
        aligned = [" class=right" if column >= numbers_from else "" for column in range(len(row))]
        return "".join(f"<{tag}{side}>{escape(text)}</{tag}>" for side, text in zip(aligned, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'

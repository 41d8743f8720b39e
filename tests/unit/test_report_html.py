"""The HTML report: its structure, its escaping, what it says where pieces are missing."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import builders
import pytest
import report_runs

from harness.evidence.records import Evidence, Finding, Status
from harness.reports.html import memory, render
from harness.reports.html.conditions import conditions
from harness.reports.html.drawing import Scale, tick_text
from harness.reports.html.drift import drift
from harness.reports.html.figure import Figure, MissingFigure, Table
from harness.reports.html.learning import loss
from harness.reports.html.logs import LINES, excerpt, read
from harness.reports.html.plain import clean, cut, duration, number, size
from harness.reports.html.predictions import predictions
from harness.reports.html.requests import base_url, requests_of
from harness.reports.html.speed import latency
from harness.reports.html.verdict import outcome
from harness.reports.run_report import RunReport

VOID = {"meta", "link", "input", "br", "img"}
RUNS = (
    report_runs.passed,
    report_runs.failed,
    report_runs.of_numbers,
    report_runs.ended_by_error,
    report_runs.in_pieces,
    report_runs.hostile,
)
Make = Callable[[Path], RunReport]


@dataclass
class Node:
    """An element of the page."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, tag: str) -> list[Node]:
        """Return all elements below it with this tag."""
        found = [child for child in self.children if child.tag == tag]
        return found + [node for child in self.children for node in child.all(tag)]

    def having(self, class_: str) -> list[Node]:
        """Return all elements below it of this class."""
        found = [child for child in self.children if class_ in child.attributes.get("class", "").split()]
        return found + [node for child in self.children for node in child.having(class_)]

    @property
    def words(self) -> str:
        """All text in it."""
        return self.text + " ".join(child.words for child in self.children)


class Tree(HTMLParser):
    """Reads a page; an element that is not closed in its place is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Node("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        assert len(node.attributes) == len(attrs), f"an attribute of <{tag}> is there twice: {attrs}"
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def tree(page: str) -> Node:
    parser = Tree()
    parser.feed(page)
    parser.close()
    assert parser.open == [parser.root], "an element is never closed"
    return parser.root


@pytest.mark.parametrize("make", RUNS)
def test_the_page_is_well_formed_and_loads_nothing(make: Make, tmp_path: Path) -> None:
    """Every kind of run gives a complete page: IDs are unique, links lead somewhere, nothing comes from elsewhere."""
    root = tree(render(make(tmp_path)))
    nodes = [
        node for tag in ("a", "use", "img", "link", "script", "iframe", "object", "image") for node in root.all(tag)
    ]
    everything = [root, *nodes]
    ids: list[str] = []

    def walk(node: Node) -> None:
        everything.append(node)
        ids.extend([node.attributes["id"]] if "id" in node.attributes else [])
        for child in node.children:
            walk(child)

    walk(root)
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    targets = [n.attributes[a] for n in everything for a in ("href", "src") if a in n.attributes]
    assert targets
    assert all(target == "data:," or (target[0] == "#" and target[1:] in ids) for target in targets)
    labels = [name for node in everything for name in node.attributes.get("aria-labelledby", "").split()]
    assert labels
    assert set(labels) <= set(ids)
    assert not [n for n in everything if "style" in n.attributes or any(a.startswith("on") for a in n.attributes)]
    assert len(root.all("h1")) == len(root.all("main")) == 1


@pytest.mark.parametrize("make", RUNS)
def test_the_policy_allows_the_own_style_and_script_only(make: Make, tmp_path: Path) -> None:
    """The Content-Security-Policy names the hashes of the one style and the one script of the page."""
    page = render(make(tmp_path))
    root = tree(page)
    policy = next(m.attributes["content"] for m in root.all("meta") if "http-equiv" in m.attributes)
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("make", [report_runs.passed, report_runs.failed, report_runs.of_numbers])
def test_pictures_have_words_and_numbers(make: Make, tmp_path: Path) -> None:
    """Every picture has a title, a description and a table; every other SVG is hidden from a screen reader."""
    root = tree(render(make(tmp_path)))
    figures = root.all("figure")
    assert len(figures) >= 10
    for figure in figures:
        assert figure.all("h3")
        assert figure.all("table")[0].all("td")
        for svg in figure.having("picture"):
            assert svg.attributes["role"] == "img"
            assert [svg.all(tag)[0].text != "" for tag in ("title", "desc")] == [True, True]
    pictures = [svg for figure in figures for svg in figure.all("svg") if "icon" not in svg.attributes.get("class", "")]
    others = [svg for svg in root.all("svg") if svg not in pictures]
    assert others
    assert all(svg.attributes.get("aria-hidden") == "true" for svg in others)
    assert "nan" not in " ".join(re.findall(r'\b(?:x|y|cx|cy|width|height|points)="([^"]*)"', render(make(tmp_path))))


def test_a_failed_run_explains_itself(tmp_path: Path) -> None:
    """A failed check comes first and shows expected, received, advice, request, answer, log and how to replay it."""
    report = report_runs.failed(tmp_path)
    root = tree(render(report))
    assert root.having("verdict")[0].words.split() == ["Failed"]
    assert f"harness replay {report.id}" in root.having("replay")[0].words
    first = [subject.having("check")[0].attributes["class"] for subject in root.having("subject")]
    assert first[0] == "check is-fail"
    order = [kind.split("-")[1] in ("fail", "error", "warn") for kind in first]
    assert order == sorted(order, reverse=True)
    cards = {c.having("name")[0].text: c.words for c in root.having("check") if "is-fail" in c.attributes["class"]}
    assert {"contract.examples", "contract.rejects-null", "quality.gate", "data.drift", "train.memory"} <= cards.keys()
    example = cards["contract.examples"]
    assert all(word in example for word in ("Expected", "Received", "Do next", "Request", "Response", "Replay"))
    assert "curl -i --path-as-is" in example
    assert "http://127.0.0.1:8080/predict" in example
    assert '{"predictions": [99.0]}' in example
    assert "jq -j" in cards["contract.rejects-null"]
    assert "TypeError: no number" in "".join(cards.values())
    assert "\x1b" not in "".join(cards.values())


def test_one_log_is_shown_once(tmp_path: Path) -> None:
    """Checks that speak of one log share its excerpt: the others link to it."""
    root = tree(render(report_runs.failed(tmp_path)))
    assert sum("TypeError: no number" in log.words for log in root.having("log")) == 1
    assert root.having("same")


def test_a_passed_run_is_quiet(tmp_path: Path) -> None:
    """A passed run says so, offers no replay, and opens nothing that is well."""
    root = tree(render(report_runs.passed(tmp_path)))
    assert root.having("verdict")[0].words.split() == ["Passed"]
    assert not root.having("replay")
    assert not [check for check in root.having("check") if "open" in check.children[0].attributes]
    assert not root.having("missing")


def test_a_run_without_verdict_says_what_ended_it(tmp_path: Path) -> None:
    """An error, its hint and the exit code stand in the header; the pictures say that there is no evidence."""
    root = tree(render(report_runs.ended_by_error(tmp_path)))
    assert root.having("verdict")[0].words.split() == ["Error"]
    header = root.all("header")[0].words
    assert "the engine went away" in header
    assert "systemctl start docker" in header
    assert "exit code 3 (the infrastructure failed)" in header
    assert len(root.having("missing")) > 8
    assert [figure.attributes["id"] for figure in root.all("figure")] == ["picture-timeline"]


def test_an_interrupted_run_is_no_failure(tmp_path: Path) -> None:
    """Ctrl-C is told from a failure."""
    report = report_runs.ended_by_error(tmp_path)
    end = replace(report.evidence.end or builders.evidence().end, exit_code=130, kind="interrupted")  # type: ignore[type-var]
    found = outcome(replace(report, evidence=replace(report.evidence, end=end)))
    assert (found.word, found.kind) == ("Interrupted", "warn")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """A run in pieces is reported on, with the files that are broken and without a verdict."""
    root = tree(render(report_runs.in_pieces(tmp_path)))
    assert root.having("verdict")[0].words.split() == ["No", "verdict"]
    assert "train/record.json cannot be read" in root.having("amiss")[0].words


@pytest.mark.parametrize("name", [f.name for f in fields(Evidence) if f.name not in ("spec", "stages")])
def test_each_record_may_be_missing(name: str, tmp_path: Path) -> None:
    """A run folder without any one of its records still gives a report."""
    report = report_runs.passed(tmp_path)
    root = tree(render(replace(report, evidence=replace(report.evidence, **cast("dict[str, Any]", {name: None})))))
    assert root.all("main")


def test_nothing_of_the_project_becomes_markup(tmp_path: Path) -> None:
    """Whatever a project, its containers or its answers say is shown as text."""
    report = report_runs.hostile(tmp_path)
    page = render(report)
    root = tree(page)
    assert "alert(1)" in page
    assert len(root.all("script")) == len(root.all("style")) == 1
    assert not root.all("img")
    assert "alert" not in root.all("script")[0].text
    for mark in ("\x1b", "\u202e", "<script>alert", "</style></title>", "<img"):
        assert mark not in page
    assert "\\u202e" in page


def test_a_hostile_page_has_the_structure_of_a_good_one(tmp_path: Path) -> None:
    """Hostile texts add no element: the tags of the hostile page are those of the same page without them."""
    good, bad = report_runs.failed(tmp_path / "good"), report_runs.hostile(tmp_path / "bad")
    findings = (*good.findings, Finding(Status.FAIL, "x", "x", "x", "other.x"))
    good = replace(good, findings=findings, amiss=("x",), evidence=replace(good.evidence, end=bad.evidence.end))

    def tags(report: RunReport) -> set[str]:
        return set(re.findall(r"<([a-zA-Z]\w*)", render(report)))

    assert tags(bad) <= tags(good)


def test_size(tmp_path: Path) -> None:
    """A report stays below 1 MB, for a run that fails everywhere and chatters too."""
    report = report_runs.failed(tmp_path)
    chatter = "x" * 100_000
    many = tuple(Finding(Status.FAIL, chatter, "y", "z", f"contract.odd-{n}") for n in range(40))
    metrics = report_runs.curve(0.001, 50_000)
    artifact = builders.artifact(metrics=metrics)
    large = replace(report, findings=report.findings + many, evidence=replace(report.evidence, artifact=artifact))
    page = render(large)
    assert len(page.encode()) < 1_000_000


def test_the_docker_sdk_is_out() -> None:
    """Whoever only reads a report does without it."""
    code = "import sys, harness.reports.html; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bounds_are_read_from_what_the_checks_say(tmp_path: Path) -> None:
    """Each condition that was measured is drawn with the figures of its finding, whatever its verdict."""
    for make in (report_runs.passed, report_runs.failed, report_runs.of_numbers):
        report = make(tmp_path)
        figure = conditions(report.evidence, report.findings)
        assert isinstance(figure, Figure)
        block = report.evidence.spec.block.quality
        assert block is not None
        assert [row[0] for row in figure.table.rows] == list(block.conditions)
        assert all(" to " in row[3] for row in figure.table.rows)
    failed = report_runs.failed(tmp_path)
    figure = conditions(failed.evidence, failed.findings)
    assert isinstance(figure, Figure)
    assert figure.table.rows[0][1:3] == ("broken", "0.7")


def test_a_matrix_counts_the_rows(tmp_path: Path) -> None:
    """The confusion matrix holds each labelled row once: down the truth, across the prediction."""
    (figure,) = predictions(report_runs.failed(tmp_path).evidence)
    assert isinstance(figure, Figure)
    cells = [[int(value) for value in row[1:]] for row in figure.table.rows]
    assert sum(map(sum, cells)) == 90
    assert sum(cells[n][n] for n in range(3)) == 63
    assert "63 of 90 rows" in figure.alt_text


def test_many_classes_become_others() -> None:
    """Of many classes the most frequent are drawn, the rest together."""
    row = report_runs.rows(count=1)[0]
    many = tuple(replace(row, number=n, truth=f"class {n % 40}") for n in range(200))
    evidence = report_runs.rich(quality=builders.quality(rows=many, metrics={"accuracy": 0.1}))
    (figure,) = predictions(evidence)
    assert isinstance(figure, Figure)
    assert figure.table.columns[-1] == "others"
    assert sum(int(value) for row in figure.table.rows for value in row[1:]) == 200


def test_numbers_are_drawn_as_numbers(tmp_path: Path) -> None:
    """A target that is a number gives predicted over true, and the errors."""
    scatter, errors = predictions(report_runs.of_numbers(tmp_path).evidence)
    assert isinstance(scatter, Figure)
    assert isinstance(errors, Figure)
    assert len(scatter.table.rows) == len(errors.table.rows) == 100
    assert abs(float(errors.table.rows[0][1])) >= abs(float(errors.table.rows[-1][1]))


def test_the_loss_has_its_controls() -> None:
    """The loss of training is drawn beside its controls; values that are no finite number are counted."""
    figure = loss(report_runs.rich())
    assert isinstance(figure, Figure)
    assert figure.table.columns[:4] == ("epoch", "training", "small batch", "shuffled labels")
    bad = ({"loss": 1.0}, {"loss": float("nan")}, {"loss": None}, {"loss": True}, {"loss": 0.5})
    figure = loss(report_runs.rich(artifact=builders.artifact(metrics=bad), trainings=None))
    assert isinstance(figure, Figure)
    assert "1 values are not finite" in figure.alt_text
    assert [row[0] for row in figure.table.rows] == ["1", "5"]
    none = loss(report_runs.rich(artifact=builders.artifact(metrics=None, metrics_error="no such file")))
    assert none == MissingFigure("loss", "Loss", "no such file.")


def test_drift_is_what_the_check_allows(tmp_path: Path) -> None:
    """A column that the check finds drifted is beyond its limit in the picture too, and no other."""
    report = report_runs.failed(tmp_path)
    figure = drift(report.evidence)
    assert isinstance(figure, Figure)
    assert figure.alt_text.endswith("Beyond its limit: length.")
    assert [f.expected.split()[2] for f in report.findings if f.check == "data.drift"] == ["length"]


def test_latency_without_load_says_so() -> None:
    """Where no load was sent, the requests of the contract are drawn and named as what they are."""
    figure = latency(report_runs.rich(load=None))
    assert isinstance(figure, Figure)
    assert "not a measurement under load" in figure.alt_text
    assert figure.source == "exchanges.ndjson"
    assert isinstance(latency(report_runs.rich(load=None, contract=None)), MissingFigure)


@pytest.mark.parametrize(
    ("check", "expected", "received", "case"),
    [
        ("contract.examples", "one: status 200 and {}", "x", "example:one"),
        (
            "contract.rejects-null",
            "x",
            "BROKEN: 1 of 2, such as /instances/0/length\nstatus 500",
            "rejects-null:/instances/0/length",
        ),
        (
            "contract.recovers",
            "x",
            "another one after 1 of 2, first after null:/instances/0/length: status",
            "recovers:rejects-null:/instances/0/length",
        ),
        ("contract.batch-invariant", "x", "1 differ, first row 1: more", "single:1"),
        ("contract.skew", "x", "1 differ\nrow 2: more", "skew:1"),
        ("contract.schema", "x", "other: 1 of 2, first example:two: problem\nstatus", "example:two"),
        ("contract.finite", "x", "example:two: NaN in status 200", "example:two"),
        ("contract.row-order", "x", "1 differ", "reversed:all"),
        (
            "contract.directional",
            "longer is more: /predictions/0 never falls",
            "from step 2 to 3 it goes",
            "behaviour:longer is more/3",
        ),
        ("contract.examples", "nobody: status 200", "x", None),
        ("serve.ready", "x", "example:two", None),
    ],
)
def test_the_request_that_a_finding_names(check: str, expected: str, received: str, case: str | None) -> None:
    """A finding gets the request that it names; none where it names none."""
    made = tuple(
        builders.exchange(f"{kind}:{where}")
        for where in ("/instances/0/length", "/instances/0/island")
        for kind in ("rejects-null", "recovers:rejects-null")
    )
    evidence = builders.evidence(contract=builders.contract(*made))
    found = requests_of(Finding(Status.FAIL, received, expected, check=check), evidence, "run")
    assert [sent.case for sent in found] == ([case] if case else [])


def test_the_published_port_is_asked() -> None:
    """The curl lines go to the port that the Compose file publishes; without one, to that of the service."""
    assert base_url(builders.spec()) == "http://127.0.0.1:8080"
    model = {"services": {"serve": {"ports": [{"target": 8080, "published": "9000"}]}}}
    assert base_url(builders.spec(model=model)) == "http://127.0.0.1:9000"
    assert base_url(builders.spec(model={"services": {"serve": {"ports": None}}}, port=81)) == "http://127.0.0.1:81"


def test_excerpts_of_logs(tmp_path: Path) -> None:
    """An excerpt stands around the last error, else at the end; a log that leads out of the folder is not read."""
    found = excerpt("a", [*["before"] * 50, "ValueError: here", *["after"] * 50])
    assert found is not None
    assert len(found.lines) == LINES
    assert "ValueError: here" in found.lines
    tail = excerpt("a", [*["x"] * 50, "\x1b[1mlast\x1b[0m", "", ""])
    assert tail is not None
    assert tail.lines[-1] == "last"
    assert excerpt("a", ["", " "]) is None
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "log.txt").symlink_to(tmp_path / "secret")
    assert read(tmp_path, "log.txt") is None
    assert read(tmp_path, "none.txt") is None


def test_text_and_numbers() -> None:
    """Terminal sequences go, marks that reorder become visible, units suit the size."""
    assert clean("\x1b[31mred\x1b[0m\x00 \u202eabc\ud800") == "red \\u202eabc?"
    assert cut("abcdef", 3) == "abc … (3 more characters)"
    assert [number(v) for v in (1234567.0, 0.123456, float("nan"), -2.0)] == ["1,234,567", "0.1235", "nan", "-2"]
    assert [size(v) for v in (5, 2048, 3 * 2**20, 2**30)] == ["5 B", "2.0 KiB", "3.0 MiB", "1.0 GiB"]
    assert [duration(v) for v in (0.0123, 4.21, 75)] == ["12.3 ms", "4.2 s", "1 min 15 s"]


def test_scales_and_ticks() -> None:
    """Ticks are round and lie on the scale, for equal, negative, tiny and huge values."""
    for values in ([0.0], [3.0, 3.0], [-5.0, 7.0], [1e-9, 2e-9], [1e12, 5e12], [0.1, 0.7]):
        scale = Scale.over(values, 0.0, 100.0)
        ticks = scale.ticks()
        assert 2 <= len(ticks) <= 8
        assert all(-0.01 <= scale.at(v) <= 100.01 for v in (*values, *ticks))
    powers = Scale.over_powers([0.004, 1.2], 100.0, 0.0)
    assert (powers.low, powers.high) == (0.001, 10.0)
    assert [tick_text(v) for v in (0.1 + 0.2, 1e-7, 2e6, 100.0)] == ["0.3", "1e-7", "2e6", "100"]


def test_long_tables_are_thinned() -> None:
    """A table of too many rows is thinned out evenly and says how many are missing."""
    table = Table.of(("a", "b"), [(str(n), "x") for n in range(1000)])
    assert len(table.rows) == 200
    assert table.left_out == 800
    assert table.rows[-1][0] == "995"


@pytest.mark.parametrize(
    ("samples", "axis"), [(((0.1, 20 * 2**20), (0.6, 90 * 2**20)), True), (((0.1, 20 * 2**20),), False), ((), False)]
)
def test_memory_of_training(samples: tuple[tuple[float, int], ...], *, axis: bool) -> None:
    """Memory is drawn over time where moments were recorded, else its peak alone; the table has each moment."""
    figure = memory.training(builders.evidence(train=builders.training(memory=samples)))
    assert isinstance(figure, Figure)
    assert ("seconds of training" in str(figure.svgs[0])) is axis
    shown = [row for row in figure.table.rows if row[0].startswith("after")]
    assert shown == ([("after 0.10 s", "20,971,520", "20.0"), ("after 0.60 s", "94,371,840", "90.0")] if axis else [])

"""The summary in Markdown, and the annotations on GitHub: whole, escaped, within the limits."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import builders
import pytest
import runs

from harness.evidence.measurements import Metric
from harness.evidence.records import Ending, Finding, Status
from harness.reports import github, markdown
from harness.reports.run_report import RunReport

COMMENT = 65_536


def _rows(text: str) -> list[str]:
    """The rows of the table of what is not well."""
    return [line for line in text.splitlines() if line.startswith(("| ❌", "| 💥", "| ⚠️"))]


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        ("passed", "✅ demo: PASSED: "),
        ("failed", "❌ demo: FAILED: "),
        ("errored", "❌ demo: ENDED: no container engine"),
        ("interrupted", "❌ demo: INTERRUPTED: "),
    ],
)
def test_verdict_comes_first(tmp_path: Path, ending: str, verdict: str) -> None:
    """The first line is the hidden mark, the first that is seen the verdict, and the run can be reproduced."""
    text = markdown.render(runs.report(tmp_path, ending))
    first, _, second = text.splitlines()[:3]
    assert first == markdown.marker("demo") == "<!-- ml-container-harness summary of demo -->"
    assert second.startswith(f"## {verdict}")
    assert f"harness replay {runs.ID}\n" in text


def test_marker_is_stable_and_closed() -> None:
    """The mark depends on the project alone, and no name can end the comment."""
    assert markdown.marker("a") != markdown.marker("b")
    assert markdown.marker("x --> <b>").count("-->") == 1


def test_what_is_not_well_stands_in_the_table(tmp_path: Path) -> None:
    """Failures come before warnings, what passed is left out, and each is folded with what to do."""
    text = markdown.render(runs.report(tmp_path))
    order = [re.split(r" \| ", line)[1] for line in _rows(text)]
    assert order == ["train.loss-decreases", "artifact.safe", "serve.unprivileged"]
    assert text.count("<details>") == text.count("</details>")
    assert "do        Lower the rate." in text
    assert "last line" in text
    assert "| train.exits-cleanly |" not in text


def test_error_shows_its_reason(tmp_path: Path) -> None:
    """A run that ended with an error says which, and what to do."""
    text = markdown.render(runs.report(tmp_path, "errored"))
    assert "**no container engine answers**: the engine is gone" in text
    assert "Do: Start it." in text


def test_metrics_beside_the_baseline(tmp_path: Path) -> None:
    """The metrics stand beside those of the baseline, and the change says whether it is for the better."""
    report = runs.report(tmp_path)
    known = builders.quality(
        metrics={"accuracy": 0.95, "log_loss": 0.2}, baseline_metrics={"accuracy": 0.97, "log_loss": 0.3}
    )
    text = markdown.render(replace(report, evidence=replace(report.evidence, quality=known)))
    assert "| accuracy | 0.95 | 0.97 | -0.02 (worse) |" in text
    assert "| log&#95;loss | 0.2 | 0.3 | -0.1 (better) |" in text


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        (Metric("accuracy", 0.9), ""),
        (Metric("accuracy", 0.9, 0.9), "same"),
        (Metric("rmse", 2.0, 1.0), "+1 (worse)"),
        (Metric("recall[a]", 1.0, 0.5), "+0.5 (better)"),
        (Metric("own", 1.0, 0.5), "+0.5"),
    ],
)
def test_change_of_a_metric(metric: Metric, change: str) -> None:
    """A change is for the better or worse by what the metric is; of an unknown one nobody can say."""
    assert metric.change == change


def test_measurements_are_shown(tmp_path: Path) -> None:
    """Times, images, base and machine stand in the summary."""
    text = markdown.render(runs.report(tmp_path))
    assert "| train | 1.0 s | done |" in text
    assert "120.0 MB, 1 layers" in text
    assert builders.PINNED in text
    assert "2 cores, 8.0 GiB" in text
    assert "latency p99 | 30.0 ms" in text


def test_hostile_text_shows_as_it_is(tmp_path: Path) -> None:
    """Pipes, HTML, backticks, links and mentions in findings do nothing: each row has its four cells."""
    hostile = Finding(Status.FAIL, runs.HOSTILE, runs.HOSTILE, runs.HOSTILE, "x.hostile")
    text = markdown.render(runs.report(tmp_path, "failed", hostile))
    (row,) = _rows(text)
    assert row.count("|") == 5
    assert "<script>" not in row
    assert not re.search(r"@someone|#12|GH-7", html.unescape(row))
    assert not set("`*[]$~\x1b\x00\x07\udce4") & set(row)
    fenced = re.search(r"^(`{3,})text\n.*?^\1$", text, re.DOTALL | re.MULTILINE)
    assert fenced is not None
    assert len(fenced[1]) == 4  # longer than any fence inside
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in outside
    assert "@someone" not in outside


@pytest.mark.parametrize("limit", [COMMENT, 1024 * 1024, markdown.LEAST])
def test_five_hundred_findings_fit(tmp_path: Path, limit: int) -> None:
    """500 huge findings stay within GitHub's limit: whole rows are cut, and the report says how many are left."""
    report = runs.report(tmp_path, "failed", *runs.many(500))
    text = markdown.render(report, limit=limit)
    assert len(text.encode()) <= limit
    rows = _rows(text)
    assert all(row.count("|") == 5 and row.endswith(" |") for row in rows)
    left = re.search(r"\| (\d+) more, see report.html", text)
    assert len(rows) + (int(left[1]) if left else 0) == 500
    folded = text.count("<details>")
    assert folded == text.count("</details>")
    assert "harness replay" in text
    if limit == COMMENT:
        assert len(rows) > 10


@pytest.mark.parametrize("fill", ["x" * 100_000, "\U0001f600" * 100_000, "`|@&<" * 30_000])
def test_huge_values_fit(tmp_path: Path, fill: str) -> None:
    """Huge messages and names are cut in their cells, whatever their letters weigh."""
    bad = Finding(Status.FAIL, fill, fill, fill, f"x.{fill}")
    report = runs.report(tmp_path, "failed", bad)
    evidence = replace(
        report.evidence,
        end=Ending(3, "the disk is full", fill, fill),
        quality=builders.quality(metrics={f"{fill}{n}": 1.0 for n in range(300)}),
    )
    assert len(markdown.render(replace(report, evidence=evidence), limit=markdown.LEAST).encode()) <= markdown.LEAST


def test_summary_without_findings(tmp_path: Path) -> None:
    """A folder without findings gives a summary that does not say passed."""
    text = markdown.render(replace(runs.report(tmp_path), findings=(), amiss=("images.json cannot be read: x",)))
    assert "FAILED: nothing was judged" in text
    assert "images.json cannot be read: x" in text


def _properties(line: str) -> dict[str, str]:
    match = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line)
    assert match is not None, line
    return {"level": match[1], "message": match[3], **dict(part.split("=", 1) for part in match[2].split(","))}


def test_annotations_of_a_failed_run(tmp_path: Path) -> None:
    """A failure is an error at the compose file, a warning a warning; failed checks come before crashed ones."""
    lines = [_properties(line) for line in github.commands(runs.report(tmp_path))]
    assert [(line["level"], line["title"]) for line in lines] == [
        ("error", "train.loss-decreases"),
        ("error", "artifact.safe"),
        ("warning", "serve.unprivileged"),
    ]
    assert all(line["file"] == "compose.yaml" for line in lines)
    assert lines[0]["message"] == (
        "expected: a falling loss%0Areceived: loss rose from 0.1 to 0.9%0Ain 3 epochs%0Ado: Lower the rate."
    )


def test_annotation_of_a_passed_run(tmp_path: Path) -> None:
    """A run that passed is one notice with the count, beside its warnings."""
    lines = [_properties(line) for line in github.commands(runs.report(tmp_path, "passed"))]
    assert [line["level"] for line in lines] == ["warning", "notice"]
    assert lines[-1]["message"].startswith("PASSED: ")


def test_annotations_stay_within_the_limits(tmp_path: Path) -> None:
    """Of 500 findings ten errors and ten warnings are shown, the last of each says how many more there are."""
    lines = [_properties(line) for line in github.commands(runs.report(tmp_path, "failed", *runs.many(500)))]
    for level, count in (("error", 334), ("warning", 166)):
        shown = [line for line in lines if line["level"] == level]
        assert len(shown) == 10
        assert shown[-1]["title"] == f"{count - 9} more"
    assert all(len(line["message"]) < 8000 for line in lines)


def test_ten_are_all_shown(tmp_path: Path) -> None:
    """Exactly ten errors need no line for more."""
    found = [Finding(Status.FAIL, "x", "y", check=f"a.{n}") for n in range(10)]
    assert not [line for line in github.commands(runs.report(tmp_path, "failed", *found)) if "more" in line]


def test_annotation_is_one_command(tmp_path: Path) -> None:
    """Line ends, percent signs, colons and commas in a finding stay inside its command."""
    hostile = Finding(Status.FAIL, "100 %0A\r\n::error::x", "a, b: c", "", "x.a,b:c::d")
    (line,) = github.commands(runs.report(tmp_path, "failed", hostile))
    assert "\n" not in line
    assert "\r" not in line
    found = _properties(line)
    assert found["title"] == "x.a%2Cb%3Ac%3A%3Ad"
    assert "100 %250A" in found["message"]


@pytest.mark.parametrize(
    ("received", "place"),
    [
        ("contract/one.json:7 differs", ("contract/one.json", "7")),
        ("see contract/one.json", ("contract/one.json", "1")),
        ("train.csv line 12: key AKIA...", ("data/train.csv", "12")),
        ("mytrain.csv line 12", ("compose.yaml", "5")),
        ("nothing named", ("compose.yaml", "5")),
    ],
)
def test_annotation_points_at_the_file_that_the_finding_names(
    tmp_path: Path, received: str, place: tuple[str, str]
) -> None:
    """A finding that names a file of the project stands there, another one at its part of the block."""
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a: {}\nx-harness:\n  version: 1\n  data: {}\n", encoding="utf-8"
    )
    report = runs.report(tmp_path, "failed", Finding(Status.FAIL, received, check="data.no-secrets"))
    found = _properties(github.commands(report)[0])
    assert (found["file"], found["line"]) == place


def test_summary_of_the_job(tmp_path: Path) -> None:
    """The summary is appended to the job's, never beyond 1 MiB, and not at all where nothing useful has room."""
    path = tmp_path / "summary"
    path.write_text("before\n", encoding="utf-8")
    report: RunReport = runs.report(tmp_path / "p", "failed", *runs.many(500))
    assert github.append_summary(report, path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- ")
    assert github.append_summary(report, path)
    assert path.stat().st_size <= github.SUMMARY_BYTES
    path.write_bytes(b"x" * (github.SUMMARY_BYTES - 1000))
    assert not github.append_summary(report, path)
    assert path.stat().st_size == github.SUMMARY_BYTES - 1000

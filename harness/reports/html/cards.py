"""The findings as cards, by the subject of their checks: what failed comes first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.checks import Check
from harness.evidence.records import Finding, Status
from harness.reports.html.logs import Excerpt, log_of
from harness.reports.html.plain import cut
from harness.reports.html.requests import Sent, requests_of
from harness.reports.run_report import RunReport

ORDER = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)
WORDS = {
    Status.FAIL: "Failed",
    Status.ERROR: "Error",
    Status.WARN: "Warning",
    Status.PASS: "Passed",
    Status.SKIP: "Skipped",
}
FAILED = (Status.FAIL, Status.ERROR)
AMISS = (*FAILED, Status.WARN)
MAX_OPEN = 3  # failures; of more only the first is open, so that all are seen at once
MAX_TEXT = 6_000  # characters of one text of a finding
MAX_SENT = 60  # findings with requests and logs; a run that breaks in more places has one cause


@dataclass(frozen=True)
class Card:
    """One finding, with all that belongs to it."""

    id: str
    finding: Finding
    sentence: str  # what its check expects of everybody
    sent: tuple[Sent, ...] = ()
    log: Excerpt | None = None
    log_at: Card | None = None  # which shows the same log already
    is_open: bool = False

    @property
    def status(self) -> Status:
        """The verdict."""
        return self.finding.status

    @property
    def word(self) -> str:
        """The verdict as a word."""
        return WORDS[self.status]

    @property
    def is_amiss(self) -> bool:
        """Whether there is something to do."""
        return self.status in AMISS

    @property
    def head(self) -> str:
        """One line that says it."""
        first = self.finding.received.strip().partition("\n")[0]
        return cut(first, 220)

    @property
    def expected(self) -> str:
        """What was expected."""
        return cut(self.finding.expected, MAX_TEXT)

    @property
    def received(self) -> str:
        """What was received."""
        return cut(self.finding.received, MAX_TEXT)

    @property
    def advice(self) -> str:
        """What to do next."""
        return cut(self.finding.advice, MAX_TEXT)


@dataclass(frozen=True)
class Subject:
    """The cards of one subject, such as `contract`."""

    name: str
    cards: tuple[Card, ...]

    @property
    def counts(self) -> tuple[tuple[Status, str, int], ...]:
        """How many there are of each verdict: verdict, word, number."""
        found = [(status, sum(card.status is status for card in self.cards)) for status in ORDER]
        return tuple((status, WORDS[status].lower(), count) for status, count in found if count)

    @property
    def is_amiss(self) -> bool:
        """Whether one of them is."""
        return any(card.is_amiss for card in self.cards)


def subjects(report: RunReport, checks: Sequence[Check]) -> tuple[Subject, ...]:
    """Return the findings by subject: the subjects with a failure first, then in the order of the line."""
    sentences = {check.name: check.sentence for check in checks}
    by_subject: dict[str, list[Card]] = {}
    detailed = 0
    for number, finding in enumerate(report.findings, 1):
        detailed += finding.status in AMISS
        card = _card(f"check-{number}", finding, sentences, report, detailed=detailed <= MAX_SENT)
        by_subject.setdefault(finding.check.partition(".")[0] or "other", []).append(card)
    ordered = [Subject(name, tuple(sorted(cards, key=_rank))) for name, cards in by_subject.items()]
    ordered.sort(key=lambda subject: min(_rank(subject.cards[0]), ORDER.index(Status.PASS)))
    failed = [card.id for subject in ordered for card in subject.cards if card.status in FAILED]
    return tuple(_arranged(ordered, failed if len(failed) <= MAX_OPEN else failed[:1]))


def _arranged(found: Sequence[Subject], opened: Sequence[str]) -> Iterator[Subject]:
    """Open the cards named, and show each log once, where it is wanted first."""
    shown: dict[str, Card] = {}
    for subject in found:
        cards = []
        for each in subject.cards:
            card = replace(each, is_open=each.id in opened)
            if card.log and (first := shown.setdefault(card.log.file, card)) is not card:
                card = replace(card, log=None, log_at=first)
            cards.append(card)
        yield replace(subject, cards=tuple(cards))


def _rank(card: Card) -> int:
    return ORDER.index(card.status)


def _card(id_: str, finding: Finding, sentences: Mapping[str, str], report: RunReport, *, detailed: bool) -> Card:
    sentence = sentences.get(finding.check, "")
    if finding.status not in AMISS or not detailed:
        return Card(id_, finding, sentence)
    sent = requests_of(finding, report.evidence, report.id)
    log = log_of(finding.check, report.folder, report.evidence)
    return Card(id_, finding, sentence, sent, log)

"""The logs of containers: read to their end, in linear time and bounded memory, and never judged by a part."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import builders
import docker
import docker.errors
import pytest

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.engine import frames as frames_module
from harness.engine import running as running_module
from harness.engine.frames import BrokenStreamError, Frame, FrameStream
from harness.engine.running import Running
from harness.evidence.metrics import in_log, sources
from harness.evidence.records import Evidence, Exit, Finding, Loaded, Status
from harness.evidence.run_folder import RunFolder
from harness.runner.stages import Recording
from harness.runner.stages.logs import Log, LogFile, Shown
from harness.system.output import Lines, Tail, Tails

OUT, ERR = 1, 2
WELL = Exit(code=0, oom_killed=False, timed_out=False, seconds=1.0, log_tail=())


# --- lines


def _lines(*fed: tuple[int, bytes], longest: int = 1000) -> str:
    lines = Lines(longest)
    return "".join([lines.feed(stream, data) for stream, data in fed] + [lines.end()])


@pytest.mark.parametrize(
    ("fed", "text"),
    [
        ([], ""),
        ([(OUT, b"")], ""),
        ([(OUT, b"one\ntwo\n")], "one\ntwo\n"),
        ([(OUT, b"one\ntw"), (OUT, b"o\nthree")], "one\ntwo\nthree\n"),
        ([(OUT, b"a\n\n\nb\n")], "a\n\n\nb\n"),
        ([(OUT, b"lo"), (ERR, b"warning\n"), (OUT, b"ss=1\n")], "warning\nloss=1\n"),  # not glued across streams
        ([(OUT, b"lo"), (ERR, b"war"), (OUT, b"ss=1\n"), (ERR, b"ning\n")], "loss=1\nwarning\n"),
        ([(OUT, b"open"), (ERR, b"open too")], "open\nopen too\n"),
        ([(OUT, b"a\r\nb\r\n")], "a\nb\n"),
        ([(OUT, b"a\r"), (OUT, b"\nb\r"), (OUT, b"\n")], "a\nb\n"),  # the pair is torn
        ([(ERR, b"\r10%"), (ERR, b"\r20%"), (OUT, b"loss=1\n"), (ERR, b"\r30%\n")], "\r10%\rloss=1\n20%\r30%\n"),
        ([(ERR, b"10%\r"), (ERR, b"20%\r"), (OUT, b"x\n")], "10%\rx\n20%\n"),
        ([(OUT, "zwölf ☃\n".encode()[:4]), (OUT, "zwölf ☃\n".encode()[4:])], "zwölf ☃\n"),  # a character is torn
        ([(OUT, b"\xff\xfe\n")], "\ufffd\ufffd\n"),
        ([(OUT, b"\xe2\x98")], "\ufffd\n"),
    ],
)
def test_text_ends_where_lines_end(fed: Sequence[tuple[int, bytes]], text: str) -> None:
    assert _lines(*fed) == text


def test_a_long_line_is_passed_on_in_parts_and_no_number_is_torn() -> None:
    """Parts end at spaces; put together they are the line. A line of the other stream ends it."""
    line = b" ".join(b"loss=%d" % n for n in range(1000))
    lines = Lines(longest=500)
    parts = [part for n in range(0, len(line), 100) if (part := lines.feed(OUT, line[n : n + 100]))]
    assert all(part.endswith(" ") and len(part) <= 600 for part in parts)
    between = lines.feed(ERR, b"warning\n")
    assert between == "\nwarning\n"
    assert "".join(parts) + lines.end() == line.decode() + "\n"


def _seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def test_a_line_without_end_takes_linear_time_and_bounded_memory() -> None:
    """Four times the line takes about four times as long, and no more memory."""

    def feed(chunks: int) -> None:
        lines, tail = Lines(), Tail()
        for _ in range(chunks):
            tail.feed(lines.feed(OUT, b"x" * 32_768))

    feed(10)
    short, long = (min(_seconds(partial(feed, chunks)) for _ in range(3)) for chunks in (400, 1600))
    assert long < 12 * short
    tracemalloc.start()
    feed(1000)
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("streams", [(OUT,), (OUT, ERR)])
@pytest.mark.parametrize("together", [600, 1])
def test_all_lines_are_read_in_whatever_frames_they_come(streams: Sequence[int], together: int, tmp_path: Path) -> None:
    """The reader with its file and its tail, lines one by one in frames of both streams in turn too.

    How fast it is says tests/benchmarks/log.py; here only what is no longer linear would take so long.
    """
    lines_of = [b"step %06d of the noise of a training that prints\n" % n for n in range(600)]
    raw = [b"".join(lines_of[at : at + together]) for at in range(0, 600, together)]
    chunk = b"".join(_frame(streams[n % len(streams)], data) for n, data in enumerate(raw))
    with LogFile(tmp_path / "log.txt") as file:
        lines, tail = Lines(), Tail()

        def read() -> None:
            for came in frames_module.frames((chunk for _ in range(200)), tty=False):
                text = "".join([lines.feed(stream, data) for stream, data in came])
                tail.feed(text)
                file.write(text)

        took = _seconds(read)
    assert took < 12  # CPU seconds; it takes less than one
    assert len((tmp_path / "log.txt").read_bytes()) == 200 * sum(map(len, lines_of))
    assert tail.lines[-1] == "step 000599 of the noise of a training that prints"


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        ([], ()),
        (["a\n"], ("a",)),
        (["a\nb"], ("a", "b")),
        (["a\nb\nc\nd\n"], ("b", "c", "d")),
        (["a\nb\nc\nd\ne\nf"], ("d", "e", "f")),
        (["a\n", "b", "c\n", "d"], ("a", "bc", "d")),
        (["old old old", "\na\nb\nc\nd\n"], ("b", "c", "d")),
        (["x" * 30 + "\n"], ("xxxxx ... 20 characters ... xxxxx",)),
        (["x" * 15, "y" * 15, "\n"], ("xxxxx ... 20 characters ... yyyyy",)),
        (["1%\r2%\r", "3%\r\nend\n"], ("1%\r2%\r3%", "end")),
        (["\n\n"], ("", "")),
    ],
)
def test_the_tail_keeps_the_last_lines(texts: Sequence[str], kept: tuple[str, ...]) -> None:
    tail = Tail(lines=3, width=10)
    for text in texts:
        tail.feed(text)
    assert tail.lines == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ([], ()),
        ([(ERR, "why\n")], ("why",)),
        ([(OUT, "a\n"), (ERR, "why\n"), (OUT, "b\n")], ("a", "why", "b")),
        ([(ERR, "why\n"), (OUT, "a\nb\nc\nd\n")], ("why", "b", "c", "d")),
        ([(ERR, "so\nwhy\n"), (OUT, "a\nb\n")], ("so", "why", "a", "b")),
        ([(ERR, "1\n2\n3\n4\n"), (OUT, "a\nb\nc\n")], ("2", "3", "4", "a", "b", "c")),
        ([(ERR, "so\n"), (OUT, "a\n" * 9), (ERR, "why\n"), (OUT, "b\n")], ("so", "a", "why", "b")),
        ([(OUT, "half"), (ERR, "\nwhy\n"), (OUT, "a\nb\nc\n")], ("why", "a", "b", "c")),
        ([(ERR, "a\na\n"), (OUT, "b\nc\n")], ("a", "a", "b", "c")),
    ],
)
def test_the_end_of_standard_error_is_kept_whatever_else_is_printed(
    said: Sequence[tuple[int, str]], kept: tuple[str, ...]
) -> None:
    tails = Tails(lines=3)
    for stream, text in said:
        tails.feed(text)
        if stream == ERR:
            tails.feed_error(text)
    assert tails.lines == kept


# --- frames


def frames(chunks: Iterable[bytes], *, tty: bool) -> Iterator[Frame]:
    """Yield the frames one by one."""
    return (frame for came in frames_module.frames(chunks, tty=tty) for frame in came)


def _frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def test_frames_may_be_torn_anywhere() -> None:
    raw = _frame(OUT, b"one\n") + _frame(ERR, b"two\n") + _frame(OUT, b"") + _frame(OUT, b"three\n")
    for size in range(1, len(raw) + 1):
        chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
        got: dict[int, bytes] = {}
        for stream, data in frames(chunks, tty=False):
            got[stream] = got.get(stream, b"") + data
        assert got == {OUT: b"one\nthree\n", ERR: b"two\n"}


def test_frames_of_one_stream_come_together() -> None:
    raw = b"".join(_frame(OUT, b"%d\n" % n) for n in range(1000))
    assert len(list(frames([raw], tty=False))) == 1
    assert list(frames([b"a", b"b"], tty=True)) == [(OUT, b"a"), (OUT, b"b")]


@pytest.mark.parametrize("raw", [_frame(OUT, b"abc")[:-1], _frame(OUT, b"abc")[:8], b"\1\0\0"])
def test_an_end_within_a_frame_is_no_end(raw: bytes) -> None:
    with pytest.raises(BrokenStreamError, match="cut"):
        list(frames([raw], tty=False))


def test_an_error_of_the_engine_is_no_output() -> None:
    with pytest.raises(BrokenStreamError, match="grabbing logs"):
        list(frames([_frame(3, b"Error grabbing logs: EOF")], tty=False))


# --- a container


class Kept:
    """A sink that keeps everything, or refuses."""

    def __init__(self, dropped: int = 0, refuses: Exception | None = None) -> None:
        self.text, self.dropped, self._refuses = "", dropped, refuses

    def write(self, text: str) -> None:
        if self._refuses:
            raise self._refuses
        self.text += text


class Api:
    """An engine with one container, which ends when it is told to."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def start(self, container: str) -> None:
        pass

    def wait(self, _container: str, timeout: float | None) -> None:  # noqa: ARG002
        self.end.wait()

    def inspect_container(self, _container: str) -> dict[str, Any]:
        return {"State": {"ExitCode": 0}}


Ran = tuple[Exit, Kept, Running]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a container whose connection gives these frames, and whose engine's log those."""
    monkeypatch.setattr(running_module, "reach", lambda _url: None)
    monkeypatch.setattr(running_module, "kill", lambda *_: None)
    monkeypatch.setattr(running_module, "MOMENT", 0.1)

    def ran(
        given: Callable[[Api], Iterator[Frame]], log: Sequence[Frame] | Exception = (), sink: Kept | None = None
    ) -> Ran:
        api, kept = Api(), sink or Kept()
        monkeypatch.setattr(
            running_module, "attach", lambda *_: FrameStream(([frame] for frame in given(api)), lambda: None)
        )

        def logged(*_: object) -> Iterator[list[Frame]]:
            if isinstance(log, Exception):
                raise log
            yield from ([frame] for frame in log)

        monkeypatch.setattr(running_module, "logged", logged)
        threading.Timer(0.2, api.end.set).start()
        with Running(cast("docker.APIClient", api), "c", kept, keep_output=True) as running:
            assert running.wait(5)
            return running.exit(), kept, running

    return ran


@pytest.mark.serial
def test_all_is_read_however_late_it_comes(run: Callable[..., Ran]) -> None:
    """The container has ended; its output still comes, each piece in time."""

    def given(api: Api) -> Iterator[Frame]:
        api.end.wait()
        for number in range(20):
            time.sleep(0.02)
            yield OUT, b"%d\n" % number

    ended, kept, running = run(given)
    assert (ended.lost, ended.unread, ended.log_tail[-1]) == ("", "", "19")
    assert kept.text.endswith("18\n19\n")
    assert running.printed().startswith("0\n1\n")
    assert ended.seconds < 0.4, "what is read after its end is no time of the container's"


def _cut(*given: Frame) -> Callable[[Api], Iterator[Frame]]:
    def frames_of(_: Api) -> Iterator[Frame]:
        yield from given
        raise ConnectionResetError("reset by peer")

    return frames_of


def _closed(*given: Frame) -> Callable[[Api], Iterator[Frame]]:
    return lambda _: iter(given)


WHOLE = ((OUT, b"loss=1\nloss=2\n"), (ERR, b"warning\n"), (OUT, b"loss=nan\n"))


@pytest.mark.parametrize("end", [_cut, _closed])
def test_what_a_cut_connection_lost_is_in_the_engines_log(end: Callable[..., Any], run: Callable[..., Ran]) -> None:
    ended, kept, running = run(end((OUT, b"loss=1\nlo")), WHOLE)
    assert ended.lost == ""
    assert sorted(kept.text.splitlines()) == ["loss=1", "loss=2", "loss=nan", "warning"]
    assert running.printed() == "loss=1\nloss=2\nloss=nan\n"


@pytest.mark.parametrize("end", [_cut, _closed])
@pytest.mark.parametrize(
    ("log", "said"),
    [
        ((), "has less"),
        (((OUT, b"loss=1\n"),), "has less"),
        (((OUT, b"loss=9\nloss=2\n"),), "begins otherwise"),  # the engine has cut its beginning
        (docker.errors.APIError("configured logging driver does not support reading"), "cannot be read"),
        (BrokenStreamError("the connection to the engine was cut"), "cannot be read"),
    ],
)
def test_a_log_that_nobody_has_whole_says_so(
    end: Callable[..., Any], log: Any, said: str, run: Callable[..., Ran]
) -> None:
    ended, kept, _ = run(end((OUT, b"loss=1\nlo")), log)
    assert said in ended.lost
    assert ended.unread == ended.lost
    assert kept.text.splitlines()[-1] == f"[harness: the log is not whole: {ended.lost}]"


def test_an_output_that_stalls_is_given_up(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "STALL", 0.3)
    forever = threading.Event()

    def given(_: Api) -> Iterator[Frame]:
        yield OUT, b"one\n"
        forever.wait(10)

    ended, _, _ = run(given)
    forever.set()
    assert "no more of its output came" in ended.lost
    assert ended.log_tail == ("one",)


def test_a_fault_of_the_reader_is_a_lost_log(run: Callable[..., Ran]) -> None:
    ended, _, _ = run(_closed((OUT, b"one\n")), sink=Kept(refuses=RuntimeError("a fault")))
    assert "a fault" in ended.lost


def test_too_much_to_parse_is_said(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "KEPT", 10)
    ended, _, running = run(
        _closed((OUT, b"x" * 6), (ERR, b"y" * 60), (OUT, b"x" * 6)), [(OUT, b"x" * 12), (ERR, b"y" * 60)]
    )
    assert ended.lost == ""
    with pytest.raises(ValueError, match="12 bytes"):
        running.printed()


def test_what_is_buffered_of_a_connection_comes_first() -> None:
    """What comes over a connection is passed on as it comes."""

    class Raw:
        fp = io.BytesIO(b"")

    raw = io.BufferedReader(cast("io.RawIOBase", io.BytesIO(_frame(OUT, b"abc\n"))))
    response = type("Response", (), {"raw": type("Body", (), {"_fp": type("Fp", (), {"fp": raw})})})
    api = type("Api", (), {"_disable_socket_timeout": lambda _self, _socket: None})()
    received = frames_module._received(cast("docker.APIClient", api), cast("Any", response))
    assert list(frames(received, tty=False)) == [(OUT, b"abc\n")]


# --- the file and the screen


def test_a_log_has_a_limit_and_says_so(tmp_path: Path) -> None:
    with LogFile(tmp_path / "a/log.txt", limit=10) as log:
        log.write("12345\n")
        assert (tmp_path / "a/log.txt").read_text() == "12345\n"  # on disk at once
        log.write("6789012345\n")
        log.write("more\n")
    assert log.dropped == 12
    assert (tmp_path / "a/log.txt").read_text() == "12345\n6789\n[harness: 12 bytes more were printed and not kept]\n"
    log.write("too late")
    assert log.dropped == 12


def test_nothing_printed_makes_no_file(tmp_path: Path) -> None:
    with LogFile(tmp_path / "log.txt"):
        pass
    assert not (tmp_path / "log.txt").exists()


def test_every_line_of_a_quiet_log_is_shown(tmp_path: Path) -> None:
    seen: list[str] = []
    with Log(LogFile(tmp_path / "log.txt"), seen.append, "train/log.txt") as log:
        log.write("one\ntwo\n\n")
        log.write("three\n")
    assert seen == ["one", "two", "", "three"]


def test_whoever_looks_slowly_is_shown_the_end_and_never_waited_for(tmp_path: Path) -> None:
    """A screen that stands still keeps nobody from writing: the file has all, the screen says what it lacks."""
    seen: list[str] = []
    stands, goes_on = threading.Event(), threading.Event()

    def show(line: str) -> None:
        stands.set()
        goes_on.wait(10)
        seen.append(line)

    with Log(LogFile(tmp_path / "log.txt"), show, "train/log.txt") as log:
        log.write("first\n")
        assert stands.wait(5)
        for number in range(20_000):
            log.write(f"line {number}\n")
        assert len((tmp_path / "log.txt").read_bytes().splitlines()) == 20_001
        goes_on.set()
    assert seen[0] == "first"
    assert seen[-1] == "line 19999"
    told = next(line for line in seen if line.startswith("..."))
    assert int(told.split()[1]) + len(seen) - 1 == 20_001
    assert told.endswith("lines more, see train/log.txt")


def test_a_screen_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    def show(_line: str) -> None:
        raise BrokenPipeError

    with Log(LogFile(tmp_path / "log.txt"), show, "log.txt") as log:
        log.write("one\n")
        log.write("two\n")
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n"


def test_a_progress_bar_is_shown_now_and_then() -> None:
    seen: list[str] = []
    with Shown(seen.append, "log.txt") as shown:
        for percent in range(100):
            shown.offer(f"\r{percent}%")
            time.sleep(0.002)
        shown.offer("\rdone\n")
    assert 1 <= len(seen) <= 3
    assert seen[-1] == "done"


def test_a_run_logs_where_it_is_shown(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    said: list[tuple[str, str]] = []
    recording = Recording(spec=builders.spec(), folder=folder, say=lambda stage, line: said.append((stage, line)))
    with recording.log("train", "train/log.txt") as log:
        log.write("one\n")
    assert said == [("train", "one")]
    assert (folder.path / "train/log.txt").read_text() == "one\n"


# --- the metrics in a log

PATTERN = r"loss=(\S+)"
LONG = sources.LONGEST


def _read(folder: Path, text: str, pattern: str = PATTERN) -> list[Any]:
    path = folder / "log.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return [row.get("loss") for row in in_log(pattern, "loss", path)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("loss=1\nnoise\nloss=0.5", [1, 0.5]),
        ("\rloss=3\rloss=2\r\nloss=1\r\n", [3, 2, 1]),  # a bar that begins anew
        ("loss=1 loss=2\n", [1]),  # the first of a line
        ("x" * (3 * LONG) + "\nloss=0.5\n", [0.5]),
        ("x" * (3 * LONG) + " loss=0.25 " + "x" * (3 * LONG) + " loss=9\nloss=0.5\n", [0.25, 0.5]),
        ("x" * (3 * LONG) + " loss=0.25\nloss=0.5\n", [0.25, 0.5]),
        ("loss=0.25 " + "x" * (3 * LONG), [0.25]),
        ("x" * (3 * LONG) + " loss=0.25", [0.25]),
        ("x" * (LONG - 1) + "\nloss=1\n", [1]),
        ("x" * LONG + "\nloss=1\n", [1]),
        *((f"{'x' * (LONG - before)} loss=0.12345 {'x' * LONG}\nloss=1\n", [0.12345, 1]) for before in range(20)),
        *((f"{'x' * (LONG - before)} loss=0.12345\nloss=1\n", [0.12345, 1]) for before in range(20)),
    ],
)
def test_values_are_found_in_lines_of_any_length(text: str, values: list[float], tmp_path: Path) -> None:
    assert _read(tmp_path, text) == values


def test_a_pattern_for_whole_lines_fits_no_window(tmp_path: Path) -> None:
    assert _read(tmp_path, "x" * (4 * LONG) + "loss=1\nloss=2\n", r"^loss=(\d)$") == [2]


def test_a_value_that_does_not_end_is_no_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not end"):
        _read(tmp_path, "loss=" + "1" * (3 * LONG) + "\n")


def test_more_values_than_can_be_held_are_no_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST", 10)
    assert len(_read(tmp_path, "loss=1\n" * 10)) == 10
    with pytest.raises(ValueError, match="more than 10 lines"):
        _read(tmp_path, "loss=1\n" * 11)


def test_a_pattern_that_takes_the_square_of_a_long_line_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PATIENCE", 0.05)
    monkeypatch.setattr(sources, "LONGEST", 8192)
    with pytest.raises(ValueError, match=r"longer than 0\.05 s"):
        _read(tmp_path, "x" * 100_000 + "\nloss=2\n", r".*(?:loss|Loss)=(\d)")
    assert _read(tmp_path, "x" * 100_000 + "\n loss=2\n", r".*loss=(\d)") == [2]


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r".*loss=(\S+)", "loss"),
        (r".*? loss: (?P<loss>\S+)", " loss:"),
        (r".*loss", "los"),
        (r".*losses?=(\d)", "losse"),
        (r".*l(\d)", ""),
        (r".*loss=(\d)|x(\d)", ""),
        (r"loss=(\d)", ""),
        (r"(?i).*loss=(\d)", ""),
        (r".*\bloss=(\d)", ""),
        (r".+loss=(\d)", ""),
    ],
)
def test_what_every_place_must_hold(pattern: str, word: str) -> None:
    assert sources._word(pattern) == word


def test_a_line_of_100_mb_is_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with path.open("w", encoding="utf-8") as log:
        log.write("loss=1\n")
        for _ in range(100):
            log.write("0123456789" * 100_000)
        log.write("\nloss=nan\n")
    tracemalloc.start()
    rows = in_log(PATTERN, "loss", path)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    assert [str(row["loss"]) for row in rows] == ["1", "nan"]


# --- judging

LOST = replace(WELL, code=1, lost="the output broke off: reset by peer")


def _judged(evidence: Evidence, name: str) -> Finding:
    check = next(check for check in all_checks() if check.name == name)
    return next(judge_one(evidence, check))


def _partly(evidence: Evidence) -> Evidence:
    """Return evidence whose metrics are not all that training recorded."""
    assert evidence.artifact is not None
    assert evidence.trainings is not None
    part = {"metrics": None, "metrics_error": "the log is not whole: reset by peer", "metrics_lost": True}
    runs = tuple(replace(run, **cast("Any", part)) for run in evidence.trainings.runs)
    return replace(
        evidence,
        artifact=replace(evidence.artifact, **cast("Any", part)),
        trainings=replace(evidence.trainings, runs=runs, content={"model.pkl": "differs"}, repeated=None),
    )


@pytest.mark.parametrize(
    "name",
    [
        "train.loss-finite",
        "train.loss-decreases",
        "train.overfits-small-batch",
        "train.learns-signal",
        "train.deterministic",
        "train.seed-matters",
    ],
)
def test_no_check_judges_by_a_part_of_the_metrics(name: str) -> None:
    finding = _judged(_partly(builders.evidence()), name)
    assert finding.status is Status.ERROR, finding
    assert "not whole" in finding.received
    assert finding.advice


def test_no_check_judges_by_a_part_of_a_log() -> None:
    evidence = builders.evidence()
    assert evidence.train is not None
    assert evidence.code is not None
    assert evidence.code.unit_tests is not None
    assert evidence.skew is not None
    unread = replace(WELL, dropped=5)
    tests = replace(evidence.code.unit_tests, tally=None, exit=unread)
    changed = replace(
        evidence,
        train=replace(evidence.train, exit=LOST),
        loaded=replace(evidence.loaded or Loaded(""), lost="reset by peer"),
        code=replace(evidence.code, unit_tests=tests),
        skew=replace(evidence.skew, exit=LOST, answers=()),
    )
    for name in ("train.exits-cleanly", "artifact.loads", "code.unit-tests", "contract.skew", "code.api"):
        finding = _judged(changed, name)
        assert finding.status is (Status.SKIP if name == "code.api" else Status.ERROR), finding
    assert "not kept" in _judged(changed, "code.unit-tests").received


def test_what_does_not_need_the_log_is_judged_without_it() -> None:
    """Exit code 0 is enough where training ended well; where it failed its last lines are, whatever the file lacks."""
    evidence = builders.evidence()
    assert evidence.train is not None
    well = replace(evidence, train=replace(evidence.train, exit=replace(LOST, code=0)))
    assert _judged(well, "train.exits-cleanly").status is Status.PASS
    bounded = replace(WELL, code=1, log_tail=("ValueError: upside down",), dropped=5)
    failed = replace(evidence, train=replace(evidence.train, exit=bounded))
    assert _judged(failed, "train.exits-cleanly").status is Status.FAIL
    assert "upside down" in _judged(failed, "train.exits-cleanly").received


def test_old_records_are_whole(tmp_path: Path) -> None:
    """A run folder that an older version wrote has none of the new keys."""
    folder = RunFolder.create(tmp_path)
    folder.write("spec", builders.spec())
    evidence = builders.evidence()
    folder.write("train", evidence.train)
    record = folder.path / "train/record.json"
    known = json.loads(record.read_text(encoding="utf-8"))
    assert (known["exit"].pop("lost"), known["exit"].pop("dropped")) == ("", 0)
    record.write_text(json.dumps(known), encoding="utf-8")
    train = folder.load().train
    assert train is not None
    assert train.exit.unread == ""

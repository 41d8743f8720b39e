"""What the engine tests share: the command under test, a tiny project, and an engine that can be cut off."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from _pytest.mark import ParameterSet
from defects import Seen

import harness
from harness.diagnosis import causes_of
from harness.engine import labels
from harness.evidence.records import Exchange
from harness.evidence.run_folder import RunFolder

REPO = Path(__file__).parents[2]
HERE = Path(__file__).parent
SETUP_TIMEOUT = 900.0  # seconds for `harness setup` of a project: its wheels come over the network
SOCKET = "/var/run/docker.sock"
TRACEBACK = "Traceback (most recent call last)"
Model = dict[str, Any]


def eventually(condition: Callable[[], bool], within: float, what: str, *, every: float = 0.05) -> float:
    """Return after how many seconds a condition holds; fails at the deadline."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < within, f"not within {within:g} s: {what}"
        time.sleep(every)
    return time.monotonic() - start


@dataclass(frozen=True)
class Ran:
    """One call of the command, and what came of it."""

    code: int
    out: str
    err: str
    seconds: float
    project: Path

    def __str__(self) -> str:
        return f"exit code {self.code} after {self.seconds:.1f} s\n{self.out}\n--- stderr\n{self.err}"

    @property
    def folder(self) -> Path:
        """The run folder that it named, else that of the project's last run."""
        named = [line.removeprefix("evidence: ") for line in self.out.splitlines() if line.startswith("evidence: ")]
        return Path(named[-1]) if named else (self.project / ".harness/runs/latest").resolve()

    def record(self, name: str) -> Any:
        """Return one JSON file of the run folder."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @property
    def causes(self) -> list[str]:
        """What made it fail, as its run folder alone tells it; those of the machine are exit code 3, and no others."""
        found = causes_of(RunFolder(self.folder).load())
        assert any(cause.kind.is_infrastructure for cause in found) == (self.code == 3), f"{found}\n{self}"
        return [f"{cause.subject}: {cause.kind}" for cause in found]

    @property
    def exchanges(self) -> dict[str, Exchange]:
        """Case -> the exchange that the last run recorded."""
        contract = RunFolder(self.folder).load().contract
        assert contract is not None, str(self)
        return {exchange.case: exchange for exchange in contract.exchanges}

    def no_traceback(self) -> bool:
        """Whether the command itself did not crash; what a container prints is its own."""
        lines = (self.out + self.err).splitlines()
        return "harness crashed" not in self.out and not any(line.startswith(TRACEBACK) for line in lines)

    @property
    def statuses(self) -> dict[str, str]:
        """Check -> the status of its last finding."""
        return {finding["check"]: finding["status"] for finding in self.record("findings.json")}

    def finding(self, check: str) -> dict[str, str]:
        """Return the first finding of a check that is not well, else its first."""
        found = [f for f in self.record("findings.json") if f["check"] == check]
        assert found, f"no finding of {check}\n{self}"
        bad: dict[str, str] = next((f for f in found if f["status"] in ("fail", "error")), found[0])
        return bad

    def assert_passed(self) -> None:
        """Expect exit code 0 and no finding worse than a warning."""
        assert self.code == 0, str(self)
        assert {"fail", "error"}.isdisjoint(self.statuses.values()), str(self)
        assert self.no_traceback(), str(self)

    def assert_failed(self, check: str, *, received: str, advice: str = "") -> None:
        """Expect exit code 1, and the check's expected, received and advice on the screen."""
        assert self.code == 1, str(self)
        finding = self.finding(check)
        assert finding["status"] == "fail", str(self)
        assert finding["expected"], str(self)
        assert finding["advice"], str(self)
        assert received in finding["received"], str(self)
        assert advice in finding["advice"], str(self)
        for text in (check, finding["advice"].splitlines()[0], *finding["received"].splitlines()):
            assert text in self.out, str(self)
        assert self.err == "", str(self)

    def assert_refused(self, code: int, *texts: str) -> None:
        """Expect one message with what to do, no traceback, and an exit code that is nobody's else."""
        assert self.code == code, str(self)
        for text in ("harness: ", "\n  do: ", *texts):
            assert text in self.out, str(self)
        assert self.no_traceback(), str(self)


def same_artifact(ran: Ran) -> bool:
    """Whether training and serving recorded the same files with the same hashes."""
    left, seen = ran.record("artifact.json")["files"], ran.record("serve/record.json")["files"]
    hashes = {file["path"]: file["sha256"] for file in seen}
    return bool(left) and all(hashes.get(file["path"]) == file["sha256"] for file in left)


@dataclass
class Launched:
    """A running call of the command, in a process group of its own as a terminal makes one."""

    process: subprocess.Popen[bytes]
    project: Path
    out: Path
    err: Path
    started: float

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.out.read_text(encoding="utf-8", errors="replace")

    def prints(self, text: str, within: float = 60) -> None:
        """Wait until it has printed a text."""

        def there() -> bool:
            assert self.process.poll() is None or text in self.printed, f"it ended without {text!r}:\n{self.printed}"
            return text in self.printed

        eventually(there, within, f"{text!r} in:\n{self.printed}")

    def interrupt(self, number: signal.Signals) -> None:
        """Ctrl-C reaches the whole group of processes, as in a terminal; other signals only the command."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def finish(self, timeout: float = 120) -> Ran:
        """Wait for the end."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {timeout:g} s:\n{self.printed}") from None
        seconds = time.monotonic() - self.started
        err = self.err.read_text(encoding="utf-8", errors="replace")
        return Ran(self.process.returncode, self.printed, err, seconds, self.project)

    def kill(self) -> None:
        """End it at once; it cannot clean up."""
        self.process.kill()
        self.process.wait()


@dataclass
class Harness:
    """Calls the real command as a process."""

    logs: Path
    base: str
    launched: list[Launched] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)  # hears what the checks of each run found

    def start(self, project: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Launched:
        """Start `harness VERB --project PROJECT ...`; `clean` is for the whole engine.

        Where no verb is given `run --fast`: the further starts, the load and the fuzzing have tests of their own.
        """
        verb, *rest = arguments or ("run", "--fast")
        where = () if verb == "clean" else ("--project", str(project))
        number = len(self.launched)
        out, err = self.logs / f"{number}.out", self.logs / f"{number}.err"
        home = str(Path(harness.__file__).parents[1])
        drop = ("GITHUB_ACTIONS", "COMPOSE_PROJECT_NAME", "COMPOSE_FILE")
        environment = {name: value for name, value in os.environ.items() if name not in drop}
        environment |= {"PYTHONPATH": home, "BASE_IMAGE": self.base, "COLUMNS": "200", **(env or {})}
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness", verb, *where, *rest],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                cwd=self.logs,
                start_new_session=True,
            )
        self.launched.append(Launched(process, project, out, err, time.monotonic()))
        return self.launched[-1]

    def __call__(
        self, project: Path, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> Ran:
        """Run the command to its end."""
        ran = self.start(project, *arguments, env=env).finish(timeout)
        if any(line.startswith("evidence: ") for line in ran.out.splitlines()):
            self.seen.read(ran.folder / "findings.json")
        return ran

    @property
    def pids(self) -> set[int]:
        """The processes that were started, living or not."""
        return {launched.process.pid for launched in self.launched}


class Engine:
    """Looks at the engine with the SDK, past the code under test."""

    def __init__(self, url: str | None = None) -> None:
        self.client = docker.DockerClient(url, version="auto") if url else docker.from_env(version="auto")
        self.client.ping()

    def owned(self, pids: set[int]) -> list[str]:
        """Return the containers, networks and volumes whose label names one of these processes as their owner."""
        filters = {"label": labels.OWNER}
        api = self.client.api
        things = [(c["Names"][0], c["Labels"]) for c in api.containers(all=True, filters=filters)]
        things += [(n["Name"], n["Labels"]) for n in api.networks(filters=filters)]
        things += [(v["Name"], v["Labels"]) for v in api.volumes(filters=filters).get("Volumes") or ()]
        return [name for name, marks in things if getattr(labels.Owner.parse(marks[labels.OWNER]), "pid", 0) in pids]

    def containers(self, project: str, *, running: bool = True) -> list[str]:
        """Return the harness's containers of a project, by their stage."""
        found = self.client.api.containers(all=not running, filters={"label": f"{labels.PROJECT}={project}"})
        return [container["Labels"].get(labels.STAGE, "?") for container in found]

    def commands(self, text: str) -> list[str]:
        """Return all containers, whoever made them, whose command has a text."""
        found = self.client.api.containers(all=True)
        return [f"{c['Id'][:12]} {c['State']}" for c in found if text in self._command(c["Id"])]

    def _command(self, container: str) -> str:
        try:
            answer = self.client.api.inspect_container(container)
        except docker.errors.NotFound:  # gone meanwhile
            return ""
        return " ".join([answer["Path"], *answer["Args"]])


def merged(base: Model, change: Mapping[str, Any]) -> Model:
    """Return a Compose model with a change: mappings are merged, None removes a key."""
    result = deepcopy(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result


@dataclass
class Mini:
    """Makes tiny projects that run straight from the base image, their code in `command`."""

    root: Path
    names: list[str] = field(default_factory=list)

    def __call__(
        self, change: Mapping[str, Any] | None = None, *, train: str = "", serve: str = "", fault: str = ""
    ) -> Path:
        """Make a project. `change` is merged into the Compose file; `train` and `serve` replace the code."""
        name = f"mini-{secrets.token_hex(4)}"
        self.names.append(name)
        folder = self.root / name
        (folder / "data").mkdir(parents=True)
        (folder / "contract").mkdir()
        (folder / "data/rows.csv").write_text("x,y\n1,2\n2,4\n3,6\n", encoding="utf-8")
        request = {"instances": [{"x": 1.0}, {"x": 2.5}]}
        example = {"request": request, "response": {"predictions": [2.0, 5.0]}, "tolerance": {"relative": 1e-3}}
        (folder / "contract/two.json").write_text(json.dumps(example), encoding="utf-8")
        model = merged(self._model(name, train, serve, fault), change or {})
        (folder / "compose.yaml").write_text(yaml.safe_dump(model, sort_keys=False, width=10_000), encoding="utf-8")
        return folder

    def copy(self, project: Path) -> Path:
        """Copy one of the example projects, under a name of its own."""
        name = f"mini-{secrets.token_hex(4)}"
        self.names.append(name)
        folder = self.root / name
        shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".harness", "harness.lock", ".env"))
        file = folder / "compose.yaml"
        old = f"name: {project.name}\n"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, f"name: {name}\n"), encoding="utf-8")
        return folder

    def baking(self, *, train: str = "", before: str = "", after: str = "") -> Path:
        """Make a project whose serving image copies the artifact; `before` and `after` are lines around that."""
        folder = self(
            {
                "services": {
                    "serve": {
                        "image": None,
                        "command": None,
                        "volumes": None,
                        "build": {"context": ".", "args": ["BASE_IMAGE"]},
                    }
                },
                "x-harness": {"serve": {"bake": "models", "artifact": "/model"}},
            },
            train=train,
        )
        (folder / "models").mkdir()
        shutil.copy(HERE / "mini/serve.py", folder)
        lines = ["ARG BASE_IMAGE", "FROM ${BASE_IMAGE}", before, "COPY serve.py /", "COPY models /model", after]
        lines.append('CMD ["python3", "-u", "/serve.py"]')
        (folder / "Dockerfile").write_text("\n".join(line for line in lines if line), encoding="utf-8")
        return folder

    @staticmethod
    def _model(name: str, train: str, serve: str, fault: str) -> Model:
        def command(code: str, file: str) -> list[str]:
            code = code or (HERE / "mini" / file).read_text(encoding="utf-8")
            return ["python3", "-u", "-c", code.replace("$", "$$")]

        return {
            "name": name,
            "services": {
                "train": {
                    "image": "${BASE_IMAGE}",
                    "command": command(train, "train.py"),
                    "volumes": ["./data:/data:ro", "model:/model"],
                },
                "serve": {
                    "image": "${BASE_IMAGE}",
                    "command": command(serve, "serve.py"),
                    "environment": {"FAULT": fault},
                    "user": "10001:10001",
                    "volumes": ["model:/model:ro"],
                },
            },
            "volumes": {"model": {}},
            "x-harness": {
                "version": 1,
                "data": {"path": "data", "mount": "/data"},
                "train": {"timeout": "60s"},
                "serve": {"port": 8080, "dialect": "plain", "timeout": "30s"},
                "contract": {"examples": "contract/*.json", "strict": True},
            },
        }


class Cable:
    """A unix socket that leads to the engine until it is cut: an engine that can be lost."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._open: list[socket.socket] = []
        self._cut = threading.Event()
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close_door(self) -> None:
        """Refuse new connections and let the open ones go on, as an engine does that goes down."""
        self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Keep back whatever either side says from now on; connections are taken, and stay."""
        self._flows.clear()

    def restart(self) -> None:
        """End all connections, and what was held back with them; new ones lead to what then is the engine."""
        ends, self._open = self._open, []
        self._end(*ends)
        self._flows.set()

    def cut(self) -> None:
        """End every connection and refuse new ones."""
        self._cut.set()
        self._path.unlink(missing_ok=True)
        self._end(self._listener, *self._open)
        self._flows.set()

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while not self._cut.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(SOCKET)
            self._open += [near, far]
            if self._cut.is_set():  # `cut` may have looked a moment before
                near.close()
                far.close()
                return
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                self._flows.wait()
                target.sendall(chunk)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    """Let a folder be a small disk of its own. Needs root, as the engine does."""
    folder.mkdir(parents=True)
    mount, umount = (shutil.which(name) or name for name in ("mount", "umount"))
    subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run([umount, "--lazy", str(folder)], check=True)


def nightly(*values: Any, id: str | None = None, marks: Sequence[pytest.MarkDecorator] = ()) -> ParameterSet:  # noqa: A002 - as pytest.param has it
    """Return parameters of a test that are tried in the nightly run alone."""
    return pytest.param(*values, id=id, marks=[pytest.mark.nightly, *marks])

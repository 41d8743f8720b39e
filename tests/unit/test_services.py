"""The services beside train and serve: which there are, how they stand in the run's file, and what is found of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import builders
import pytest
from defects import defect, shows

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.config.companions import between, dependencies, needed, needed_by, steps, without_container_names
from harness.config.spec import Handover, Spec
from harness.evidence.records import Companion, Evidence, Exit, FileHash, Finding, Images, Services, Status
from harness.project.runfile import Variant, build_file, image_name, run_file, varied

CHECKS = {check.name: check for check in all_checks()}
DONE = {"condition": "service_completed_successfully"}
MODEL = {"type": "volume", "source": "model", "target": "/in", "volume": {}}
OUT = {"type": "volume", "source": "onnx", "target": "/out", "volume": {}}


def _on(*names: str) -> dict[str, Any]:
    return {"depends_on": dict.fromkeys(names, DONE)}


CHAIN = {
    "train": _on("prepare"),
    "serve": {**_on("train", "check", "cache"), "volumes": builders.MODEL["services"]["serve"]["volumes"]},
    "prepare": {"image": "p"},
    "check": {**_on("convert", "queue"), "build": {"context": "/project/check"}},
    "convert": {**_on("train", "prepare"), "image": "c", "volumes": [MODEL, OUT], "links": ["train", "queue:q"]},
    "queue": {"image": "q"},
    "cache": {"image": "r"},
    "monitor": _on("train"),
}


def _spec(**changes: Any) -> Spec:
    return builders.spec(model={"services": CHAIN}, **changes)


def _file(spec: Spec, *keys: str) -> Any:
    images = {key: f"sha256:{key}" for key in keys}
    return run_file(spec, project="harness-r1", images=images, data_volume=None, labels={"harness.run-id": "r1"})


def test_order() -> None:
    """Each service comes after all that it depends on; who depends on train alone is started for nobody."""
    spec = _spec()
    assert needed_by(spec, "train") == ("prepare",)
    order = needed_by(spec, "serve")
    assert set(order) == {"check", "convert", "queue", "cache", "prepare"}
    assert order.index("prepare") < order.index("convert") < order.index("check")
    assert steps(spec) == ("convert", "check")
    assert "monitor" not in dependencies(spec)


def test_circles_end() -> None:
    """A circle, which Compose refuses, is no endless loop."""
    services = {"serve": _on("a"), "a": _on("b"), "b": _on("a", "serve", "nobody")}
    assert set(needed(services, "serve", {"serve", "train"})) == {"a", "b"}
    assert between(services, "train", "serve") == ()


def test_steps_stand_in_the_file_without_train() -> None:
    """A step names no service that the file does not have, and mounts the run's own volume of the artifact."""
    services = _file(_spec(), "serve")["services"]
    assert set(services["convert"]["depends_on"]) == {"prepare"}
    assert services["convert"]["links"] == ["queue:q"]
    mounts = {mount["target"]: mount["source"] for mount in services["convert"]["volumes"]}
    assert mounts == {"/in": "harness-artifact", "/out": "onnx"}
    assert "depends_on" not in services["check"] or "train" not in services["check"]["depends_on"]


def test_what_is_built_beside_runs_by_its_id() -> None:
    """The image of a service with `build` is built with the others, and the run takes the one that was built."""
    spec = _spec()
    assert build_file(spec)["services"]["check"] == {"build": {"context": "/project/check"}, "image": "demo-check"}
    services = _file(spec, "serve", "check")["services"]
    assert services["check"]["image"] == "sha256:check"
    assert "build" not in services["check"]
    assert _file(spec, "serve")["services"]["check"]["image"] == "demo-check"


def test_images_by_service() -> None:
    """The images of the services beside come with that of train or serve."""
    images = replace(builders.images(), beside=(builders.built("check", id="sha256:c"),))
    assert images.ids("train") == {"train": images.of("train").id, "check": "sha256:c"}


def test_a_container_name_is_an_alias_of_one() -> None:
    """Others find a service by its `container_name` in every network; variants of it do not answer to that name."""
    networks = {"front": None, "back": {"aliases": ["old"]}}
    model = {"services": {"serve": {"container_name": "api", "networks": networks}}, "networks": networks}
    file = _file(builders.spec(model=model), "serve")
    service = file["services"]["serve"]
    assert "container_name" not in service
    assert service["networks"] == {"front": {"aliases": ["api"]}, "back": {"aliases": ["old", "api"]}}
    made = varied(file, "serve", Variant("again", lambda _service: None))["services"]["again"]
    assert all(not (network or {}).get("aliases") for network in made["networks"].values())


@pytest.mark.parametrize(
    ("own", "expected"), [({}, {"default": {"aliases": ["api"]}}), ({"network_mode": "host"}, None)]
)
def test_a_container_name_without_networks(own: dict[str, Any], expected: Any) -> None:
    """Without networks of its own a service has the default one; with a mode it has no names."""
    spec = builders.spec(model={"services": {"serve": {"container_name": "api", **own}}})
    assert _file(spec, "serve")["services"]["serve"].get("networks") == expected


def test_containers_of_the_project_are_its_services() -> None:
    """What names the container of another service means that service: the project's own container may be up, too."""
    services = {
        "db": {"container_name": "my-db"},
        "a": {"network_mode": "container:my-db", "pid": "container:foreign"},
        "b": {"volumes_from": ["container:my-db:ro", "c"], "external_links": ["my-db:sql", "foreign"]},
    }
    made = without_container_names({"services": services})["services"]
    assert made["a"]["network_mode"] == "service:db"
    assert made["a"]["pid"] == "container:foreign"
    assert made["b"]["volumes_from"] == ["db:ro", "c"]
    assert (made["b"]["links"], made["b"]["external_links"]) == (["db:sql"], ["foreign"])
    assert set(made["a"]["depends_on"]) == set(made["b"]["depends_on"]) == {"db"}
    assert services["a"] == {"network_mode": "container:my-db", "pid": "container:foreign"}


def _one_service(handover: Handover) -> Spec:
    build = {"context": "/project", "dockerfile": "Dockerfile"}
    app = {"build": build, "volumes": [{**MODEL, "target": "/model"}], "container_name": "app"}
    block = {"train": {"service": "app", "command": ["fit"]}, "serve": {"service": "app"}}
    model = {"services": {"app": app, "train": None, "serve": None}}
    return builders.spec(block, model, train_key="app-train", serve_key="app", handover=handover)


def test_one_service_trains_and_serves() -> None:
    """It has two images and two containers: the one that trains does not stand in the way of the one that serves."""
    spec = _one_service(Handover.MOUNTED)
    assert {key: service["image"] for key, service in build_file(spec)["services"].items()} == {
        "app": "demo-app",
        "app-train": "demo-app-train",
    }
    services = _file(spec, "app-train")["services"]
    assert list(services) == ["app-train"]
    assert services["app-train"]["command"] == ["fit"]
    assert _file(spec, "app")["services"]["app"]["image"] == "sha256:app"
    spec.model["services"]["app"] |= {"image": "ready"}
    del spec.model["services"]["app"]["build"]
    assert image_name(spec, "app-train") == image_name(spec, "app") == "ready"


def _exit(code: int, *lines: str) -> Exit:
    return Exit(code=code, oom_killed=False, timed_out=False, seconds=1.0, log_tail=lines)


OK = Companion("db", ("train",), "service_healthy", 1.0)
STEP = Companion("convert", ("serve",), DONE["condition"], 1.0, _exit(0), ("converted",))
BAD = replace(
    STEP, exit=_exit(1, "ValueError: opset"), log_tail=("ValueError: opset",), problem="ended with exit code 1"
)
OLD = FileHash("model.json", 1, "a")
NEW = FileHash("model.onnx", 2, "b")


def _judge(name: str, **changes: Any) -> list[Finding]:
    given: Evidence = builders.evidence(**changes)
    return list(judge_one(given, CHECKS[name]))


def test_all_is_up() -> None:
    """What is there is told; where there is no other service that is said."""
    (finding,) = _judge("services.ready", services=Services((OK, STEP), ("convert",)))
    assert finding.status is Status.PASS
    assert "db: healthy" in finding.received
    assert "convert: exit code 0" in finding.received
    (finding,) = _judge("services.ready", services=None, stages=())
    assert finding.status is Status.SKIP


@pytest.mark.parametrize(
    ("companion", "said"),
    [
        pytest.param(each, said, marks=shows("services.ready", Status.FAIL, said))
        for each, said in (
            (BAD, "ValueError: opset"),
            (replace(OK, problem="is unhealthy; its health check said: refused"), "said: refused"),
            (replace(STEP, exit=None, problem="did not end within 9 s (`train.timeout`)"), "did not end within 9 s"),
        )
    ],
)
def test_a_failed_service(companion: Companion, said: str) -> None:
    """The finding names the service, says what it said last, and blocks what waits for it."""
    record = Services((OK if companion.service != "db" else STEP, companion))
    (finding,) = _judge("services.ready", services=record)
    assert finding.status is Status.FAIL
    assert companion.service in finding.expected
    assert said in finding.received
    assert finding.advice
    assert companion.service in str(record.blocker)


@defect("services.ready", "a service that is not required fails", status="warn")
def test_what_is_not_required_is_a_warning() -> None:
    """`required: false`: the line goes on, and the rest is told."""
    record = Services((replace(BAD, required=False), OK))
    warned, well = _judge("services.ready", services=record)
    assert (warned.status, well.status, record.blocker) == (Status.WARN, Status.PASS, None)


def _handed(left: tuple[FileHash, ...] | None, *seen: FileHash, trained: tuple[FileHash, ...] = (OLD,)) -> Finding:
    (finding,) = _judge(
        "artifact.handed-over",
        artifact=replace(builders.artifact(), files=trained),
        serve=builders.serving(files=seen),
        services=Services((STEP,), ("convert",), left),
    )
    return finding


def test_steps_may_change_the_artifact() -> None:
    """Serving must see what the last step left, and the finding says that it is not what training left."""
    assert "made by convert: 0 of the 1 files" in _handed((NEW,), NEW).received
    assert "left them as training did" in _handed((OLD,), OLD).received
    assert _handed((NEW,), NEW).status is _handed((OLD,), OLD).status is Status.PASS
    assert _handed(None, OLD).status is Status.PASS


@defect("artifact.handed-over", "the service sees what training left, not what the step after it made")
def test_what_a_step_left_must_arrive() -> None:
    """A service that sees something else than the step left fails."""
    finding = _handed((NEW,), OLD)
    assert finding.status is Status.FAIL
    assert "as convert left them" in finding.expected


@defect("artifact.handed-over", "the step between training and serving leaves nothing")
def test_a_step_that_leaves_nothing() -> None:
    """An empty place is no hand-over, whatever the service's image has there."""
    finding = _handed((), NEW)
    assert finding.status is Status.FAIL
    assert "convert left no file" in finding.received


def test_old_records_have_no_images_beside() -> None:
    """A record of before is read."""
    assert Images("b", "c", (), ()).beside == ()

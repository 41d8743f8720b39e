"""The run's own Compose file."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.config.companions import dependencies
from harness.config.spec import Handover, Spec
from harness.project.runfile import Variant, build_file, image_name, run_file, varied
from harness.runner.stages.robustness import _change

LABELS = {"harness.run-id": "r1", "harness.owner": "me"}
DB: dict[str, Any] = {
    "db": {
        "image": "postgres:17",
        "container_name": "db",
        "ports": [{"target": 5432, "published": "5432"}],
        "volumes": [{"type": "volume", "source": "rows", "target": "/var/lib", "volume": {}}],
        "networks": {"back": None},
        "labels": {"mine": "1"},
    }
}


def _run(spec: Spec, *keys: str, project: str = "harness-r1", data_volume: str | None = "harness-data-1") -> Any:
    images = {key: f"sha256:{key}" for key in keys or ("train", "serve")}
    return run_file(spec, project=project, images=images, data_volume=data_volume, labels=LABELS)


def _mount(service: Any, target: str) -> Any:
    (found,) = [mount for mount in service["volumes"] if mount["target"] == target]
    return found


def _train(**changes: Any) -> Any:
    return _run(builders.spec(model={"services": {"train": changes}}))["services"]["train"]


def _serve(**changes: Any) -> Any:
    return _run(builders.spec(model={"services": {"serve": changes}}))["services"]["serve"]


def test_images_are_those_built() -> None:
    """The services run the image IDs given, build nothing, and never restart."""
    model = _run(builders.spec(model={"services": {"serve": {"restart": "always"}}}))
    for key in ("train", "serve"):
        assert model["services"][key]["image"] == f"sha256:{key}"
        assert "build" not in model["services"][key]
        assert model["services"][key]["restart"] == "no"


def test_the_users_model_is_left_alone() -> None:
    """Making the run's file changes nothing in the description."""
    spec = builders.spec(model={"services": DB})
    before = json.dumps(spec.model)
    _run(spec)
    build_file(spec)
    assert json.dumps(spec.model) == before


def test_ports_are_replaced() -> None:
    """The service's ports give way to one free port of the engine's host; training publishes none."""
    assert _serve()["ports"] == [{"mode": "ingress", "host_ip": "127.0.0.1", "target": 8080, "protocol": "tcp"}]
    assert "ports" not in _train(ports=[{"target": 6006, "published": "6006"}])


@pytest.mark.parametrize("mode", ["host", "none", "bridge"])
def test_network_mode_publishes_no_port(mode: str) -> None:
    """A service with a network mode of its own keeps it and publishes nothing."""
    serve = _serve(network_mode=mode)
    assert serve["network_mode"] == mode
    assert "ports" not in serve


def test_fixed_names_are_dropped() -> None:
    """What would collide with the user's own containers, or multiply ours, is dropped everywhere."""
    fixed = {"container_name": "mine", "profiles": ["x"], "scale": 3, "deploy": {"replicas": 3, "labels": {"a": "b"}}}
    services = {"train": fixed, "serve": {**fixed, "depends_on": {"db": {}}}, **DB}
    model = _run(builders.spec(model={"services": services}))
    for service in model["services"].values():
        assert not {"container_name", "profiles", "scale"} & service.keys()
        assert "replicas" not in service.get("deploy", {})


def test_labels_everywhere() -> None:
    """Every service, volume and network that the run makes carries its labels beside the user's."""
    spec = builders.spec(model={"services": {**DB, "serve": {"depends_on": {"db": {}}}}, "volumes": {"rows": {}}})
    model = _run(spec)
    for key, service in model["services"].items():
        assert service["labels"].items() >= {**LABELS, "harness.stage": key}.items()
    assert model["services"]["db"]["labels"]["mine"] == "1"
    made = [v for v in (*model["volumes"].values(), *model["networks"].values()) if not v.get("external")]
    assert len(made) == 3  # the artifact, the rows of the data base, the network
    assert all(entry["labels"].items() >= LABELS.items() for entry in made)


def test_names_per_run() -> None:
    """Two runs share no name but those of external things and of the dataset."""
    spec = builders.spec(
        model={"services": {**DB, "serve": {"depends_on": {"db": {}}}}, "volumes": {"rows": {"name": "demo_rows"}}}
    )
    first, second = _run(spec), _run(spec, project="harness-r2")

    def names(model: Any) -> set[str]:
        entries = {**model["volumes"], **model["networks"]}
        return {model["name"], *(entry["name"] for entry in entries.values())}

    assert names(first) & names(second) == {"harness-data-1"}


def test_external_things_are_kept() -> None:
    """External volumes and networks stay the user's, without our name or label."""
    model = _run(
        builders.spec(
            model={
                "services": {
                    "serve": {
                        "volumes": [
                            *builders.MODEL["services"]["serve"]["volumes"],
                            {"type": "volume", "source": "cache", "target": "/cache", "volume": {}},
                        ],
                        "networks": {"edge": None},
                    }
                },
                "volumes": {"cache": {"name": "shared-cache", "external": True}},
                "networks": {"edge": {"name": "edge", "external": True}},
            }
        )
    )
    assert model["volumes"]["cache"] == {"name": "shared-cache", "external": True}
    assert model["networks"]["edge"] == {"name": "edge", "external": True}
    assert _mount(model["services"]["serve"], "/cache")["source"] == "cache"


def test_unused_volumes_are_dropped() -> None:
    """A volume that no service of the run mounts is not created."""
    assert set(_run(builders.spec())["volumes"]) == {"harness-artifact", "harness-data"}


def test_dependencies_are_kept_without_ports() -> None:
    """What train and serve depend on runs too, through all levels, publishing nothing."""
    spec = builders.spec(
        model={
            "services": {
                "train": {"depends_on": {"queue": {"condition": "service_started"}}},
                "serve": {"depends_on": {"train": {}, "db": {"condition": "service_healthy"}}},
                "queue": {"image": "redis", "depends_on": {"disk": {}}},
                "disk": {"image": "minio"},
                "unrelated": {"image": "grafana"},
                **DB,
            }
        }
    )
    assert set(dependencies(spec)) == {"db", "queue", "disk"}
    model = _run(spec)
    assert set(model["services"]) == {"train", "serve", "db", "queue", "disk"}
    assert "ports" not in model["services"]["db"]
    assert model["services"]["db"]["image"] == "postgres:17"
    assert model["services"]["serve"]["depends_on"] == {"db": {"condition": "service_healthy"}}


def test_serve_does_not_wait_for_train() -> None:
    """Training and serving are started one by one: the dependency between them goes."""
    assert "depends_on" not in _serve()


def test_limits_and_dollars_are_kept() -> None:
    """Limits, users, health checks and `$$` go through untouched."""
    kept = {
        "mem_limit": "1073741824",
        "cpus": 1.5,
        "user": "10001:10001",
        "read_only": True,
        "cap_drop": ["ALL"],
        "shm_size": "64",
        "command": ["sh", "-c", "echo $$HOME"],
        "healthcheck": {"test": ["CMD", "true"]},
        "environment": {"PRICE": "5$$"},
    }
    for service in (_train(**kept), _serve(**kept)):
        assert {key: service[key] for key in kept} == kept


def test_command_of_the_block_wins() -> None:
    """`train.command` replaces the service's, its `$` doubled for Compose."""
    model = _run(builders.spec({"train": {"command": ["echo", "$HOME"]}}, {"services": {"train": {"command": ["x"]}}}))
    assert model["services"]["train"]["command"] == ["echo", "$$HOME"]


def test_artifact_volume() -> None:
    """The run's own artifact volume is where the user's was: writable in train, read-only in serve."""
    serve = {"volumes": [{"type": "volume", "source": "model", "target": "/model", "volume": {}}]}
    model = _run(builders.spec(model={"services": {"serve": serve}}))
    train, serve = (_mount(model["services"][key], "/model") for key in ("train", "serve"))
    assert (train["source"], train["read_only"]) == ("harness-artifact", False)
    assert (serve["source"], serve["read_only"]) == ("harness-artifact", True)
    assert model["volumes"]["harness-artifact"]["name"] == "harness-r1_artifact"


def test_artifact_below_the_mount() -> None:
    """An artifact inside a mount is handed over by that whole mount, at the mount's own path."""
    model = _run(builders.spec({"train": {"artifact": "/model/v1"}}, serve_artifact="/model/v1"))
    assert _mount(model["services"]["train"], "/model")["source"] == "harness-artifact"
    assert _mount(model["services"]["serve"], "/model")["source"] == "harness-artifact"


def test_bind_mount_of_the_artifact_is_replaced() -> None:
    """A bind mount for the artifact becomes a volume: a run writes nothing into the user's folders."""
    bind = {"type": "bind", "source": "/host/model", "target": "/model", "bind": {"create_host_path": True}}
    model = _run(builders.spec(model={"services": {"train": {"volumes": [bind]}, "serve": {"volumes": [bind]}}}))
    for key in ("train", "serve"):
        mount = _mount(model["services"][key], "/model")
        assert (mount["type"], mount["source"]) == ("volume", "harness-artifact")
        assert "bind" not in mount


def test_driver_options_are_kept() -> None:
    """The artifact volume keeps the driver options of the user's, a size limit for example, but not its name."""
    options = {"driver": "local", "driver_opts": {"type": "tmpfs", "o": "size=100m"}}
    volume = _run(builders.spec(model={"volumes": {"model": options}}))["volumes"]["harness-artifact"]
    assert volume["driver_opts"] == {"type": "tmpfs", "o": "size=100m"}
    assert volume["name"] == "harness-r1_artifact"


def test_mount_options_are_kept() -> None:
    """The options of the user's mount (nocopy, subpath) stay."""
    mount = {"type": "volume", "source": "model", "target": "/model", "volume": {"nocopy": True}}
    assert _mount(_train(volumes=[mount]), "/model")["volume"] == {"nocopy": True}


def test_data_volume_is_read_only() -> None:
    """Training reads the dataset from the content-addressed volume, read-only, in place of the user's bind mount."""
    bind = {"type": "bind", "source": "/host/data", "target": "/data"}
    train = _train(volumes=[bind, *builders.MODEL["services"]["train"]["volumes"]])
    mount = _mount(train, "/data")
    assert (mount["type"], mount["source"], mount["read_only"]) == ("volume", "harness-data", True)
    assert _run(builders.spec())["volumes"]["harness-data"] == {"name": "harness-data-1", "external": True}


def test_serve_gets_the_data_only_where_it_mounts_it() -> None:
    """A serve service that does not mount the dataset does not see it."""
    assert all(mount["target"] != "/data" for mount in _serve()["volumes"])
    bind = {"type": "bind", "source": "/host/data", "target": "/data"}
    assert _mount(_serve(volumes=[bind]), "/data")["source"] == "harness-data"


def test_without_a_dataset() -> None:
    """Without a dataset there is no data volume."""
    model = _run(builders.spec({"data": None}), data_volume=None)
    assert "harness-data" not in model["volumes"]
    assert all(mount["target"] != "/data" for mount in model["services"]["train"]["volumes"])


def test_training_in_a_stage() -> None:
    """A stage that trains keeps the limits and the environment of its service, but no mount, port or entrypoint."""
    spec = builders.spec(
        {"train": {"service": "serve", "target": "build", "command": ["python", "t.py"], "artifact": "/app/model"}},
        {"services": {"serve": {"mem_limit": "1g", "environment": {"A": "1"}, "entrypoint": ["server"]}}},
        handover=Handover.TRAINED_IN_BUILD,
        train_key="serve-build",
        serve_artifact="/app/model",
    )
    train = _run(spec, "serve-build")["services"]["serve-build"]
    assert (train["mem_limit"], train["environment"]) == ("1g", {"A": "1"})
    assert (train["command"], train["entrypoint"]) == (["python", "t.py"], [])
    assert "ports" not in train
    assert [mount["target"] for mount in train["volumes"]] == ["/data"]


def test_training_image_that_we_supply() -> None:
    """Training code without a Dockerfile runs without a network, its artifact in the run's volume."""
    spec = builders.spec(
        {"train": {"from": "requirements.txt", "command": ["python", "t.py"]}}, {"services": {"train": None}}
    )
    train = _run(spec, "train")["services"]["train"]
    assert train["network_mode"] == "none"
    assert _mount(train, "/model")["source"] == "harness-artifact"


def test_baked_mounts_nothing() -> None:
    """With a baked artifact the serve service keeps its mounts as they are."""
    spec = builders.spec(
        {"serve": {"bake": "models"}},
        {"services": {"serve": {"volumes": []}}},
        handover=Handover.BAKED,
        serve_artifact="/app/models",
    )
    assert _run(spec, "serve")["services"]["serve"]["volumes"] == []


def test_secrets_and_configs_are_kept() -> None:
    """Secrets and configs that services name are declared in the run's file too."""
    model = _run(builders.spec(model={"secrets": {"key": {"file": "/k"}}, "configs": {"c": {"file": "/c"}}}))
    assert (model["secrets"], model["configs"]) == ({"key": {"file": "/k"}}, {"c": {"file": "/c"}})


def test_build_file() -> None:
    """The builds have the names that Compose itself would give, so that caches and images are the user's."""
    spec = builders.spec(model={"services": {"serve": {"image": None, "build": {"context": "/project"}}}})
    services = build_file(spec)["services"]
    assert services["train"] == {"build": builders.MODEL["services"]["train"]["build"], "image": "demo-train"}
    assert services["serve"]["image"] == image_name(spec, "serve") == "demo-serve"


def test_build_file_of_a_stage() -> None:
    """Training in a build stage builds the same Dockerfile up to that stage."""
    spec = builders.spec(
        {"train": {"service": "serve", "target": "build", "command": ["a"]}},
        {"services": {"serve": {"image": None, "build": {"context": "/project", "target": "final"}}}},
        train_key="serve-build",
    )
    services = build_file(spec)["services"]
    assert services["serve-build"]["build"]["target"] == "build"
    assert services["serve"]["build"]["target"] == "final"


def test_services_without_a_build_are_not_built() -> None:
    """A service that runs a ready image is not built."""
    assert set(build_file(builders.spec())["services"]) == {"train"}


def test_compose_accepts_the_run_file(tmp_path: Path) -> None:
    """Compose itself reads the file, and `$$` arrives in it as written."""
    spec = builders.spec(model={"services": {**DB, "serve": {"depends_on": {"db": {"condition": "service_started"}}}}})
    spec.model["services"]["train"]["command"] = ["echo", "$$HOME"]
    spec.model["volumes"]["rows"] = {}
    spec.model["networks"]["back"] = {}
    file = tmp_path / "compose.json"
    file.write_text(json.dumps(_run(spec)))
    read = builders.compose().config(tmp_path, [file])
    assert read["name"] == "harness-r1"
    assert read["services"]["train"]["command"] == ["echo", "$$HOME"]


def _only_one() -> Any:
    """A run whose serve service has what only one container can have."""
    networks = {"front": {"aliases": ["model"], "ipv4_address": "10.9.0.5"}}
    serve: dict[str, Any] = {
        "networks": networks,
        "mac_address": "02:42:ac:11:00:02",
        "depends_on": {"db": {}},
        "entrypoint": None,
    }
    return _run(builders.spec(model={"services": {**DB, "serve": serve}, "networks": {"front": {}}}), "serve")


def _with(**keys: Any) -> Callable[[dict[str, Any]], None]:
    return lambda service: service.update(keys)


def test_variants_are_the_service_but_for_the_change() -> None:
    """A variant has the image, mounts and ports of its service, a label of its own, and what was changed."""
    run = _run(builders.spec())
    original = run["services"]["train"]
    file = varied(run, "train", Variant("again", _with(command=["x"])), Variant("bare", lambda s: s.pop("image")))
    assert set(file["services"]) == {"again", "bare", "serve"}
    made = file["services"]["again"]
    assert made["labels"] == {**original["labels"], "harness.stage": "again"}
    assert {**made, "labels": 0} == {**original, "command": ["x"], "labels": 0}


def test_variants_of_robustness_share_nothing_that_only_one_can_have() -> None:
    """Addresses, aliases and what must be up before stay with the original; None removes a key."""
    file = varied(_only_one(), "serve", Variant("a", partial(_change, {"read_only": True, "image": None})))
    service = file["services"]["a"]
    assert service["networks"] == {"front": None}
    assert not {"depends_on", "mac_address", "entrypoint", "image"} & service.keys()
    assert service["read_only"] is True
    assert file["name"] == "harness-r1"


def test_variants_bring_volumes_and_networks() -> None:
    """Further volumes and networks carry the run's name and labels, beside those that the run has."""
    variant = Variant("a", _with(networks={"inside": None}), {"v": None, "w": "there"})
    file = varied(_only_one(), "serve", variant, networks={"inside": {"internal": True}})
    assert file["volumes"]["v"] == {"name": "harness-r1_v", "labels": LABELS}
    assert file["volumes"]["w"] == {"name": "there", "external": True}
    assert file["networks"]["inside"] == {"internal": True, "name": "harness-r1_inside", "labels": LABELS}
    assert {"front", "inside"} <= file["networks"].keys()
    assert "harness-artifact" in file["volumes"]


def test_variants_leave_the_run_alone() -> None:
    """Making variants changes nothing in the run's own file."""
    run = _run(builders.spec())
    before = json.dumps(run)
    file = varied(run, "serve", Variant("a", _with(environment={"A": "1"})))
    file["services"]["a"]["volumes"].clear()
    assert json.dumps(run) == before

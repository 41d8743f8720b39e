"""How containers are reached, from where this process is; and what is carried to an engine that sees no files here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import docker.errors
import psutil
import pytest

from harness.engine import reach as module
from harness.engine.bind_mount_copy import without_binds
from harness.engine.reach import OWN, Reach
from harness.errors import InfrastructureError

ME, SERVICE = "a" * 64, "b" * 64
NETWORK = {"NetworkID": "c" * 64, "IPAddress": "172.18.0.2", "Gateway": "172.18.0.1"}


class Interface(NamedTuple):
    """One address of a network interface, as psutil tells it."""

    address: str


class FakeApi:
    """An engine with a service, and perhaps with the container that this process is in."""

    def __init__(
        self, mode: str | None = None, *, network: dict[str, Any] | None = None, refuses: bool = False
    ) -> None:
        self.refuses = refuses
        self.joined: dict[str, Any] = {"bridge": {"Gateway": "172.17.0.1"}}
        self.found = {
            SERVICE: {
                "NetworkSettings": {
                    "Ports": {"8080/tcp": [{"HostPort": "49153"}]},
                    "Networks": {"run_default": NETWORK} if network is None else network,
                }
            }
        }
        if mode is not None:
            own = {"HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": self.joined}, "Id": ME}
            self.found[ME] = own  # type: ignore[assignment]

    def inspect_container(self, container: str) -> dict[str, Any]:
        if container not in self.found:
            raise docker.errors.NotFound("no such container")
        return self.found[container]

    def connect_container_to_network(self, container: str, name: str) -> None:
        assert container == ME
        if self.refuses:
            raise docker.errors.APIError("no", explanation="a private network")
        self.joined[name] = NETWORK

    def disconnect_container_from_network(self, container: str, name: str, *, force: bool) -> None:
        assert (container, force) == (ME, True)
        if name not in self.joined:
            raise docker.errors.APIError("is not connected")
        del self.joined[name]


@pytest.fixture
def contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find the ID of a container in its mounts."""
    line = f"1 2 254:0 /var/lib/docker/containers/{ME}/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw\n"
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda p, **o: line if str(p).endswith("/mountinfo") else real(p, **o))


@pytest.fixture
def bridges(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Interface]]:
    """Name -> addresses of this machine's network interfaces."""
    found: dict[str, list[Interface]] = {"lo": [Interface("127.0.0.1")]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    return found


def addresses(found: Reach) -> list[tuple[str, int]]:
    return [(address.host, address.port) for address in found.addresses(SERVICE, 8080)]


@pytest.mark.parametrize(
    "line",
    [
        f"1 2 0:1 /docker/containers/{ME}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda rw",
        f"1 2 0:1 /containers/storage/overlay-containers/{ME}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw",
    ],
    ids=["docker", "podman"],
)
def test_own_container_is_found_in_the_mounts(line: str) -> None:
    """Docker and Podman mount files of the container's own folder over three files of /etc."""
    found = OWN.search(line)
    assert found is not None
    assert found[1] == ME


def test_the_engines_machine_is_no_container() -> None:
    """The engine's machine mounts folders of its containers too, in their own places."""
    line = f"1 2 0:1 / /var/lib/docker/containers/{ME}/mounts/shm rw - tmpfs shm rw"
    assert OWN.search(line) is None


def test_here_the_published_port_comes_first(bridges: dict[str, list[Interface]]) -> None:
    """On the engine's machine a port is on loopback; a container's address counts where its bridge is seen."""
    found = Reach.of(FakeApi(), "unix:///var/run/docker.sock")
    assert addresses(found) == [("127.0.0.1", 49153)]
    assert not found.sees_internal(SERVICE)
    bridges["br-" + "c" * 12] = []
    assert addresses(found) == [("127.0.0.1", 49153), ("172.18.0.2", 8080)]
    assert found.sees_internal(SERVICE)
    assert found.shares_files
    assert found.published_at == "127.0.0.1"


def test_here_the_gateway_tells_a_bridge_of_another_name(bridges: dict[str, list[Interface]]) -> None:
    """Podman names its bridges otherwise: this machine has the network's gateway."""
    bridges["cni-podman1"] = [Interface("172.18.0.1")]
    assert ("172.18.0.2", 8080) in addresses(Reach.of(FakeApi(), "unix:///run/podman/podman.sock"))


@pytest.mark.parametrize("url", ["tcp://docker:2375", "ssh://me@docker", "https://docker:2376"])
def test_away_no_address_of_a_container_is_asked(url: str, bridges: dict[str, list[Interface]]) -> None:
    """The same address here is a stranger's, even with a bridge of the same subnet: only published ports are asked."""
    bridges["br-" + "c" * 12] = [Interface("172.18.0.1")]
    found = Reach.of(FakeApi(), url)
    assert addresses(found) == [("docker", 49153)]
    assert found.published_at == "0.0.0.0"
    assert not found.shares_files
    assert not found.sees_internal(SERVICE)


def test_an_engine_at_loopback_is_here() -> None:
    """An engine beside us in the same network, as in a pod, publishes on the loopback that we share."""
    found = Reach.of(FakeApi(), "tcp://localhost:2375")
    assert (found.published_at, found.shares_files) == ("127.0.0.1", True)


@pytest.mark.usefixtures("contained")
def test_in_a_container_the_networks_are_joined_and_left() -> None:
    """From a container of the engine neither loopback nor other networks are reached: it joins, and leaves."""
    api = FakeApi("bridge")
    found = Reach.of(api, "unix:///var/run/docker.sock")
    assert addresses(found) == []
    found.join(SERVICE)
    found.join(SERVICE)  # once is enough
    assert addresses(found) == [("172.18.0.2", 8080)]
    assert found.sees_internal(SERVICE)
    assert not found.shares_files
    found.leave("run_default")
    found.leave("run_default")  # one that never joined, or has left
    assert list(api.joined) == ["bridge"]


@pytest.mark.usefixtures("contained")
def test_a_refused_join_says_what_to_do() -> None:
    """An engine that does not let this container join is a fault of the infrastructure."""
    found = Reach.of(FakeApi("slirp4netns", refuses=True), "unix:///run/podman/podman.sock")
    with pytest.raises(InfrastructureError, match="cannot join the network run_default: a private network") as caught:
        found.join(SERVICE)
    assert "--network host" in caught.value.hint


@pytest.mark.usefixtures("contained")
def test_a_container_on_the_engines_network_is_reached_by_loopback() -> None:
    """With `--network host` published ports are on our loopback; our files still are our own."""
    found = Reach.of(FakeApi("host"), "unix:///var/run/docker.sock")
    assert addresses(found)[0] == ("127.0.0.1", 49153)
    assert not found.shares_files


@pytest.mark.usefixtures("contained")
def test_a_container_of_another_engine_is_none_of_this_one() -> None:
    """Docker-in-Docker: the engine in DOCKER_HOST does not know the container that we are in."""
    found = Reach.of(FakeApi(), "tcp://docker:2375")
    assert (found.away, found.own) == (True, "")


@pytest.mark.usefixtures("contained")
def test_a_service_on_the_engines_own_network_is_behind_the_gateway() -> None:
    """From a container the engine's machine is its gateway."""
    found = Reach.of(FakeApi("bridge", network={"host": {}}), "unix:///var/run/docker.sock")
    assert addresses(found) == [("172.17.0.1", 8080)]


def test_where_we_are_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message names the place: that is what has to be changed."""
    monkeypatch.setattr(module, "_own_container", lambda _api: None)
    assert Reach.of(FakeApi(), "unix:///var/run/docker.sock").description == "on the engine's machine"
    assert "docker" in Reach.of(FakeApi(), "tcp://docker:2375").description


def test_bind_mounts_of_the_project_are_carried(tmp_path: Path) -> None:
    """Folders become volumes of the run, files are written; what is the engine's own stays."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "a$b.txt").write_text("7", encoding="utf-8")
    mounts = [
        {"type": "bind", "source": str(tmp_path / "conf"), "target": "/conf", "read_only": True},
        {"type": "bind", "source": f"{tmp_path}/a$$b.txt", "target": "/a.txt"},
        {"type": "bind", "source": f"{tmp_path}/missing", "target": "/missing"},
        {"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"},
        {"type": "volume", "source": "model", "target": "/model"},
    ]
    model = {"name": "run", "services": {"train": {"volumes": mounts}, "serve": {}}, "volumes": {"model": {}}}
    found = without_binds(model, tmp_path)
    (name,) = found.folders
    assert found.folders[name] == tmp_path / "conf"
    assert found.files == {"train": {"/a.txt": tmp_path / "a$b.txt"}}
    kept = found.model["services"]["train"]["volumes"]
    assert [mount["target"] for mount in kept] == ["/conf", "/missing", "/var/run/docker.sock", "/model"]
    assert (kept[0]["type"], kept[0]["read_only"]) == ("volume", True)
    assert found.model["volumes"][kept[0]["source"]] == {"name": name, "external": True}
    assert model["services"]["train"]["volumes"] == mounts, "the model itself was changed"  # type: ignore[index]

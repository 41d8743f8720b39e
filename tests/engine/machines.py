"""The places where the harness must work unchanged: a second engine in a container, Podman, and a job's container.

Images for them are made once and kept on the engine under `harness-test/`; containers carry a label and go on every
path.
"""

from __future__ import annotations

import hashlib
import io
import os
import pwd
import resource
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
import psutil
import yaml

from harness import engine as harness_engine
from harness.provision import debian
from harness.provision.fetch import WheelTarget
from harness.provision.host import Host
from harness.provision.programs import apt_install

from .support import REPO, SOCKET, eventually

LABEL = "harness-test.place"
ENGINE = "harness-test/engine:trixie"
ENGINE_PACKAGES = ("docker.io", "iptables", "ca-certificates")
ENGINE_PORT = 2375
ENTRYPOINT = ["dockerd", "-H", f"tcp://0.0.0.0:{ENGINE_PORT}", "--tls=false", "--log-level=error"]
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
PODMAN_PACKAGES = ("podman", "uidmap", "slirp4netns", "fuse-overlayfs")
USER = "harness-rootless"
# A service of Podman, and one of an ordinary user in a mount namespace of its own: there the two devices are what
# they are on most machines, open to every user, and the root is shared, as rootless Podman wants it.
ROOTLESS = """
set -e
mount --make-rshared /
for device in net/tun:200 fuse:229; do
    node=$1/${device##*:}
    mknod -m 666 "$node" c 10 "${device##*:}"
    mount --bind "$node" "/dev/${device%%:*}"
done
user=$2
shift 2
exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
"""


def say(line: str) -> None:
    print(line)


@dataclass(frozen=True)
class Builder:
    """A builder, and the environment in which Compose builds with it."""

    name: str
    environment: Mapping[str, str]


def builder_of(name: str) -> Builder:
    """Return a builder by its name in the evidence. BuildKit brings its own plugin: a machine may have none."""
    if name == "classic":
        return Builder(name, {"DOCKER_BUILDKIT": "0"})
    return Builder(name, {"DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(buildx("forky")), "BUILDX_BUILDER": ""})


def buildx(suite: str) -> Path:
    """Return a folder for DOCKER_CONFIG with the buildx plugin of a suite of Debian, downloaded once on a machine.

    Neither the machine's packages nor its lists of them are touched. Raises CalledProcessError with what apt says.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness-tests"
    config = cache / f"buildx-{suite}"
    if config.exists():
        return config
    if not KEYRING.exists():
        apt_install(["debian-archive-keyring"], Host.current(), say)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="buildx-", dir=cache) as name:
        folder = Path(name)
        for below in ("lists/partial", "archives/partial", "config/cli-plugins"):
            (folder / below).mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
        own = {"Etc::SourceList": "sources.list", "Etc::SourceParts": "-", "State::Lists": "lists", "Cache": "."}
        apt = ["apt-get", "--quiet", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3"]
        apt += [word for key, value in own.items() for word in ("-o", f"Dir::{key}={folder}/{value}")]
        for words in ([*apt, "update"], [*apt, "download", "docker-buildx"]):
            subprocess.run(words, cwd=folder, check=True, timeout=300)
        (package,) = folder.glob("docker-buildx_*.deb")
        unpack = ["dpkg", "-x", str(package), "root"]
        subprocess.run(unpack, cwd=folder, check=True, timeout=60)
        (plugin,) = folder.glob("root/usr/lib*/docker/cli-plugins/docker-buildx")
        shutil.move(plugin, folder / "config/cli-plugins")
        with suppress(FileExistsError, OSError):  # another session of tests was faster
            (folder / "config").rename(config)
    return config


def engine_image(client: docker.DockerClient) -> str:
    """Return an image with Debian's engine, made of its packages unless the first engine has it."""
    with suppress(docker.errors.ImageNotFound):
        client.images.get(ENGINE)
        return ENGINE
    if shutil.which("mmdebstrap") is None:
        apt_install(["mmdebstrap", "debian-archive-keyring"], Host.current(), say)
    with tempfile.TemporaryDirectory(prefix="harness-engine-") as folder:
        tar = Path(folder) / "engine.tar"
        argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(ENGINE_PACKAGES)}"]
        argv += [f"--dpkgopt=path-exclude={path}" for path in debian.EXCLUDED]
        subprocess.run([*argv, "trixie", str(tar)], check=True, timeout=600)
        repository, _, tag = ENGINE.partition(":")
        with tar.open("rb") as stream:
            client.api.import_image_from_data(stream, repository=repository, tag=tag, changes=list(debian.CHANGES))
    return ENGINE


@contextmanager
def engine_in_container(client: docker.DockerClient, base: str) -> Iterator[str]:
    """Run a second engine, Docker-in-Docker without `--privileged`, with the base image; yield its DOCKER_HOST."""
    container = client.containers.create(
        engine_image(client),
        ENTRYPOINT,
        labels={LABEL: "engine"},
        cap_add=["ALL"],
        cap_drop=["SYS_RESOURCE"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        tmpfs={"/run": ""},
        volumes=["/var/lib/docker", "/sys/fs/cgroup:/sys/fs/cgroup"],
        environment={"DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE": "1"},
    )
    try:
        container.start()
        container.reload()
        url = f"tcp://{container.attrs['NetworkSettings']['Networks']['bridge']['IPAddress']}:{ENGINE_PORT}"
        eventually(lambda: answers(url), 60, f"the second engine answers:\n{container.logs(tail=20).decode()}")
        copy_image(client, base, url)
        yield url
    finally:
        container.remove(force=True, v=True)


def answers(url: str) -> bool:
    """Whether an engine answers at a URL, asked without the SDK, which leaves refused sockets open."""
    parts = urlsplit(url)
    family, address = (socket.AF_INET, (parts.hostname, parts.port)) if parts.port else (socket.AF_UNIX, parts.path)
    with socket.socket(family) as connection, suppress(OSError):
        connection.settimeout(5)
        connection.connect(address)
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in connection.recv(4096)
    return False


def copy_image(client: docker.DockerClient, reference: str, url: str) -> None:
    """Copy an image from one engine to another through their APIs, under its own name."""
    other = docker.DockerClient(base_url=url, version="auto", timeout=120)
    try:
        image = client.images.get(reference)
        for _ in other.api.load_image(client.api.get_image(reference), quiet=True):
            pass
        name, is_digest, _ = reference.partition("@")
        if is_digest:  # saved by its digest it comes without a name, and no engine takes a digest that none gave it
            repository, _, tag = name.rpartition(":")
            other.api.tag(image.id, repository, tag)
    finally:
        other.close()


@contextmanager
def podman(client: docker.DockerClient, base: str, *, rootless: bool = False) -> Iterator[str]:
    """Run a service of Podman with the base image, its state in a folder of its own; yield its DOCKER_HOST."""
    if any(shutil.which(name) is None for name in ("podman", "newuidmap", "slirp4netns")):
        apt_install(PODMAN_PACKAGES, Host.current(), say)
    folder = Path(tempfile.mkdtemp(prefix="hp-"))  # short: Podman refuses paths of its state above 50 characters
    folder.chmod(0o755)
    (folder / "containers.conf").write_text(_settings())
    for name in ("root", "run", "home", "devices"):
        (folder / name).mkdir()
    url = f"unix://{folder}/podman.sock"
    program = [
        "podman",
        "--storage-driver=overlay",
        "--root",
        f"{folder}/root",
        "--runroot",
        f"{folder}/run/containers",
    ]
    argv = [*program, "system", "service", "--time=0", url]
    user = _user() if rootless else None
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        argv = ["unshare", "--mount", "sh", "-c", ROOTLESS, "sh", f"{folder}/devices", USER, *argv]
    own = {"CONTAINERS_CONF": f"{folder}/containers.conf", "HOME": f"{folder}/home", "XDG_RUNTIME_DIR": f"{folder}/run"}
    environment = {**os.environ, **own}
    log = folder / "log.txt"
    with log.open("ab") as stream:
        process = subprocess.Popen(argv, env=environment, stdout=stream, stderr=stream, cwd=folder)
    try:
        eventually(lambda: answers(url) or process.poll() is not None, 30, "Podman answers or ends")
        assert process.poll() is None, log.read_text(encoding="utf-8")
        copy_image(client, base, url)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        if user is not None:
            _end_all_of(user)
        else:
            subprocess.run([*program, "system", "reset", "--force"], env=environment, timeout=60, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _settings() -> str:
    """Return settings that this machine allows: Podman asks for higher limits, and crun refuses mixed cgroups."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    limits = [f"{name}={min(resource.getrlimit(kind)[1] % 2**63, 10_000)}" for name, kind in kinds.items()]
    ulimits = ", ".join(f'"{limit}:{limit.partition("=")[2]}"' for limit in limits)
    runtime = '[engine]\nruntime = "runc"\n' if shutil.which("runc") else ""
    return f"[containers]\ndefault_ulimits = [{ulimits}]\n{runtime}"


def _user() -> pwd.struct_passwd:
    """Return an ordinary user with subordinate IDs, made unless there is one."""
    with suppress(KeyError):
        return pwd.getpwnam(USER)
    useradd = shutil.which("useradd") or "/usr/sbin/useradd"
    subprocess.run([useradd, "--system", "--add-subids-for-system", USER], check=True)
    return pwd.getpwnam(USER)


def _end_all_of(user: pwd.struct_passwd) -> None:
    """End what a user runs, whose only processes are Podman's: one of them holds its namespaces and mounts."""
    for process in psutil.process_iter(["uids"]):
        with suppress(psutil.NoSuchProcess):
            if process.info["uids"] and process.info["uids"].real == user.pw_uid:
                process.kill()


@contextmanager
def served(client: docker.DockerClient, base: str, project: Path, artifact: Path) -> Iterator[str]:
    """Run the serving container of a tiny project with an artifact, without the harness; yield its URL."""
    service = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))["services"]["serve"]
    container = client.containers.create(
        base,
        [word.replace("$$", "$") for word in service["command"]],
        user=service["user"],
        environment=service["environment"],
        labels={LABEL: "served"},
        ports={"8080/tcp": ("127.0.0.1", None)},
    )
    try:
        container.put_archive("/", packed(artifact, "/model"))
        container.start()
        container.reload()
        yield f"http://127.0.0.1:{container.ports['8080/tcp'][0]['HostPort']}"
    finally:
        container.remove(force=True, v=True)


@dataclass(frozen=True)
class Job:
    """A job's container with the harness in it, as CI systems make one: the engine's socket, a workspace of its own."""

    client: docker.DockerClient
    base: str

    def image(self) -> str:
        """Return an image with the dependencies of the harness, installed from wheels that the host fetched."""
        wanted = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        needed = [*wanted["dependencies"], *wanted["optional-dependencies"]["compose"]]
        parent = self.client.images.get(self.base).id
        tag = f"harness-test/job:{hashlib.sha256(repr((parent, needed)).encode()).hexdigest()[:12]}"
        with suppress(docker.errors.ImageNotFound):
            self.client.images.get(tag)
            return tag
        with harness_engine.Engine.connect() as engine:
            options = WheelTarget.of(engine, self.base).pip_options()
        with tempfile.TemporaryDirectory(prefix="harness-job-") as folder:
            pip(
                "download",
                "--only-binary=:all:",
                *options,
                "--abi=abi3",
                "--abi=none",
                "--dest",
                f"{folder}/wheels",
                *needed,
            )
            names = " ".join(f"'{name.replace(' ', '')}'" for name in needed)
            install = f"/opt/harness/bin/pip install --quiet --no-index --find-links /wheels {names}"
            text = f"FROM {self.base}\nCOPY wheels /wheels\nRUN python3 -m venv /opt/harness && {install}\n"
            (Path(folder) / "Dockerfile").write_text(text)
            self.client.images.build(path=folder, tag=tag, rm=True, forcerm=True, network_mode="none")
        for old in {name for image in self.client.images.list("harness-test/job") for name in image.tags} - {tag}:
            with suppress(docker.errors.APIError):  # used by another run of these tests
                self.client.images.remove(old)
        return tag

    @contextmanager
    def container(self, *arguments: str, workspace: Mapping[str, Path], **options: Any) -> Iterator[Any]:
        """Create a container that runs the harness; `workspace` is path inside -> folder that is copied there."""
        wheels = Path(tempfile.mkdtemp(prefix="harness-wheel-"))
        made = None
        try:
            pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(REPO))
            install = "/opt/harness/bin/pip install --quiet --no-index --no-deps /wheel/*.whl"
            command = ["sh", "-c", f'{install} && exec /opt/harness/bin/harness "$@"', "sh", *arguments]
            made = self.client.containers.create(
                self.image(),
                command,
                labels={LABEL: "job"},
                volumes=[f"{SOCKET}:{SOCKET}"],
                environment={"BASE_IMAGE": self.base, "COLUMNS": "200", "CI": "true", **options.pop("environment", {})},
                **options,
            )
            for target, folder in {**workspace, "/wheel": wheels}.items():
                made.put_archive("/", packed(folder, target))
            yield made
        finally:
            shutil.rmtree(wheels)
            if made is not None:
                made.remove(force=True, v=True)


def pip(*arguments: str) -> None:
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def packed(folder: Path, target: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, target.lstrip("/"))
    return buffer.getvalue()


def ended(container: Any, timeout: float = 180) -> tuple[int, str]:
    """Start a container, wait for its end, and return its exit code and output."""
    start = time.monotonic()
    container.start()
    code = container.wait(timeout=timeout)["StatusCode"]
    return code, f"{container.logs().decode(errors='replace')}\n({time.monotonic() - start:.1f} s)"

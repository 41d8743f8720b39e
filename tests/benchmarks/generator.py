"""The load generator against `wrk` on the same server, in one sitting: A B A B ..., medians of the throughputs.

Run it in the repository on a machine with two cores: `python tests/benchmarks/generator.py`. The server (nginx, which
answers every request with the same JSON) has one core, and each generator in turn the other: 16 clients that each
wait for their answer, over keep-alive. `wrk` and `nginx` are Debian packages (`wrk`, `nginx-light`). Beside the
requests a second of wall time stand those a second of the generator's own CPU time: the first suffers from whatever
else runs on the machine, the second does not.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.client.http import Target
from harness.client.load import LoadRequest, Traffic
from harness.evidence.records import Step

RUNS = 5
SECONDS = 3.0
CLIENTS = 16
RATE = 1000.0
GOAL = 3000.0  # requests a second
PATH = "/predict"
BODY = b'{"instances":[{"island":"Dream","bill_length_mm":39.5,"flipper_length_mm":186.0}]}'
ANSWER = b'{"predictions":[0.25],"model":"v1"}'

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ return 200 '{answer}'; }}
  }}
}}
"""
WRK = """
wrk.method = "POST"
wrk.body = [[{body}]]
wrk.headers["Content-Type"] = "application/json"
"""


@dataclass(frozen=True)
class Score:
    """One run of a generator."""

    rate: float  # requests a second
    per_cpu: float  # requests a second of its own CPU time

    def __str__(self) -> str:
        return f"{self.rate:7.0f}/s"


@contextmanager
def server(folder: Path, core: int) -> Iterator[Target]:
    """Run nginx on one core."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        target = Target("127.0.0.1", free.getsockname()[1])
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=target.port, answer=ANSWER.decode()), encoding="utf-8")
    argv = ["taskset", "-c", str(core), "nginx", "-e", "stderr", "-c", str(config)]
    process = subprocess.Popen(argv)
    try:
        for _ in range(100):
            try:
                socket.create_connection((target.host, target.port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield target
    finally:
        process.terminate()
        process.wait(10)


def ours(target: Target) -> Score:
    """Run the generator of the harness in this process; every answer is compared."""
    traffic = Traffic(target, PATH, (LoadRequest(BODY, ANSWER),))
    start = time.process_time()
    step = traffic.closed_loop(CLIENTS, SECONDS)
    used = time.process_time() - start
    if step.errors or step.crossed:
        sys.exit(f"the server is broken: {step.errors}")
    return Score(step.throughput, step.answered / used)


def wrk(target: Target, script: Path, core: int) -> Score:
    """Run wrk: one thread, as many connections, the same request."""
    argv = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS:.0f}s", "-s", str(script)]
    process = subprocess.Popen([*argv, f"{target.url}{PATH}"], stdout=subprocess.PIPE)
    output = process.stdout.read().decode() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    found = re.search(r"(\d+) requests in .*?\nRequests/sec:\s*([\d.]+)", output, re.DOTALL)
    if status or found is None or "Non-2xx" in output:
        sys.exit(f"wrk failed:\n{output}")
    return Score(float(found[2]), int(found[1]) / (usage.ru_utime + usage.ru_stime))


def stream(target: Target) -> Step:
    """Run the open loop: how late the generator sends, and what it measures of a server that does nothing."""
    return Traffic(target, PATH, (LoadRequest(BODY, ANSWER),)).open_loop(RATE, SECONDS)


def show(name: str, scores: list[Score]) -> None:
    """Print the medians of one generator."""
    rate = statistics.median(score.rate for score in scores)
    per_cpu = statistics.median(score.per_cpu for score in scores)
    each = ", ".join(f"{score.rate:.0f}" for score in scores)
    print(f"{name:12} {rate:8.0f} requests/s   {per_cpu:8.0f} for each second of its CPU time   of {each}")


def main() -> None:
    """Print the medians; exit code 1 where the goal is missed."""
    if missing := [name for name in ("nginx", "wrk", "taskset") if shutil.which(name) is None]:
        sys.exit(f"{', '.join(missing)} not found: apt-get install -y wrk nginx-light util-linux")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the server, one for the generator")
    with tempfile.TemporaryDirectory() as name, server(Path(name), cores[0]) as target:
        script = Path(name) / "post.lua"
        script.write_text(WRK.format(body=BODY.decode()), encoding="utf-8")
        os.sched_setaffinity(0, {cores[1]})
        ours(target), wrk(target, script, cores[1])  # warm, not counted
        pairs = [(ours(target), wrk(target, script, cores[1])) for _ in range(RUNS)]
        steps = [stream(target) for _ in range(RUNS)]
    load = os.getloadavg()[0]
    print(f"closed loop, {CLIENTS} clients, {SECONDS:g} s, nginx on core {cores[0]}, generator on core {cores[1]}")
    print(f"load of the machine {load:.1f} (about 2 of it is this benchmark)")
    show("harness", [left for left, _ in pairs])
    show("wrk", [right for _, right in pairs])
    p50, p99, late = (
        statistics.median(values) * 1e6
        for values in (
            [step.percentile(50) for step in steps],
            [step.percentile(99) for step in steps],
            [step.late for step in steps],
        )
    )
    print(f"open loop, {RATE:g} a second: p50 {p50:.0f} us, p99 {p99:.0f} us, sent late by {late:.0f} us (p99)")
    if statistics.median(left.rate for left, _ in pairs) < GOAL:
        sys.exit(f"the goal of {GOAL:g} requests a second is missed")


if __name__ == "__main__":
    main()

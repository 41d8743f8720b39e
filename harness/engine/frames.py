"""The output of a container as the engine sends it: attached to while it runs, or read from the engine's log after."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import docker
import docker.types
import requests

from harness.engine.sdk import close_stream

STDOUT, STDERR, ENGINE = 1, 2, 3  # streams of a frame; the last one is the engine's own error
CHUNK = 256 * 1024
HEADER = struct.Struct(">BxxxL")  # stream, length, as the engine's API describes it for `attach`
Frame = tuple[int, bytes]


class BrokenStreamError(Exception):
    """The output of a container ended before its end; the text says how."""


@dataclass(frozen=True)
class FrameStream:
    """The frames of a container that runs, those together that came at once, and what lets go of them."""

    frames: Iterator[list[Frame]]
    close: Callable[[], None]


def attach(api: docker.APIClient, container: str) -> FrameStream:
    """Attach to the output of a container, before its start so that nothing is lost.

    The SDK's own `attach` takes four calls of the system a frame, and a broken connection for an end.
    """
    url = api._url("/containers/{0}/attach", container)  # noqa: SLF001
    headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
    response = api._post(url, headers=headers, params={"stdout": 1, "stderr": 1, "stream": 1}, stream=True)  # noqa: SLF001
    api._raise_for_status(response)  # noqa: SLF001
    tty = api._check_is_tty(container)  # noqa: SLF001
    return FrameStream(
        frames(_received(api, response), tty=tty),
        lambda: close_stream(docker.types.CancellableStream(iter(()), response)),
    )


def logged(api: docker.APIClient, container: str, tail: int | str = "all") -> Generator[list[Frame], None, None]:
    """Yield what the engine's own log of a container has, which may have been cut by the engine: all, or last lines."""
    url = api._url("/containers/{0}/logs", container)  # noqa: SLF001
    params = {"stdout": 1, "stderr": 1, "follow": 0, "timestamps": 0, "tail": tail}
    with closing(api._get(url, params=params, stream=True)) as response:  # noqa: SLF001
        api._raise_for_status(response)  # noqa: SLF001
        yield from frames(response.iter_content(CHUNK), tty=api._check_is_tty(container))  # noqa: SLF001


def frames(chunks: Iterable[bytes], *, tty: bool) -> Iterator[list[Frame]]:
    """Yield for each chunk its streams and bytes: a terminal's are bytes, else there are frames with a header each.

    Frames of one stream in a row come as one. Raises BrokenStreamError for an end within a frame, and with what the
    engine says where it could not go on.
    """
    if tty:
        yield from ([(STDOUT, chunk)] for chunk in chunks)
        return
    head, stream, left = b"", STDOUT, 0
    for chunk in chunks:
        found: list[tuple[int, list[bytes]]] = []
        at = 0
        while at < len(chunk):
            if left:
                piece = chunk[at : at + left]
                if found and found[-1][0] == stream:
                    found[-1][1].append(piece)
                else:
                    found.append((stream, [piece]))
                at += len(piece)
                left -= len(piece)
                continue
            missing = HEADER.size - len(head)
            head += chunk[at : at + missing]
            at += missing
            if len(head) == HEADER.size:
                stream, left = HEADER.unpack(head)
                head = b""
        yield [_frame(number, pieces) for number, pieces in found]
    if head or left:
        raise BrokenStreamError("the connection to the engine was cut")


def _frame(stream: int, pieces: list[bytes]) -> Frame:
    data = b"".join(pieces)
    if stream == ENGINE:
        raise BrokenStreamError(data.decode(errors="replace").strip())
    return stream, data


def _received(api: docker.APIClient, response: requests.Response) -> Iterator[bytes]:
    """Yield what comes over a connection as it comes, for hours if need be."""
    stream: Any = response.raw._fp.fp  # noqa: SLF001 - as the SDK itself gets at it
    if hasattr(stream, "read1"):
        api._disable_socket_timeout(stream.raw)  # noqa: SLF001
        receive = stream.read1
    else:  # over SSH
        receive = stream.channel.recv
    while chunk := receive(CHUNK):
        yield chunk

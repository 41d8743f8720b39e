"""A small HTTP client over `http.client`: one request, one `Exchange`, whatever happens.

Nothing here raises for what a server does: a refused connection, a time-out or a broken answer is evidence.
"""

from __future__ import annotations

import http.client
import time

from harness.records import Exchange

MAX_BODY = 32 * 1024 * 1024  # an answer longer than this is cut: a runaway server must not fill the memory


def send(
    address: tuple[str, int],
    path: str,
    *,
    case: str,
    method: str = "GET",
    body: bytes = b"",
    timeout: float = 10.0,
) -> Exchange:
    """Send one request on a fresh connection and record the answer.

    `timeout` is in seconds and bounds each socket operation and the reading of the whole body, so that a server
    that hangs or drips is recorded as such.
    """
    start = time.perf_counter()
    status: int | None = None
    content_type, answer, error = "", b"", ""
    connection = http.client.HTTPConnection(address[0], address[1], timeout=timeout)
    headers = {"Accept": "application/json", "Connection": "close"}
    if method == "POST":
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body=body or None, headers=headers)
        response = connection.getresponse()
        announced = response.length  # None: in chunks, or until the connection closes
        wanted = MAX_BODY if announced is None else min(announced, MAX_BODY)
        while len(answer) < wanted and (chunk := response.read1(wanted - len(answer))):
            answer += chunk
            if time.perf_counter() - start > timeout:
                raise TimeoutError
        if announced is not None and len(answer) < wanted:
            raise http.client.IncompleteRead(answer, wanted - len(answer))
        status, content_type = response.status, response.headers.get("Content-Type", "")
    except TimeoutError:
        error = f"no answer within {timeout:g} s"
    except (OSError, http.client.HTTPException) as exc:
        error = f"{type(exc).__name__}: {exc}"
    finally:
        connection.close()
    return Exchange(
        case=case,
        method=method,
        path=path,
        request=body,
        status=status,
        content_type=content_type,
        response=answer,
        seconds=time.perf_counter() - start,
        error=error,
    )

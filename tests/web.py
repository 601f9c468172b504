"""A web server on loopback that serves a few files, as badly as a test asks it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """Files by name, and the faults of the server that holds them.

    Attributes:
        files: content of each name.
        status: answers every request with this error, if not 200.
        ranges: whether it can send the rest of a file.
        lengths: whether it says how long its answer is.
        cut: each connection ends after this many bytes.
        stall: connections stay open and silent after `cut` bytes, until `release` is set.
        asked: (name, first byte) of each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status = 200
        self.ranges = self.lengths = True
        self.cut: int | None = None
        self.stall = False
        self.release = threading.Event()
        self.asked: list[tuple[str, int]] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        web: Web = self.server.web
        name = self.path.lstrip("/")
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        web.asked.append((name, start))
        if web.status != 200 or name not in web.files:
            self.send_error(web.status if web.status != 200 else 404)
            return
        content = web.files[name]
        if start and web.ranges:
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            start = 0
            self.send_response(200)
        body = content[start:]
        if web.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: web.cut])
        if web.stall:
            web.release.wait(120)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Web]:
    """Run a server for as long as the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.web = Web()
    server.web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.web
    finally:
        server.web.release.set()
        server.shutdown()
        thread.join()
        server.server_close()

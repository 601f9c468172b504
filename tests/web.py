"""A web server on this machine that serves a few files, with the faults that a test gives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """The files of a server, and its faults.

    Attributes:
        files: content by name.
        status: the error with which it answers every request, if not 200.
        ranges: whether it can send a part of a file.
        lengths: whether it sends the length of its answer.
        cut: each connection ends after this many bytes.
        stall: connections stay open and silent after `cut` bytes, until `release` is set.
        leads_to: the address that it answers every request with, if not "".
        requests: (name, first byte) of each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status = 200
        self.ranges = self.lengths = True
        self.cut: int | None = None
        self.stall = False
        self.leads_to = ""
        self.release = threading.Event()
        self.requests: list[tuple[str, int]] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        web: Web = self.server.web
        name = self.path.lstrip("/")
        byte_range = self.headers.get("Range")
        start = int(byte_range.removeprefix("bytes=").removesuffix("-")) if byte_range else 0
        web.requests.append((name, start))
        if web.leads_to:
            self.send_response(302)
            self.send_header("Location", web.leads_to)
            self.end_headers()
            return
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
        """Print nothing."""


@contextmanager
def serving() -> Iterator[Web]:
    """Run a server during the block."""
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

"""The dashboard on this machine alone."""

import errno
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import quote, unquote, urlsplit

from nmf_nets.dashboard.collection import Collection
from nmf_nets.dashboard.page import page
from nmf_nets.refusal import Refusal
from nmf_nets.report.page import page as report
from nmf_nets.report.run import REPORT, Run

HOST = "127.0.0.1"

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
POLICY += "form-action 'none'; frame-ancestors 'none'"
"""What stands in the pages works, and nothing else: they may load nothing, not even from here."""


class Dashboard(ThreadingHTTPServer):
    """Serves the page of all runs, as they are at each request, and their reports, to this machine.

    Everything it sends it makes: no file is served, so none outside the runs can be. Requests that name another host
    are refused, as a page from elsewhere could make a browser send them. Raises Refusal where the port is taken.
    """

    daemon_threads = True

    def __init__(self, roots: Sequence[Path], port: int):
        self.collection, self.lock = Collection(roots), Lock()
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "is taken; another dashboard may run there" if taken else f"cannot be used: {error}"
            raise Refusal(f"port {port} {why}. Choose another with port=…, or port=0 for any that is free.") from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

    def answer(self, path: str) -> str | None:
        """The page at this path; None where there is none."""
        with self.lock:
            self.collection.look()
            if path == "/":
                return page(self.collection, address)
            runs = {unquote(address(name, run)): run for name, run in self.collection.runs.items()}
        return report(runs[path]) if path in runs else None


def address(name: str, run: Run) -> str:
    return f"/runs/{quote(name)}/{REPORT}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    server_version, sys_version = "nmf-dashboard", ""

    def do_GET(self) -> None:
        assert isinstance(self.server, Dashboard)
        own = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        if self.headers.get("Host") not in own:
            self.send_error(HTTPStatus.FORBIDDEN, explain="This dashboard is for this machine alone.")
            return
        html = self.server.answer(unquote(urlsplit(self.path).path))
        if html is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = html.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for refusals."""

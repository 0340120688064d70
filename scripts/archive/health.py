"""How the worker is, as JSON over HTTP on loopback: GET /health. Status 200 when all is well, else 503."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Health:
    """What the worker tells about itself; it names no study but as `identity` lets it."""

    def __init__(self) -> None:
        self.started = time.time()
        self._lock = threading.Lock()
        self._told: dict[str, Any] = {"state": "starting"}
        self._server: ThreadingHTTPServer | None = None

    def tell(self, **told: Any) -> None:
        """Change what is told."""
        with self._lock:
            self._told.update(told, updated=round(time.time(), 3))

    def told(self) -> dict[str, Any]:
        """All that is told."""
        with self._lock:
            return {"uptime_s": round(time.time() - self.started, 1)} | self._told

    def serve(self, port: int, host: str = "127.0.0.1") -> int:
        """Answer on a port, 0 for any free one, in a thread; gives the port."""
        health = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                told = health.told()
                fine = told["state"] in ("starting", "waiting", "working")
                status = 404 if self.path != "/health" else 200 if fine else 503
                body = json.dumps(told if status != 404 else {"error": "want /health"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

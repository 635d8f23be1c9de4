import http.server
import socket
import threading
import time

import pytest

from rankwise.models.hub import probe


class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_server_that_answers(server):
    assert probe(f"{server}/there") == 200
    assert probe(f"{server}/elsewhere") == 404


def test_a_network_that_is_silent_or_closed_costs_at_most_the_wait(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        begin = time.monotonic()
        assert probe(url, wait=0.2) is None
        assert time.monotonic() - begin < 2
    assert probe(url, wait=0.2) is None

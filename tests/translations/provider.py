"""A provider that writes down what it is asked, and answers what the case says."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from answers import Answer, Failure

PATHS = {"/v1/chat/completions": "chat", "/v1/messages": "messages", "/v1/responses": "responses"}


class Recorder:
    """What each model answers, and what it was asked: pairs of a dialect and a body."""

    def __init__(self):
        self.lock, self.answers, self.asked = threading.Lock(), {}, {}

    def expect(self, model, answer):
        with self.lock:
            self.answers[model], self.asked[model] = answer, []

    def take(self, dialect, raw):
        model = json.loads(raw)["model"]
        with self.lock:
            self.asked.setdefault(model, []).append((dialect, raw))
            return model, self.answers.get(model, Answer(("text", "Hello.")))


def start(recorder):
    """Serves `recorder` on a free port of 127.0.0.1; the server, which `shutdown` ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            dialect = PATHS.get(self.path)
            if dialect is None:
                return self.whole(404, {"error": {"message": f"no path {self.path}", "type": "invalid_request_error"}})
            model, answer = recorder.take(dialect, raw)
            if isinstance(answer, Failure):
                return self.whole(200 if answer.hidden else answer.status, answer.body(dialect), answer.headers)
            if json.loads(raw).get("stream"):
                return self.stream(answer, dialect, model)
            self.whole(200, answer.whole(dialect, model), cut=answer.odd.get("cut"))

        def stream(self, answer, dialect, model):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            cut = "cut" in answer.odd and not answer.odd.get("quiet")
            self.send_header(*(("Transfer-Encoding", "chunked") if cut else ("Connection", "close")))
            self.end_headers()
            self.close_connection = True
            for event in answer.events(dialect, model):
                self.write(event.encode(), answer.odd.get("bytes"), cut)

        def write(self, data, size, chunked):
            for at in range(0, len(data), size or len(data)):
                piece = data[at : at + (size or len(data))]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                self.wfile.flush()
                if size and max(piece) > 127:
                    # So that the letter is in two packets.
                    time.sleep(0.001)

        def whole(self, status, answer, headers=None, cut=None):
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: int(len(data) * cut)] if cut else data)
            self.close_connection |= cut is not None

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """A client that leaves is no fault."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

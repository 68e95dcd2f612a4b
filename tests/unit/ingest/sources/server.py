"""A small honest web server on this machine, which answers by script."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Answer:
    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False  #: the connection ends before the content does


@dataclass
class Served:
    """What is given for each path: one answer after the other, the last for ever; all others are not there."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def give(self, path: str, *answers: Answer | bytes) -> None:
        self.answers[f"/{path}"] = [a if isinstance(a, Answer) else Answer(a) for a in answers]

    def next(self, path: str) -> Answer:
        self.asked.append(path.lstrip("/"))
        left = self.answers.get(path, [Answer(b"no such file", 404)])
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving() -> Iterator[Served]:
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = served.next(self.path)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content[: len(answer.content) // 2] if answer.cut else answer.content)
            self.close_connection = True

        def log_message(self, *what: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A small bookshop over HTTP that leaks: the service of `scripts/demo`.

It is an ordinary program that knows nothing of any profiler. Each search makes and throws away a good
deal of JSON, as services do, and stores its answer in a cache, as services do. The cache's key holds
the visitor's session, so that hardly any entry is ever found again, and nothing is ever evicted.

    demo_service.py [--port N]     prints "listening on 127.0.0.1:PORT", serves until SIGTERM
"""

import json
import pickle
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

WORDS = ["amber", "birch", "cloud", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper"]


class Cache:
    """Answers by question. The question should not have held the session."""

    def __init__(self):
        self.entries = {}
        self.lock = threading.Lock()

    def get(self, key):
        with self.lock:
            entry = self.entries.get(key)
        return None if entry is None else pickle.loads(entry)

    def put(self, key, answer):
        packed = pickle.dumps(answer)
        with self.lock:
            self.entries[key] = packed


class Catalog:
    """The books, made up once."""

    def __init__(self, count):
        self.books = [{"id": number, "title": "The %s and the %s" % (WORDS[number % 10],
                                                                     WORDS[number // 10 % 10]),
                       "price": 500 + number % 3000, "tags": [WORDS[number % 7], WORDS[number % 3]]}
                      for number in range(count)]

    def search(self, word, start):
        found = [book for book in self.books if word in book["title"]]
        page = found[start % 50:start % 50 + 120]
        # Copies through JSON, as layers that do not trust each other make them.
        return json.loads(json.dumps({"word": word, "total": len(found), "books": page}))


CACHE = Cache()
CATALOG = Catalog(4000)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        question = urlparse(self.path)
        if question.path == "/health":
            self.answer({"healthy": True, "cached": len(CACHE.entries)})
        elif question.path == "/search":
            self.answer(self.search(parse_qs(question.query)))
        else:
            self.send_error(404)

    def search(self, query):
        word = query.get("word", ["amber"])[0]
        start = int(query.get("start", ["0"])[0])
        key = (word, start, query.get("session", [""])[0])
        answer = CACHE.get(key)
        if answer is None:
            answer = CATALOG.search(word, start)
            CACHE.put(key, answer)
        return answer

    def answer(self, content):
        body = json.dumps(content, indent=1).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    port = int(sys.argv[2]) if sys.argv[1:2] == ["--port"] else 0
    server = Server(("127.0.0.1", port), Handler)
    # shutdown() waits for the loop, which runs in this thread: it needs another one.
    signal.signal(signal.SIGTERM,
                  lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    print("listening on 127.0.0.1:%d" % server.server_address[1], flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Visitors for demo_service.py: searches at a bounded rate, and counts what failed.

    demo_load.py PORT SECONDS [REQUESTS_PER_SECOND]

Ends after SECONDS or at SIGTERM, and prints one line of JSON: {"requests": N, "failed": N,
"slowest_ms": X, "errors": [...]}. An answer that is not the whole and right one counts as failed.
"""

import http.client
import json
import signal
import sys
import threading
import time

VISITORS = 4
WORDS = ["amber", "birch", "cloud", "delta", "ember"]


class Visitor(threading.Thread):
    def __init__(self, number, port, rate, stop):
        super().__init__(daemon=True)
        self.number = number
        self.port = port
        self.period = VISITORS / rate
        self.stop = stop
        self.requests = 0
        self.slowest = 0.0
        self.errors = []

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        due = time.monotonic()
        while not self.stop.is_set():
            began = time.monotonic()
            word = WORDS[self.requests % len(WORDS)]
            path = "/search?word=%s&start=%d&session=%d-%d" % (
                word, self.requests % 50, self.number, self.requests)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status != 200 or answer["word"] != word:
                    raise ValueError("status %d, word %r" % (response.status, answer.get("word")))
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                self.errors.append("%s: %s" % (type(error).__name__, error))
                connection.close()
            self.requests += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            due += self.period
            self.stop.wait(max(0.0, due - time.monotonic()))
        connection.close()


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else 60.0
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    visitors = [Visitor(number, port, rate, stop) for number in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    stop.wait(seconds)
    stop.set()
    for visitor in visitors:
        visitor.join()
    errors = [error for visitor in visitors for error in visitor.errors]
    print(json.dumps({"requests": sum(visitor.requests for visitor in visitors),
                      "failed": len(errors), "errors": errors[:5],
                      "slowest_ms": round(1000 * max(v.slowest for v in visitors), 1)}), flush=True)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

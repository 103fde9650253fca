"""Serves a model over HTTP: vectors at once, and what a text owes to each of its words while that is computed."""

import json
import os
import signal
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from embedder import Embedder

EMBEDDER = Embedder(os.environ.get("MODEL", "/models/minilm"))
TEXTS, CHARACTERS, SECONDS = 64, 4000, 30


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        if self.path != "/health":
            return self.answer(404, {"error": "there is /health, /embed and /explain"})
        vector = EMBEDDER.embed("ready")
        return self.answer(200, {"model": EMBEDDER.version, "dimensions": len(vector)})

    def do_POST(self):
        try:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/embed":
                texts = [str(text)[:CHARACTERS] for text in asked["texts"][:TEXTS]]
                vectors = [[round(float(x), 7) for x in EMBEDDER.embed(text)] for text in texts]
                return self.answer(200, {"model": EMBEDDER.version, "vectors": vectors})
            if self.path == "/explain":
                return self.explain(str(asked["query"]), str(asked["text"])[:CHARACTERS], float(asked["seconds"]))
        except (KeyError, TypeError, ValueError) as error:
            return self.answer(422, {"error": repr(error)})
        return self.answer(404, {"error": "there is /health, /embed and /explain"})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def explain(self, query, text, seconds):
        """One line for each word: by how much the text is farther from the query without it. It takes `seconds` at least."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        words = text.split()
        wanted = EMBEDDER.embed(query)
        whole = float(EMBEDDER.embed(text) @ wanted)
        for number, word in enumerate(words):
            without = " ".join(words[:number] + words[number + 1 :])
            share = whole - float(EMBEDDER.embed(without) @ wanted)
            self.chunk({"word": word, "share": round(share, 4), "model": EMBEDDER.version})
            time.sleep(min(max(seconds, 0), SECONDS) / len(words))
        self.chunk({"done": len(words), "score": round(whole, 4), "model": EMBEDDER.version})
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def chunk(self, content):
        line = json.dumps(content).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    EMBEDDER.embed("warm")
    print(f"model {EMBEDDER.version} is loaded", flush=True)
    Server(("", 8080), Handler).serve_forever()

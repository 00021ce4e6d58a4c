#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server that misbehaves on request: what is wanted of it stands in the path.

  /echo                       what was sent, as JSON
  /fail/<key>/<n>/<status>    the first n requests with this key get that status, then 200 "fine"; ?after=S adds
                              Retry-After: S
  /drop/<key>/<n>             the first n connections are closed without an answer
  /data/<bytes>               that many bytes (i * 7 + i // 251) % 256; takes Range; ?cut=N&key=K ends the connection
                              after every N bytes of a body; ?noranges=1 ignores Range
  /stall                      half an answer, then nothing
  /to?<url>                   302 to the URL behind the question mark
  /loop                       302 to itself
  /heads/<n>                  n headers
"""
import http.server
import json
import sys
import threading
import time
import urllib.parse

seen = {}


def data(n):
    return bytes((i * 7 + i // 251) % 256 for i in range(n))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # clients that hang up are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)

    def count(self, key):
        seen[key] = seen.get(key, 0) + 1
        return seen[key]

    def send_data(self, n, query):
        body, begin = data(n), 0
        wanted = self.headers.get("Range")
        if wanted and "noranges" not in query:
            begin = int(wanted[len("bytes="):].split("-")[0])
            if begin >= n:
                return self.answer(416, Content_Range=f"bytes */{n}")
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{n - 1}/{n}")
        else:
            self.send_response(200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(n - begin))
        self.end_headers()
        if "cut" in query and begin + int(query["cut"]) < n:
            self.count(query["key"])
            self.wfile.write(body[begin:begin + int(query["cut"])])
            return self.hang_up()
        self.wfile.write(body[begin:])

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        words = url.path.strip("/").split("/")
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if words[0] == "echo":
            said = {"method": self.command, "path": self.path, "body": body.decode("latin1"),
                    "headers": {k.lower(): v for k, v in self.headers.items()}}
            self.answer(200, json.dumps(said).encode(), X_Two="first", x_two="second", X_Empty="")
        elif words[0] == "fail" and self.count(words[1]) <= int(words[2]):
            more = {"Retry_After": query["after"]} if "after" in query else {}
            self.answer(int(words[3]), b"no\n  such luck\x01", **more)
        elif words[0] == "drop" and self.count(words[1]) <= int(words[2]):
            self.hang_up()
        elif words[0] in ("fail", "drop"):
            self.answer(200, b"fine " + body)
        elif words[0] == "data":
            self.send_data(int(words[1]), query)
        elif words[0] == "stall":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            time.sleep(20)
            self.hang_up()
        elif words[0] == "to":
            self.answer(302, b"elsewhere", Location=urllib.parse.unquote(url.query))
        elif words[0] == "loop":
            self.answer(302, Location="/loop")
        elif words[0] == "heads":
            self.answer(200, b"ok", **{f"X_{i}": "v" * 1000 for i in range(int(words[1]))})
        else:
            self.answer(404, b"nothing here")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()

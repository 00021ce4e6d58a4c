#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Hugging Face hub on this machine, as far as fetching from one goes: listings with hashes, large files that are
redirected to another host, ranges, tokens; and everything that goes wrong on the way, as its `rules` say."""
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_this_test"


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def hash_of(name, data):
    """As the hub names the blob: large files, here all *.safetensors and *.bin, by SHA-256."""
    return hashlib.sha256(data).hexdigest() if name.endswith((".safetensors", ".bin")) else git_hash(data)


class Hub:
    """repos: {"models/org/name": {file: bytes}}. rules, by file name or "listing":
      cut: [n, ...]    bytes after which the connections that send the file are cut, one after another
      status: [(s, headers), ...]  answers that come before the file does
      body: bytes      is sent instead
      stall: n         after n bytes nothing more comes
      private: True    (of "listing") needs the token
      noranges: True
    `seen` has (path, Range or None) of every file that was asked for; `leaks` what should not have come."""

    def __init__(self, repos):
        self.repos, self.rules, self.seen, self.leaks = repos, {}, [], []
        self.lock = threading.Lock()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                hub.answer(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def listing(self, files, **more):
        siblings = []
        for name, data in files.items():
            h = hash_of(name, data)
            siblings.append({"rfilename": name, "size": len(data), "blobId": h if len(h) == 40 else "0" * 40,
                             **({"lfs": {"sha256": h, "size": len(data), "pointerSize": 134}} if len(h) == 64 else {})})
        return json.dumps({"id": "x", "sha": COMMIT, "siblings": siblings, **more}).encode()

    def take(self, rule, key):
        """The next of a list of a rule; None when there are no more."""
        with self.lock:
            left = rule.get(key)
            return left.pop(0) if left else None

    def send(self, r, status, body=b"", headers=()):
        r.send_response(status)
        for name, value in headers:
            r.send_header(name, value)
        r.send_header("Content-Length", str(len(body)))
        r.end_headers()
        r.wfile.write(body)

    def refuse(self, r, status, code):
        self.send(r, status, json.dumps({"error": "no"}).encode(), [("X-Error-Code", code)] if code else [])

    def answer(self, r):
        path, _, query = r.path.partition("?")
        path = urllib.parse.unquote(path)
        if path.startswith("/cdn/"):
            if r.headers.get("Authorization"):
                self.leaks.append(r.path)
            return self.send_file(r, path[len("/cdn/"):])
        m = re.fullmatch(r"/api/(models|datasets)/([^/]+(?:/[^/]+)?)/revision/(.+)", path)
        if m:
            return self.send_listing(r, m, query)
        m = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        files = self.repos.get(("datasets/" if m and m[1] else "models/") + m[2]) if m else None
        if files is None or m[3] != COMMIT or m[4] not in files:
            return self.refuse(r, 404, "EntryNotFound")
        if self.rules.get("listing", {}).get("private") and r.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(r, 401, "RepoNotFound")
        if len(hash_of(m[4], files[m[4]])) == 64:
            place = f"http://localhost:{self.port}/cdn/{urllib.parse.quote(m[0].split('/resolve/')[0][1:] + '/' + m[4])}"
            return self.send(r, 302, headers=[("Location", place), ("X-Linked-ETag", '"%s"' % hash_of(m[4], files[m[4]]))])
        return self.send_file(r, ("datasets/" if m[1] else "") + m[2] + "/" + m[4])

    def send_listing(self, r, m, query):
        rule, files = self.rules.get("listing", {}), self.repos.get(f"{m[1]}/{m[2]}")
        early = self.take(rule, "status")
        if early:
            return self.send(r, early[0], b"{}", early[1])
        if files is None or (rule.get("private") and r.headers.get("Authorization") != f"Bearer {TOKEN}"):
            return self.refuse(r, 401, "RepoNotFound")
        if m[3] not in ("main", "refs/pr/1", COMMIT):
            return self.refuse(r, 404, "RevisionNotFound")
        if query != "blobs=true":
            return self.refuse(r, 400, None)
        return self.send(r, 200, rule.get("body") or self.listing(files))

    def send_file(self, r, place):
        """`place`: [datasets/]org/name/file"""
        kind, rest = ("datasets", place[len("datasets/"):]) if place.startswith("datasets/") else ("models", place)
        org, name, file = rest.split("/", 2)
        rule = self.rules.get(file, {})
        data = rule.get("body", self.repos[f"{kind}/{org}/{name}"][file])
        asked = r.headers.get("Range")
        with self.lock:
            self.seen.append((file, asked))
        early = self.take(rule, "status")
        if early:
            return self.send(r, early[0], b"", early[1])
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and not rule.get("noranges") else 0
        body, cut, stall = data[begin:], self.take(rule, "cut"), rule.get("stall")
        r.send_response(206 if begin else 200)
        if begin:
            r.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        r.send_header("Content-Length", str(len(body)))
        r.end_headers()
        r.wfile.write(body if cut is None and stall is None else body[:stall if cut is None else cut])
        r.wfile.flush()
        if stall is not None and cut is None:
            time.sleep(60)
        if cut is not None or stall is not None:
            r.close_connection = True
            r.connection.shutdown(2)
        return None

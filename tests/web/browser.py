# SPDX-License-Identifier: MIT
"""web/index.html in a headless Chromium: a script added to the page types and clicks, and reports what it then sees."""
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

SOURCE = pathlib.Path(os.environ.get("TRAWL_SOURCE", pathlib.Path(__file__).parents[2]))
PAGE = (SOURCE / "web/index.html").read_text()
SECONDS = 60
BROWSER = next((b for b in map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")) if b), None)

# The script's body, between these: it fills `seen` and throws when something does not come.
BEFORE = r"""
(async () => {
  const seen = {}, pause = (ms) => new Promise((r) => setTimeout(r, ms));
  const until = async (what, test) => { for (let i = 0; i < 2000; i++) { const x = test(); if (x) return x; await pause(10); }
                                        throw new Error("waited for " + what); };
  const all = (q) => [...document.querySelectorAll(q)];
  const said = (n) => until("answer " + n, () => all(".turn.assistant").length === n && !running && all(".turn.assistant")[n - 1]);
  const say = (text) => { $("say").value = text; $("say").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true })); };
  const set = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("change")); $(id).dispatchEvent(new Event("input")); };
  try {
"""
AFTER = r"""
  } catch (e) { seen.error = String(e.stack || e); }
  fetch("/report", { method: "POST", body: JSON.stringify(seen) });
})();
new Image().src = "/hold"; /* the page is loaded when the script has said what it saw */
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the page with the script; subclasses answer everything else."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, body, kind="application/json", code=200, headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for header in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def page_headers(self):
        return ()

    def do_GET(self):
        if self.path == "/":
            self.reply(PAGE.replace("</body>", f"<script>{self.server.script}</script></body>").encode(), "text/html; charset=utf-8",
                       headers=self.page_headers())
        elif self.path == "/hold":
            self.server.done.wait(SECONDS)
            self.reply(b"", "image/png", 404)
        else:
            self.get()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/report":
            self.server.report = json.loads(body)
            self.reply({})
            self.server.done.set()
        else:
            self.post(body)


def run(handler, script, **attributes):
    """The server after the script has come to its end: server.report is what it saw."""
    if BROWSER is None:
        print("skipped: there is no Chromium")
        sys.exit(77)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.script, server.report, server.done = BEFORE + script + AFTER, None, threading.Event()
    for name, value in attributes.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        p = subprocess.Popen([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                              "--disable-extensions", f"--user-data-dir={profile}", "--window-size=1200,800", "--dump-dom",
                              f"http://127.0.0.1:{server.server_port}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.done.wait(SECONDS)
        p.terminate()
        p.wait(timeout=30)
    server.shutdown()
    if server.report is None or "error" in server.report:
        print("FAILED: the page's script", server.report["error"] if server.report else "did not come to an end")
        sys.exit(1)
    return server

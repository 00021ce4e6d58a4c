#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""web/index.html before a server that only pretends: what the page shows, and what the server was asked."""
import json
import sys
import threading

import browser

from checks import check, failures


CRAB = "\N{CRAB}".encode()
EVIL = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>'
# (bytes, log-probability): a character in two tokens, Markdown, HTML that is none, and an end token without text
ANSWER = [(b"# He", -0.01), (b"llo ", -2.5), (CRAB[:2], -1), (CRAB[2:], -0.1), (b" **b", -0.2), (b"old** `x<y`\n\n", -3),
          (EVIL.encode(), -4), (b"\n\n```py\nprint(1)\n", -0.5), (b"```\n- one\n- two\n", -0.1)]
END = b"<|end|>"
TEXT = b"".join(b for b, _ in ANSWER).decode()


def name_of(token):
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{b:02x}" for b in token)


def chat_chunks():
    for token, logprob in [*ANSWER, (END, -0.3)]:
        top = [{"token": name_of(token), "logprob": logprob, "bytes": list(token)}, {"token": "other", "logprob": -1.5, "bytes": [111]}]
        content = {"token": name_of(token), "logprob": logprob, "bytes": list(token), "top_logprobs": top}
        yield token, {"index": 0, "logprobs": {"content": [content]}, "finish_reason": "stop" if token == END else None}


class Fake(browser.Handler):
    def get(self):
        if self.path == "/v1/models":
            self.reply({"object": "list", "data": [{"id": "fake<b>model", "max_model_len": 77}]})
        else:
            self.reply({}, code=404)

    def event(self, j):
        data = f"data: {j if isinstance(j, str) else json.dumps(j)}\r\n\r\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def begin_events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def do_chat(self, body):
        said = body["messages"][-1]["content"]
        if said == "fail":
            self.reply({"error": {"message": "this was <b>refused</b>", "type": "invalid_request_error"}}, code=400)
            return
        self.begin_events()
        held = b""
        for token, choice in chat_chunks():
            held += b"" if token == END else token
            try:
                content, held = held.decode(), b""
            except UnicodeDecodeError:
                content = ""
            self.event({"choices": [choice | {"delta": {"content": content}}]})
            if said == "slow":
                try:
                    while True:  # until the page goes away
                        self.event({"choices": []})
                        threading.Event().wait(0.05)
                except OSError:
                    self.server.aborted.set()
                    self.close_connection = True
                    return
            if said == "break" and token == ANSWER[2][0]:
                self.event({"error": {"message": "it broke in the middle"}})
                break
        self.event({"choices": [], "usage": {"completion_tokens": len(ANSWER) + 1}})
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def do_completion(self, _):
        self.begin_events()
        for token, logprob in ANSWER[:4]:
            l = {"tokens": [name_of(token)], "token_logprobs": [logprob], "top_logprobs": [{name_of(token): logprob, "else": -3}], "text_offset": [0]}
            text = "" if token == CRAB[:2] else CRAB.decode() if token == CRAB[2:] else token.decode()
            self.event({"choices": [{"index": 0, "text": text, "logprobs": l, "finish_reason": None}]})
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def post(self, body):
        body = json.loads(body)
        self.server.asked.append((self.path, body, self.headers.get("Authorization")))
        if self.path == "/v1/chat/completions":
            self.do_chat(body)
        elif self.path == "/v1/completions":
            self.do_completion(body)
        elif self.path == "/tokenize":
            words = body.get("prompt", "chat").split()
            self.reply({"count": len(words), "tokens": list(range(len(words))), "token_strs": words, "max_model_len": 77})


SCRIPT = r"""
    await until("a model", () => $("model").textContent !== "\u2026");
    seen.model = $("model").textContent;
    $("key").value = "secret";
    set("system", "Be brief.");
    say("one");
    let t = await said(1);
    const q = (s) => [...t.querySelectorAll(s)].map((e) => e.textContent);
    seen.markdown = { head: q("h3"), strong: q("strong"), code: q("code"), items: q("li"), text: t.querySelector(".text").textContent, foot: q(".foot") };
    seen.elements = t.querySelectorAll("img, script").length + (window.evil || 0);
    set("view", "probability");
    seen.probability = all(".turn.assistant .token").map((s) => [s.textContent, s.style.background, s.className]);
    set("view", "entropy");
    seen.entropy = all(".turn.assistant .token").map((s) => s.style.background);
    all(".turn.assistant .token")[1].dispatchEvent(new MouseEvent("mouseover", { bubbles: true, clientX: 10, clientY: 10 }));
    seen.tip = $("tip").hidden ? "" : $("tip").textContent;
    all(".turn.assistant .token")[1].dispatchEvent(new MouseEvent("mouseout", { bubbles: true }));
    seen.tip_gone = $("tip").hidden;
    set("n-temperature", "0.5");
    set("n-seed", "7");
    set("stops", "END\n\nSTOP");
    say("two");
    await said(2);
    seen.row = as_row();
    set("view", "text");
    say("slow");
    await until("the first token", () => all(".turn.assistant")[2] && all(".turn.assistant")[2].textContent.includes("He"));
    seen.stop_shown = !$("stop").hidden && $("send").hidden;
    $("stop").click();
    t = await said(3);
    seen.stopped = t.querySelector(".foot").textContent;
    say("fail");
    t = await said(4);
    seen.failure = t.querySelector(".failure").textContent;
    say("break");
    t = await said(4);
    await until("the failure", () => all(".turn.assistant")[3].querySelector(".failure"));
    t = all(".turn.assistant")[3];
    seen.broken = t.textContent;
    all(".turn.user")[3].querySelectorAll(".foot button")[1].click();
    seen.edited = [$("say").value, all(".turn").length];
    $("tab-completion").click();
    $("raw").value = "Once";
    $("go").click();
    await until("a completion", () => !$("take").disabled);
    seen.completion = [$("raw-out").textContent, all("#raw-out .token").length, all("#raw-out .part").length];
    $("take").click();
    seen.taken = $("raw").value;
    $("tab-tokenizer").click();
    set("words", "a b <i>");
    await until("tokens", () => all(".word").length === 3);
    seen.words = all(".word").map((w) => w.textContent);
    seen.visible = ["chat", "completion", "tokenizer"].filter((p) => !$(p).hidden);
    $("theme").click();
    seen.theme = document.documentElement.dataset.theme;
    seen.light = getComputedStyle(document.body).backgroundColor;
    $("theme").click();
    seen.dark = getComputedStyle(document.body).backgroundColor;
    load_row('[{"role": "system", "content": "S"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "<a>"}]');
    seen.loaded = [$("system").value, ...all(".turn .text").map((x) => x.textContent)];
    try { load_row('{"messages": [{"role": 1}]}'); } catch (e) { seen.bad_file = e.message; }
    seen.html = all("img, b").length - all("#tip b").length;
"""


def no_foreign_addresses():
    found = [a for a in browser.PAGE.split('"') if a.startswith(("http:", "https:", "//"))]
    check(not found and "innerHTML =" not in browser.PAGE and "eval(" not in browser.PAGE, f"the page is not self-contained: {found}")


no_foreign_addresses()
server = browser.run(Fake, SCRIPT, asked=[], aborted=threading.Event())
s = server.report
check(s["model"] == "fake<b>model" and s["elements"] == 0 and s["html"] == 0, f"HTML of the server's is the page's: {s}")
m = s["markdown"]
check(m["head"] == ["Hello \N{CRAB} bold x<y"] and m["strong"] == ["bold"] and m["items"] == ["one", "two"], f"Markdown: {m}")
check(m["code"] == ["x<y", "print(1)"] and EVIL in m["text"] and "10 tokens" in m["foot"][0], f"Markdown: {m}")
tokens = s["probability"]
check([t[0] for t in tokens[:4]] == ["# He", "llo ", "\\xf0\\x9f", "\N{CRAB}"] and "part" in tokens[2][2], f"tokens: {tokens}")
check(len(tokens) == 10 and len({t[1] for t in tokens}) > 5 and len(set(s["entropy"])) > 5, f"shades: {tokens} {s['entropy']}")
check(all(w in s["tip"] for w in ('"llo "', "8.21%", "-2.5000", '"other"', "22.3%", "Entropy: at least")) and s["tip_gone"], f"tip: {s['tip']}")
check(s["stop_shown"] and "stopped" in s["stopped"] and server.aborted.wait(10), f"stop: {s['stopped']}, or the connection stays")
check(s["failure"] == "this was <b>refused</b> (400)", f"failure: {s['failure']}")
check("llo" in s["broken"] and "it broke in the middle" in s["broken"], f"broken: {s['broken']}")
check(s["edited"] == ["break", 6], f"edit: {s['edited']}")
check(s["completion"] == ["Once# Hello \\xf0\\x9f\N{CRAB}", 4, 1] and s["taken"] == "Once# Hello \N{CRAB}", f"completion: {s['completion']} {s['taken']}")
check(s["words"] == ["a0", "b1", "<i>2"] and s["visible"] == ["tokenizer"], f"tokenizer: {s['words']} {s['visible']}")
check(s["theme"] == "light" and s["light"] != s["dark"], f"theme: {s['theme']} {s['light']} {s['dark']}")
check(s["loaded"] == ["S", "u", "<a>"] and "no list of messages" in s["bad_file"], f"load: {s['loaded']}")
talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"}, {"role": "assistant", "content": TEXT},
        {"role": "user", "content": "two"}]
path, body, key = server.asked[0]
check(path == "/v1/chat/completions" and key == "Bearer secret" and body["messages"] == talk[:2], f"first request: {server.asked[0]}")
check(body["stream"] and body["logprobs"] and body["top_logprobs"] == 5 and "temperature" not in body and body["model"] == "fake<b>model",
      f"first request: {body}")
_, body, _ = server.asked[1]
check(body["messages"] == talk and body["temperature"] == 0.5 and body["seed"] == 7 and body["stop"] == ["END", "STOP"], f"second: {body}")
check(json.loads(s["row"]) == {"messages": [*talk, {"role": "assistant", "content": TEXT}]}, f"row: {s['row']}")
completion = next(b for p, b, _ in server.asked if p == "/v1/completions")
check(completion["prompt"] == "Once" and completion["logprobs"] == 5 and completion["stream"], f"completion: {completion}")
check(any(p == "/tokenize" and b["prompt"] == "a b <i>" and b["return_token_strs"] for p, b, _ in server.asked), "tokenize")

sys.exit(1 if failures() else 0)

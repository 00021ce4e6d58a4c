#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Google Cloud Storage and an S3 in one process, for the tests: they check every signature by their own arithmetic, keep
objects in memory, and fail on request. The argument is a folder: service_account.json and authorized_user.json are written
there. The port is printed. POST /_control {"rules": [...]} sets what goes wrong, GET /_state tells what is there.

A rule is {"on": "PUT /upload", "times": 2, "do": WHAT, "skip": N}: of the requests whose "METHOD /path" begins so, after the
first N, that many are answered with
  a number   that status, nothing done           "drop"   nothing at all, the connection is closed; nothing done
  "half"     half of the bytes kept, then closed  "lost"   everything done, the answer is lost
  "badsum"   done, but with a byte changed        "late"   done after half a second
"""
import base64
import functools
import hashlib
import hmac
import http.server
import json
import pathlib
import random
import re
import sys
import threading
import time
import urllib.parse

UNIT = 262144
KEYS = {"AKIDEXAMPLE": ("secret/key+1", ""), "ASIATEMP": ("temporary", "session-token")}
lock = threading.RLock()
state = {"objects": {}, "sessions": {}, "uploads": {}, "tokens": {}, "puts": {}, "log": [], "rules": [], "n": 0}


@functools.lru_cache(maxsize=64)
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 255]
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


def crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc_table()


# ---- an RSA key ----

def is_prime(n, rng):
    if any(n % p == 0 for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for _ in range(24):
        x = pow(rng.randrange(2, n - 1), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def make_key():
    rng, primes = random.Random(7), []
    while len(primes) < 2:
        p = rng.getrandbits(512) | 1 << 511 | 1 << 510 | 1
        if p % 65537 != 1 and is_prime(p, rng):
            primes.append(p)
    p, q = primes
    return p * q, 65537, pow(65537, -1, (p - 1) * (q - 1)), p, q


def der(tag, body):
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([0x80 + (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body


def der_int(v):
    return der(2, v.to_bytes(v.bit_length() // 8 + 1, "big"))


def pem(key):
    n, e, d, p, q = key
    numbers = (0, n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    rsa = der(0x30, b"".join(map(der_int, numbers)))
    oid = bytes.fromhex("300d06092a864886f70d0101010500")
    body = base64.b64encode(der(0x30, der_int(0) + oid + der(4, rsa))).decode()
    lines = "\n".join(body[i:i + 64] for i in range(0, len(body), 64))
    return "-----BEGIN " + "PRIVATE KEY-----\n" + lines + "\n-----END " + "PRIVATE KEY-----\n"


KEY = make_key()


def check_jwt(jwt, aud):
    head, claims, signature = jwt.split(".")
    unbase = lambda s: base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))
    digest = hashlib.sha256(f"{head}.{claims}".encode()).digest()
    wanted = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    size = (KEY[0].bit_length() + 7) // 8
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(wanted)) + b"\x00" + wanted
    got = pow(int.from_bytes(unbase(signature), "big"), KEY[1], KEY[0]).to_bytes(size, "big")
    head, claims = json.loads(unbase(head)), json.loads(unbase(claims))
    now = time.time()
    return (got == padded and head == {"alg": "RS256", "typ": "JWT", "kid": "key-1"} and claims["aud"] == aud
            and claims["iss"] == "robot@example.com" and abs(claims["iat"] - now) < 60
            and claims["exp"] == claims["iat"] + 3600 and "devstorage.read_write" in claims["scope"])


# ---- SigV4 ----

def sign_v4(method, path, headers, body, auth):
    m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, SignedHeaders=([a-z0-9;-]+), "
                     r"Signature=([0-9a-f]{64})", auth or "")
    if not m or m[1] not in KEYS:
        return "InvalidAccessKeyId"
    secret, token = KEYS[m[1]]
    names = m[4].split(";")
    if names != sorted(names) or not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
        return "AccessDenied"
    if any(h.startswith("x-amz-") and h not in names for h in headers) or headers.get("x-amz-security-token", "") != token:
        return "InvalidToken"
    if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
        return "XAmzContentSHA256Mismatch"
    url = urllib.parse.urlsplit(path)
    pairs = sorted((k, v) for k, v in urllib.parse.parse_qsl(url.query, keep_blank_values=True))
    query = "&".join(f"{urllib.parse.quote(k, '-_.~')}={urllib.parse.quote(v, '-_.~')}" for k, v in pairs)
    canonical = "\n".join([method, url.path, query, *(f"{n}:{' '.join(headers[n].split())}" for n in names), "",
                           ";".join(names), headers["x-amz-content-sha256"]])
    scope = f"{m[2]}/{m[3]}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for word in (m[2], m[3], "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    good = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return None if good == m[5] and headers["x-amz-date"].startswith(m[2]) else "SignatureDoesNotMatch"


class Gone(Exception):
    pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        if self.fault == "lost" or (self.fault == "half" and status != 412):
            raise Gone
        if self.fault == "late":
            time.sleep(0.5)
        body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD" or not any(n == "Content-Length" for n, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pick_fault(self):
        for rule in state["rules"]:
            if f"{self.command} {self.path}".startswith(rule["on"]):
                if rule.get("skip", 0) > 0:
                    rule["skip"] -= 1
                elif rule["times"] > 0:
                    rule["times"] -= 1
                    return rule["do"]
        return None

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.lower = {k.lower(): v for k, v in self.headers.items()}
        self.url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(self.url.query, keep_blank_values=True))
        self.fault = None
        try:
            with lock:
                if self.url.path == "/_control":
                    state["rules"] = json.loads(body)["rules"]
                    for name in json.loads(body).get("forget", []):
                        state[name].clear()
                    return self.answer(200, b"ok")
                if self.url.path == "/_state":
                    objects = {k: {"bytes": len(v["data"]), "sha256": hashlib.sha256(v["data"]).hexdigest(), "meta": v["meta"]}
                               for k, v in state["objects"].items()}
                    return self.answer(200, {"objects": objects, "puts": state["puts"], "log": state["log"],
                                             "uploads": len(state["uploads"])})
                state["log"].append(f"{self.command} {self.path}")
                self.fault = self.pick_fault()
                if self.fault == "drop":
                    raise Gone
                if isinstance(self.fault, int):
                    fault, self.fault = self.fault, None
                    return self.answer(fault, b"not now", [("Retry-After", "0")])
                self.route(body)
        except Gone:
            self.close_connection = True
            self.connection.shutdown(2)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def route(self, body):
        path = self.url.path
        if path == "/token":
            return self.token(dict(urllib.parse.parse_qsl(body.decode())))
        if path.startswith("/computeMetadata/"):
            if self.lower.get("metadata-flavor") != "Google":
                return self.answer(403)
            return self.new_token(100)  # about to end: asked for again each time
        if path.startswith("/latest/") or path == "/container":
            return self.machine(path)
        if path.startswith("/upload/storage/v1/b/") or path.startswith("/storage/v1/b/"):
            return self.gcs(body)
        return self.s3(body)

    def new_number(self):
        state["n"] += 1
        return state["n"]

    def keep(self, name, data, meta):
        if self.fault == "badsum" and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        state["objects"][name] = {"data": data, "meta": meta, "generation": str(1000 + self.new_number())}
        state["puts"][name] = state["puts"].get(name, 0) + 1
        return state["objects"][name]

    # ---- Google ----

    def new_token(self, seconds):
        token = f"token-{self.new_number()}"
        state["tokens"][token] = True
        self.answer(200, {"access_token": token, "expires_in": seconds, "token_type": "Bearer"})

    def token(self, form):
        base = f"http://{self.headers['Host']}/token"
        if form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            good = check_jwt(form["assertion"], base)
        else:
            good = form == {"grant_type": "refresh_token", "client_id": "me", "client_secret": "s&cret=", "refresh_token": "1//x"}
        if good:
            return self.new_token(3599)
        return self.answer(400, {"error": "invalid_grant", "error_description": "Bad Request"})

    def gcs_error(self, status, message):
        self.answer(status, {"error": {"code": status, "message": message}})

    def describe(self, name, found):
        return {"kind": "storage#object", "name": name, "size": str(len(found["data"])), "crc32c": crc32c(found["data"]),
                "generation": found["generation"], "metadata": found["meta"]}

    def gcs(self, body):
        if "upload_id" in self.query:
            return self.gcs_chunk(body)
        if self.lower.get("authorization", "").removeprefix("Bearer ") not in state["tokens"]:
            return self.gcs_error(401, "Invalid Credentials")
        m = re.match(r"(?:/upload)?/storage/v1/b/([^/]+)/(.*)$", self.url.path)
        bucket, rest = m[1], m[2]
        if bucket == "missing":
            return self.gcs_error(404, "The specified bucket does not exist.")
        if rest == "iam/testPermissions":
            return self.answer(200, {} if bucket == "readonly" else {"permissions": [self.query["permissions"]]})
        if rest.startswith("o/"):
            name = "gs/" + bucket + "/" + urllib.parse.unquote(rest[2:])
            found = state["objects"].get(name)
            return self.answer(200, self.describe(name, found)) if found else self.gcs_error(404, "No such object")
        meta = json.loads(body)
        name = "gs/" + bucket + "/" + self.query["name"]
        have = state["objects"].get(name, {"generation": "0"})["generation"]
        if self.command != "POST" or meta["name"] != self.query["name"]:
            return self.gcs_error(400, "what is this?")
        if self.query.get("ifGenerationMatch", have) != have:
            return self.gcs_error(412, "conditionNotMet")
        session = f"session-{self.new_number()}"
        state["sessions"][session] = {"name": name, "meta": meta, "data": b"", "total": int(self.lower["x-upload-content-length"])}
        self.answer(200, headers=[("Location", f"http://{self.headers['Host']}{self.url.path}?upload_id={session}")])

    def gcs_chunk(self, body):
        s = state["sessions"].get(self.query["upload_id"])
        m = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", self.lower.get("content-range", ""))
        if s is None:
            return self.gcs_error(410, "gone")
        if m is None or int(m[3]) != s["total"] or "authorization" in self.lower:
            return self.gcs_error(400, "bad range")
        if m[1] is not None:
            first, last = int(m[1]), int(m[2])
            if last + 1 - first != len(body) or first > len(s["data"]) or (last + 1 < s["total"] and len(body) % UNIT):
                return self.gcs_error(400, "bad chunk")
            if self.fault == "half":
                body = body[:len(body) // 2 // UNIT * UNIT]
            s["data"] = s["data"][:first] + body
        if len(s["data"]) < s["total"]:
            n = len(s["data"])
            return self.answer(308, headers=[("Range", f"bytes=0-{n - 1}")] if n else [])
        if not s.get("kept"):
            if crc32c(s["data"]) != s["meta"]["crc32c"]:
                return self.gcs_error(400, "Provided CRC32C does not match")
            s["kept"] = self.keep(s["name"], s["data"], s["meta"].get("metadata", {}))
        self.answer(200, self.describe(s["name"], s["kept"]))

    # ---- Amazon ----

    def machine(self, path):
        temporary = {"AccessKeyId": "ASIATEMP", "SecretAccessKey": "temporary", "Token": "session-token",
                     "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))}
        if path == "/container":
            return self.answer(200, temporary) if self.lower.get("authorization") == "let me in" else self.answer(403)
        if path == "/latest/api/token":
            return self.answer(200 if self.command == "PUT" else 405, b"imds-token")
        if self.lower.get("x-aws-ec2-metadata-token") != "imds-token":
            return self.answer(401)
        role = path.removeprefix("/latest/meta-data/iam/security-credentials/")
        return self.answer(200, b"the-role\n") if role == "" else self.answer(200, temporary)

    def s3_error(self, status, code):
        self.answer(status, f"<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>{code} &amp; more</Message></Error>".encode())

    def s3(self, body):
        wrong = sign_v4(self.command, self.path, self.lower, body, self.headers.get("Authorization"))
        if wrong:
            return self.s3_error(403, wrong)
        bucket, _, key = urllib.parse.unquote(self.url.path)[1:].partition("/")
        name = "s3/" + bucket + "/" + key
        found = state["objects"].get(name)
        if bucket == "missing":
            return self.s3_error(404, "NoSuchBucket")
        if bucket == "elsewhere" and "/eu-south-2/s3/" not in self.headers["Authorization"]:
            return self.answer(301, headers=[("x-amz-bucket-region", "eu-south-2")])
        if self.lower.get("if-none-match") == "*" and found:
            return self.s3_error(412, "PreconditionFailed")
        if not key:
            return self.answer(200)
        if self.command == "HEAD":
            if bucket == "blind" or not found:
                return self.answer(403 if bucket == "blind" else 404)
            return self.answer(200, headers=[("Content-Length", str(len(found["data"]))), ("ETag", found["etag"]),
                                             *(("x-amz-meta-" + k, v) for k, v in found["meta"].items())])
        meta = {k.removeprefix("x-amz-meta-"): v for k, v in self.lower.items() if k.startswith("x-amz-meta-")}
        if self.command == "POST" and "uploads" in self.query:
            upload = f"up&load/{self.new_number()}="
            state["uploads"][upload] = {"name": name, "meta": meta, "parts": {}}
            return self.answer(200, f"<R><UploadId>{upload.replace('&', '&amp;')}</UploadId></R>".encode())
        if "uploadId" in self.query:
            return self.s3_upload(name, body)
        if self.command != "PUT":
            return self.s3_error(405, "MethodNotAllowed")
        kept = self.keep(name, body, meta)
        kept["etag"] = '"' + hashlib.md5(kept["data"]).hexdigest() + '"'
        self.answer(200, headers=[("ETag", kept["etag"])])

    def s3_upload(self, name, body):
        upload = state["uploads"].get(self.query["uploadId"])
        if upload is None or upload["name"] != name:
            return self.s3_error(404, "NoSuchUpload")
        if self.command == "PUT":
            if self.fault == "badsum":
                body = bytes([body[0] ^ 1]) + body[1:]
            etag = '"' + hashlib.md5(body).hexdigest() + '"'
            upload["parts"][int(self.query["partNumber"])] = (body, etag)
            return self.answer(200, headers=[("ETag", etag)])
        if self.command == "DELETE":
            del state["uploads"][self.query["uploadId"]]
            return self.answer(204)
        listed = re.findall(r"<Part><PartNumber>(\d+)</PartNumber><ETag>([^<]+)</ETag></Part>", body.decode())
        parts = [upload["parts"].get(int(n)) for n, _ in listed]
        if not parts or any(p is None or p[1] != e for p, (_, e) in zip(parts, listed)):
            return self.s3_error(400, "InvalidPart")
        if any(len(p[0]) < 5 << 20 for p in parts[:-1]):
            return self.s3_error(400, "EntityTooSmall")
        if self.query.get("partNumber") is None and self.fault == "badsum":
            self.fault = None
            return self.s3_error(200, "InternalError")
        kept = self.keep(name, b"".join(p[0] for p in parts), upload["meta"])
        sums = hashlib.md5(b"".join(hashlib.md5(p[0]).digest() for p in parts)).hexdigest()
        kept["etag"] = f'"{sums}-{len(parts)}"'
        del state["uploads"][self.query["uploadId"]]
        self.answer(200, f"<R><ETag>{kept['etag'].replace(chr(34), '&quot;')}</ETag></R>".encode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # clients that hang up are part of the tests


def main():
    folder = pathlib.Path(sys.argv[1])
    server = Server(("127.0.0.1", 0), Handler)
    uri = f"http://127.0.0.1:{server.server_port}/token"
    (folder / "service_account.json").write_text(json.dumps(
        {"type": "service_account", "client_email": "robot@example.com", "private_key": pem(KEY), "private_key_id": "key-1",
         "token_uri": uri}))
    (folder / "authorized_user.json").write_text(json.dumps(
        {"type": "authorized_user", "client_id": "me", "client_secret": "s&cret=", "refresh_token": "1//x", "token_uri": uri}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

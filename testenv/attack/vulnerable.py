#!/usr/bin/env python3
"""An application with the holes that scanners look for, on the loopback address and for tests only.

It prints {"listen": "127.0.0.1:PORT"} and runs until it is ended. Started by root it becomes nobody.
What attackers got out of it is counted: GET /__got answers {"sql": n, ...}.
"""
import html
import http.server
import io
import json
import os
import socketserver
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
import xml.sax
import xml.sax.handler

PASSWORD = "wachtmeister7"  # of user admin; the test's list holds it
BODY_LIMIT = 1 << 20

LINKS = """<a href="/item?id=1">item</a> <a href="/search?q=tea">search</a> <a href="/file?name=notes.txt">file</a>
<a href="/ping?host=localhost">ping</a> <a href="/go?url=/item">go</a> <a href="/lang?l=en">language</a>
<form action="/login" method="post"><input name="username"><input name="password" type="password"><input type="submit"></form>
<form action="/comment" method="post"><textarea name="text"></textarea><input type="submit"></form>"""

database = sqlite3.connect(":memory:", check_same_thread=False)
database.executescript(
    "create table item(id integer, name text, price real); insert into item values (1,'tea',2.5),(2,'coffee',3);"
    "create table secret(word text); insert into secret values ('gh-secret-word');")
lock = threading.Lock()
got = {"exec": 0, "lfi": 0, "sql": 0, "xss": 0, "xxe": 0, "login": 0}


class Texts(xml.sax.handler.ContentHandler):
    def __init__(self):
        super().__init__()
        self.text = []

    def characters(self, content):
        self.text.append(content)


def item(q):
    """SQL injection: number."""
    with lock:
        rows = database.execute("select id, name, price from item where id = " + q.get("id", "1")).fetchall()
    if any("gh-secret-word" in str(row) for row in rows):
        got["sql"] += 1
    return html.escape(repr(rows))


def search(q):
    """SQL injection: string. Reflected markup."""
    word = q.get("q", "")
    if "<script" in word.lower() or "onerror" in word.lower() or "onload" in word.lower():
        got["xss"] += 1
    with lock:
        try:
            rows = database.execute("select name from item where name like '%" + word + "%'").fetchall()
        except sqlite3.Error as e:
            rows = [("sqlite3.OperationalError: " + str(e),)]
    return "You searched for " + word + ": " + html.escape(repr(rows))


def file(q):
    """Any file."""
    name = q.get("name", "")
    if name == "notes.txt":
        return "notes"
    with open(urllib.parse.urljoin("file:///srv/", name)[7:] if "://" not in name else name[7:], errors="replace") as f:
        got["lfi"] += 1
        return "<pre>" + html.escape(f.read(4096)) + "</pre>"


def ping(q):
    """A shell."""
    host = q.get("host", "localhost")
    out = subprocess.run(["sh", "-c", "echo pinging " + host], env={"PATH": os.defpath, "PWD": "/"}, cwd="/",
                         stdin=subprocess.DEVNULL, capture_output=True, timeout=3, text=True, errors="replace").stdout
    if any(sign in out for sign in ("PWD=", "uid=", "Linux", "root:")):  # what a further command prints
        got["exec"] += 1
    return "<pre>" + html.escape(out) + "</pre>"


def comment(q):
    """Reflected markup, from a body."""
    if "<script" in q.get("text", "").lower():
        got["xss"] += 1
    return "Thank you for: " + q.get("text", "")


def login(q):
    if q.get("username") == "admin" and q.get("password") == PASSWORD:
        got["login"] += 1
        return "Welcome back"
    return "Login failed"


def parse(body):
    """External entities."""
    texts = Texts()
    reader = xml.sax.make_parser()
    reader.setFeature(xml.sax.handler.feature_external_ges, True)
    reader.setContentHandler(texts)
    reader.parse(io.BytesIO(body))
    text = "".join(texts.text)
    if "root:" in text:
        got["xxe"] += 1
    return html.escape(text)


PAGES = {"/item": item, "/search": search, "/file": file, "/ping": ping, "/comment": comment, "/login": login}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def do_GET(self):
        self.serve(b"")

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length") or 0), BODY_LIMIT)
        self.serve(self.rfile.read(length))

    do_HEAD = do_GET
    do_PUT = do_POST

    def serve(self, body):
        url = urllib.parse.urlsplit(self.path)
        q = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True, errors="replace"))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("application/x-www-form-urlencoded"):
            q.update(urllib.parse.parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        if url.path == "/__got":
            return self.answer(200, json.dumps(got), "application/json")
        if url.path == "/go":
            return self.answer(302, "", location=q.get("url", "/"))
        if url.path == "/lang":
            return self.answer(200, LINKS, cookie="lang=" + q.get("l", "en"))
        try:
            if "xml" in kind:
                return self.answer(200, parse(body))
            page = PAGES.get(url.path)
            return self.answer(200, LINKS + "<p>" + (page(q) if page else "Shop"))
        except Exception as e:  # a talkative application: it tells everybody what went wrong
            return self.answer(500, html.escape(type(e).__module__ + "." + type(e).__name__ + ": " + str(e)))

    def answer(self, status, text, kind="text/html; charset=utf-8", location=None, cookie=None):
        data = text.encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if location is not None:
            self.send_header("Location", location.replace("\r", "").replace("\n", ""))
        if cookie is not None:
            self.send_header("Set-Cookie", cookie)  # with its line breaks: the hole
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    print(json.dumps({"listen": "127.0.0.1:%d" % server.server_port}), flush=True)
    server.serve_forever()

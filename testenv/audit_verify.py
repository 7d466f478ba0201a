#!/usr/bin/env python3
"""Verifies an audit log, written from the description of its files and sharing no code with the gateway.

usage: audit_verify.py <directory> <root public key> [<checkpoint kept elsewhere> ...]

Prints "ok <records>" and exits with 0, or "bad <sequence> <why>" and exits with 1.
"""
import base64
import hashlib
import json
import os
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Bad(Exception):
    def __init__(self, seq, why):
        super().__init__("bad %d %s" % (seq, why))
        self.seq = seq


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(text):
    return base64.b64decode(text, validate=True)


class Key:
    """A public key of signed notes: name+hash+key (C2SP signed-note)."""

    def __init__(self, text):
        self.text = text.strip()
        self.name, number, raw = self.text.split("+", 2)
        raw = b64(raw)
        if raw[0] != 1 or sha(self.name.encode() + b"\n" + raw)[:4].hex() != number:
            raise ValueError("no Ed25519 key: " + text)
        self.hash, self.key = bytes.fromhex(number), Ed25519PublicKey.from_public_bytes(raw[1:])

    def opens(self, note):
        """The text of the note if this key signed it, or None."""
        text, _, signatures = note.rpartition("\n\n")
        text += "\n"
        for line in signatures.split("\n"):
            m = re.fullmatch("\u2014 (\\S+) (\\S+)", line)
            if not m or m[1] != self.name or b64(m[2])[:4] != self.hash:
                continue
            try:
                self.key.verify(b64(m[2])[4:], text.encode())
                return text
            except InvalidSignature:
                return None
        return None


class Tree:
    """An RFC 6962 tree that grows: only the roots of its complete subtrees are kept."""

    def __init__(self, size=0, frontier=(), prev=bytes(32)):
        self.size, self.frontier, self.prev = size, list(frontier), prev

    def add(self, record):
        node = self.prev = sha(b"\0", record)
        n = self.size
        while n & 1:
            node, n = sha(b"\1", self.frontier.pop(), node), n >> 1
        self.frontier.append(node)
        self.size += 1

    def root(self):
        if not self.frontier:
            return sha(b"")
        node = self.frontier[-1]
        for left in reversed(self.frontier[:-1]):
            node = sha(b"\1", left, node)
        return node


def checkpoint(text):
    origin, size, root = text.split("\n")[:3]
    return origin, int(size), b64(root)


def epochs(directory, root):
    """The keys of the epochs, each certified by the one before; and what each certificate says of the tree."""
    keys, marks = [], []
    by = Key(root)
    with open(os.path.join(directory, "epochs"), encoding="utf-8") as f:
        for n, line in enumerate(f):
            text = by.opens(json.loads(line)["epoch"])
            if text is None:
                raise Bad(0, "epoch %d is not certified" % n)
            head, key, rest = text.split("\n", 2)
            if head != "gatehouse audit epoch %d" % n or n == 0 and key != by.text:
                raise Bad(0, "epoch %d is certified as another" % n)
            by = Key(key)
            keys.append(by)
            marks.append(checkpoint(rest))
    return keys, marks


class Verifier:
    def __init__(self, directory, root, anchors):
        self.directory = directory
        self.keys, self.marks = epochs(directory, root)
        self.wanted = {size: node for _, size, node in self.marks}
        self.largest = max(self.wanted)
        for note in anchors:
            text = next((t for t in (k.opens(note) for k in self.keys) if t), None)
            if text is None:
                raise Bad(0, "a checkpoint from elsewhere is not signed by the chain")
            _, size, node = checkpoint(text)
            if self.wanted.setdefault(size, node) != node:
                raise Bad(size - 1, "two histories")
            self.largest = max(self.largest, size)
        self.tree, self.epoch, self.next, self.good, self.pending = Tree(), 0, 0, 0, []
        self.pruned = []

    def run(self):
        names = sorted(n for n in os.listdir(self.directory) if re.fullmatch(r"segment-\d{16}\.log", n))
        if not names:
            raise Bad(0, "no segments")
        self.first = int(names[0][8:24])
        for i, name in enumerate(names):
            with open(os.path.join(self.directory, name), "rb") as f:
                lines = f.read().split(b"\n")[:-1]  # what has no end was never acknowledged
            self.header(lines[0], i == 0, int(name[8:24]))
            for line in lines[1:]:
                try:
                    self.line(line)
                except Bad as bad:
                    self.settle()  # an earlier one, perhaps
                    raise bad
            self.settle()
        if self.largest > self.tree.size:
            raise Bad(self.tree.size, "the end is missing")
        if self.first and not any(to == self.first - 1 for to in self.pruned):
            raise Bad(0, "the beginning is missing")
        return self.tree.size - self.first

    def header(self, line, oldest, first):
        h = json.loads(line)
        tree = Tree(h["first"], [b64(x) for x in h["frontier"]], b64(h["prev"]))
        if h["first"] != first:
            raise Bad(first, "the header is of another segment")
        if oldest:
            self.tree, self.epoch, self.next, self.good = tree, h["epoch"], h["epoch"], first
            if first:
                keys = self.keys[max(self.epoch - 1, 0) : self.epoch + 1]
                text = next((t for t in (k.opens(h["checkpoint"]) for k in keys) if t), None)
                if text is None or checkpoint(text)[1:] != (first, tree.root()):
                    raise Bad(first, "what is pruned was not signed")
        elif first > self.tree.size:
            raise Bad(self.tree.size, "missing")
        elif (h["epoch"], tree.size, tree.root()) != (self.epoch, self.tree.size, self.tree.root()):
            raise Bad(max(first - 1, 0), "the header is not what the records make")

    def line(self, line):
        seq = self.tree.size
        if line.startswith(b'{"checkpoint":'):
            return self.checkpoint(json.loads(line)["checkpoint"], seq)
        core, _, aside = line.partition(b"\t")
        try:
            record = json.loads(core)
            is_next = record["seq"] == seq
        except (ValueError, KeyError):
            raise Bad(seq, "no record") from None
        if not is_next:
            raise Bad(seq, "sequence %d in its place" % record["seq"])
        if seq != self.first and record["prev"] != base64.b64encode(self.tree.prev).decode():
            self.settle()
            raise Bad(seq if seq - 1 < self.good else seq - 1, "changed")
        if aside and base64.b64encode(sha(aside)).decode() != record.get("personal"):
            raise Bad(seq, "the personal part was changed")
        if "epoch" in record:
            self.next += 1
            if self.next >= len(self.keys) or self.marks[self.next][1] != seq:
                raise Bad(seq, "no certificate of this change of keys")
        if record["kind"] == "audit.pruned":
            self.pruned.append(record["gone"]["to"])
        self.tree.add(core)
        self.compare()

    def compare(self):
        if self.wanted.get(self.tree.size, None) not in (None, self.tree.root()):
            self.settle()
            raise Bad(self.good, "a signed checkpoint has another root")

    def checkpoint(self, note, seq):
        _, size, node = checkpoint(note)
        if size != seq:
            raise Bad(min(size, seq), "the checkpoint is of %d records" % size)
        if node != self.tree.root():
            raise Bad(max(seq - 1, self.good), "changed")
        self.pending.append((size, note))
        if self.next != self.epoch:
            self.settle()
            self.epoch = self.next

    def settle(self):
        """One good signature is good for all that it covers; a bad one is looked for."""
        if not self.pending:
            return
        if self.keys[self.epoch].opens(self.pending[-1][1]) is None:
            for size, note in self.pending:
                if self.keys[self.epoch].opens(note) is None:
                    raise Bad(self.good, "not signed")
                self.good = size
        self.good = self.pending[-1][0]
        self.pending = []


def main(args):
    anchors = []
    for name in args[2:]:
        with open(name, encoding="utf-8") as f:
            anchors.append(f.read())
    try:
        print("ok %d" % Verifier(args[0], args[1], anchors).run())
    except Bad as bad:
        print(bad)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Recomputes every derived value of cbor-schema/vectors/*.txt (docs/protocol.md sections 1 to 7 and 10)."""
from __future__ import annotations

import sys
from pathlib import Path

from sga1.groups import PROFILES
from sga1.padding import inbox_size, pad, pad_text, unpad_text
from sga1.primitives import (ctx, digits, enc, f, f8, h, inbox_seal, kdf, life_key, message_seal, padding_mark, peer,
                             pk_seal, seal, sha, trapdoor, trapdoor_seed, xor)
from sga1.suites import SUITES


class File:
    """The inputs and the derived entries of one file, and what was recomputed."""

    def __init__(self, text: str) -> None:
        self.inputs: dict[str, bytes] = {}
        self.expected: dict[str, bytes] = {}
        self.made: dict[str, bytes] = {}
        inputs = False
        for line in text.splitlines():
            if line.startswith("## "):
                inputs = line == "## Inputs"
            elif " = " in line and not line.startswith("#"):
                name, value = line.split(" = ")
                into = self.inputs if inputs else self.expected
                if name in into:
                    raise ValueError(f"{name} twice")
                into[name] = bytes.fromhex(value)
        for name in ("version", "profile", "suite", "suites", "policy", "run"):
            setattr(self, name, int.from_bytes(self.inputs[name], "big"))
        self.p = PROFILES[self.profile]

    version: int
    profile: int
    suite: int
    suites: int
    policy: int
    run: int

    def __getitem__(self, name: str) -> bytes:
        return self.inputs[name] if name in self.inputs else self.made[name]

    def __setitem__(self, name: str, value: bytes) -> None:
        if name in self.made:
            raise ValueError(f"{name} made twice")
        self.made[name] = value


def registration(v: File) -> None:
    """Sections 2 and 3."""
    pk = v["PK"] = v.p.base(v["PR"])
    v["package payload"] = enc([v.version, v.profile, pk, v["ID_G"], v.suites, v.policy])
    p = v["P"] = sha(v["package payload"])
    v["pin input"] = enc([v.version, v.profile, pk])
    v["pin"] = h(v["pin input"])
    k_d = v["k_d i"]
    for kind in range(3):
        name = f"register {kind}"
        proof = b""
        if kind:
            key, label = [(v["enrolment"], "enrol"), (v["old k_d i"], "rotate")][kind - 1]
            proof = v[f"{name} proof"] = f(key, label, p, k_d, v.suite, v.suites, v["ID i"])
        plain = v[f"{name} A plaintext"] = enc([k_d, v.suite, v.suites, kind, proof])
        a = v[f"{name} A"] = pk_seal(v.p, pk, v[f"e {name}"], ctx("pk register", p), plain)
        v[f"{name} B plaintext"] = enc(v["ID i"])
        b = v[f"{name} B"] = seal(v.suite, k_d, sha(a), ctx("register id"), enc(v["ID i"]))
        v[f"{name} payload"] = enc([v.version, a, b])
    plain = v["registered plaintext"] = enc([v["ticket i"], 0, 0, v["generation"]])
    salt = enc([sha(v["register 0 payload"]), v["registered nonce"]])
    v["registered G"] = seal(v.suite, k_d, salt, ctx("registered"), plain)
    v["registered payload"] = enc([v["registered nonce"], v["registered G"]])


def inbox(v: File, end: str, c: int, name: str, value: list) -> None:
    """Section 4: the three entries of one Inbox."""
    plain = v[f"{name} plaintext"] = enc(value)
    v[f"{name} S"] = inbox_seal(v.suite, v[f"k_d {end}"], v[f"n_a {end}"], c, plain)
    v[f"{name} payload"] = enc([c, v[f"{name} S"]])


def attach(v: File) -> None:
    """Section 4."""
    for end in "ij":
        k_d, n_a, ticket = v[f"k_d {end}"], v[f"n_a {end}"], v[f"ticket {end}"]
        plain = v[f"attach {end} plaintext"] = enc([1, 0, v["generation"], 0])
        v[f"attach {end} S"] = seal(v.suite, k_d, n_a, ctx("attach"), plain)
        v[f"attach {end} payload"] = enc([ticket, n_a, v[f"attach {end} S"]])
        inbox(v, end, 0, f"inbox {end}", [[], v[f"next ticket {end}"], v["generation"]])
    v["ack plaintext"] = enc([1])
    v["ack S"] = seal(v.suite, v["k_d j"], enc([v["n_a j"], 1]), ctx("ack"), enc([1]))
    v["ack payload"] = enc([v["ticket j"], 1, v["ack S"]])


def negotiation(v: File) -> None:
    """Section 5."""
    cid, id_i, id_j, id_g = v.suite, v["ID i"], v["ID j"], v["ID_G"]
    n_i, n_g, n_j, k_i, k_j = v["n i"], v["n_G"], v["n j"], v["k_t i"], v["k_t j"]
    masked = v["A1 masked"] = xor(k_i, kdf(v["k_d i"], n_i, ctx("A1 pad"), 16))
    tag = v["A1 tag"] = f8(v["k_d i"], "A1", 1, 1, n_i, masked, id_i, id_j, cid, id_g)
    v["A1 plaintext"] = enc([1, 1, n_i, masked, id_i, id_j, cid, tag])
    v["A1 sealed"] = pk_seal(v.p, v["PK"], v["e A1"], ctx("pk negotiate"), v["A1 plaintext"])
    v["A1 payload"] = enc(v["A1 sealed"])
    salt = sha(v["A1 payload"])
    v["A1 answer plaintext"] = enc(v["handle i"])
    v["A1 answer S"] = seal(cid, k_i, salt, ctx("A1 answer"), v["A1 answer plaintext"])
    v["A1 answer payload"] = enc(v["A1 answer S"])
    for reason, detail in {1: v.suites & ~(1 << cid - 1), 2: 0, 3: 0, 4: 0, 5: 60, 6: 0}.items():
        name = f"A1 refusal {reason}"
        plain = v[f"{name} plaintext"] = enc([reason, detail])
        v[f"{name} S"] = seal(cid, k_i, salt, ctx("A1 refusal"), plain)
        v[f"{name} payload"] = enc(v[f"{name} S"])
    v["peer(k_t i)"], v["peer(k_t j)"] = peer(k_i), peer(k_j)
    a2 = [v["handle j"], n_i, n_g, peer(k_i), id_i, cid]
    v["A2 item"] = enc(a2)
    inbox(v, "j", 1, "A2 notification", [[[1, 1, a2]]])
    for name, answer in (("A3", cid), ("A3 no", 0)):
        masked = v[f"{name} masked"] = xor(k_j, kdf(v["k_d j"], n_j, ctx("A3 pad"), 16))
        tag = v[f"{name} tag"] = f8(v["k_d j"], "A3", v["handle j"], n_g, n_j, masked, answer, id_i, id_j, id_g)
        plain = v[f"{name} plaintext"] = enc([3, v["handle j"], n_g, n_j, masked, answer, tag])
        v[f"{name} sealed"] = pk_seal(v.p, v["PK"], v[f"e {name}"], ctx("pk negotiate"), plain)
        v[f"{name} payload"] = enc(v[f"{name} sealed"])
        v[f"{name} answer payload"] = enc(f8(k_j, "A3 answer", sha(v[f"{name} payload"])))
    plain = v["A4 plaintext"] = enc([n_j, peer(k_j)])
    v["A4 S"] = seal(cid, k_i, enc([n_i, n_g]), ctx("A4"), plain)
    a4 = [v["handle i"], n_g, v["A4 S"]]
    v["A4 item"] = enc(a4)
    inbox(v, "i", 1, "A4 notification", [[[1, 2, a4]]])
    for reason in (1, 2, 3):
        name = f"A4 no {reason}"
        plain = v[f"{name} plaintext"] = enc(reason)
        v[f"{name} S"] = seal(cid, k_i, n_i, ctx("A4 refusal"), plain)
        v[f"{name} item"] = enc([v["handle i"], v[f"{name} S"]])
        inbox(v, "i", 1, f"{name} notification", [[[1, 3, [v["handle i"], v[f"{name} S"]]]]])
    v["th_A"] = sha(enc([v.version, v.profile, cid, id_i, id_j, id_g, n_i, n_g, n_j]))


def half(v: File, end: str, role: int) -> None:
    """Section 6: B1 and B3."""
    b = "B1" if role == 0 else "B3"
    run, th_a = v.run, v["th_A"]
    n = v[f"N {end}"] = v.p.base(v[f"R {end}"])
    if v.p.compact:
        v[f"r {end}"] = trapdoor_seed(v.p, v["PK"], v[f"R {end}"], n)
    door = trapdoor(v.p, v["PK"], v[f"r {end}"])
    k = v[f"K' {end}"] = kdf(v.p.power(n, v[f"r {end}"]), b"", ctx("K"), 32)
    tag = v[f"{b} tag"] = f(k, "B", role, run, th_a, n, door)
    if not v.p.compact:
        v[f"{b} F"] = door
    half_body(v, b, end, role, [])
    half_body(v, f"{b} of a later life", end, role, [v[f"life {end}"]])


def half_body(v: File, b: str, end: str, role: int, life: list[bytes]) -> None:
    """Section 6: the seals of a Half, without a salt or with one."""
    cid, run, th_a, k_d, k_t = v.suite, v.run, v["th_A"], v[f"k_d {end}"], v[f"k_t {end}"]
    n, tag, salt = v[f"N {end}"], v[f"{b[:2]} tag"], enc([th_a, run, *life])
    if v.p.compact:
        plain = v[f"{b} plaintext"] = enc([n, tag[:8]])
        body = seal(cid, k_t + k_d, salt if life else th_a, ctx("B body", role, run), plain)
    else:
        door = v[f"{b[:2]} F"]
        inner = v[f"{b} E plaintext"] = xor(n, kdf(k_d, salt, ctx("B pad", role), len(n)))
        v[f"{b} E"] = seal(v.suite, k_d, salt, ctx("B inner", role, sha(door)), inner)
        plain = v[f"{b} plaintext"] = enc([v[f"{b} E"], door, tag])
        body = seal(cid, k_t, salt, ctx("B outer", role), plain)
    v[f"{b} body"] = body
    v[f"{b} payload"] = enc([v[f"handle {end}"], run, body, *life])


def exchange(v: File) -> None:
    """Section 6."""
    cid, run, th_a = v.suite, v.run, v["th_A"]
    half(v, "i", 0)
    request = sha(v["B1 payload"])
    v["B1 answer payload"] = enc(f8(v["k_t i"], "B answer", request))
    for reason in (1, 2):
        plain = v[f"B refusal {reason} plaintext"] = enc([reason, run])
        v[f"B refusal {reason} S"] = seal(cid, v["k_t i"], request, ctx("B refusal", 0), plain)
        v[f"B refusal {reason} payload"] = enc(v[f"B refusal {reason} S"])
    v["B2 plaintext"] = enc(1)
    v["B2 S"] = seal(cid, v["k_t j"], enc([th_a, run]), ctx("B2", 1), enc(1))
    b2 = [v["handle j"], run, v["B2 S"]]
    v["B2 item"] = enc(b2)
    inbox(v, "j", 2, "B2 notification", [[[2, 4, b2]]])
    half(v, "j", 1)
    th_b = v["th_B"] = sha(enc([th_a, run, h(v["N i"]), h(v["N j"])]))
    for role, end, other in ((0, "i", "j"), (1, "j", "i")):
        y = v[f"Y {end}"] = v.p.power(v[f"N {other}"], v["R_s"])
        tag = v[f"B6 {end} tag"] = f8(v[f"K' {end}"], "B6", role, run, th_b, y)
        plain = v[f"B6 {end} plaintext"] = enc([y, h(v[f"N {other}"]), tag])
        s = v[f"B6 {end} S"] = seal(cid, v[f"k_t {end}"], enc([th_a, run]), ctx("B6", role), plain)
    v["B6 j payload"] = enc(v["B6 j S"])
    b6 = [v["handle i"], run, v["B6 i S"]]
    v["B6 i item"] = enc(b6)
    inbox(v, "i", 2, "B6 i notification", [[[2, 5, b6]]])
    z = v["Z"] = v.p.power(v["Y i"], v["R i"])
    if v.p.power(v["Y j"], v["R j"]) != z:
        raise ValueError("the two ends differ in Z")
    ikm = z + v["peer(k_t i)"] + v["peer(k_t j)"]
    v["root with pair secret"] = kdf(ikm + v["pair secret"], th_b, ctx("root", 1), 32)
    root = v["root"] = kdf(ikm, th_b, ctx("root", 0), 32)
    suite = SUITES[cid]
    for role, end in enumerate("ij"):
        v[f"traffic {end}"] = kdf(root, b"", ctx("traffic", role), suite.key_length + suite.nonce_length)
        v[f"hop key {end}"] = kdf(v[f"K' {end}"], th_b, ctx("hop"), 32)
    v["comparison code"] = kdf(root, b"", ctx("code"), 32)
    v["comparison digits"] = digits(v["comparison code"]).encode()


def message(v: File, end: str, sequence: int, number: int, plain: bytes, life: list[bytes]) -> None:
    """Section 7: one message, its answer, and its item for the other end."""
    name, other, run = f"message {sequence} {end}", "j" if end == "i" else "i", v.run
    v[f"{name} plaintext"] = plain
    traffic = v[f"traffic {end}"]
    if life:
        traffic = v[f"traffic {end} of a later life"] = life_key(v.suite, traffic, life[0])
    text = v[f"{name} ciphertext"] = message_seal(v.suite, traffic, run, sequence, plain)
    handle, key = v[f"handle {end}"], v[f"hop key {end}"]
    hop = v[f"{name} hop"] = f8(key, "hop", handle, run, sequence, text, *life)
    v[f"{name} payload"] = enc([handle, run, sequence, text, hop, *life])
    v[f"{name} answer payload"] = enc(f8(key, "stored", handle, run, sequence, *life))
    item = [v[f"handle {other}"], run, sequence, text, *life]
    v[f"{name} item"] = enc(item)
    inbox(v, other, number, f"{name} notification", [[[number, 6, item]]])


def messages(v: File) -> None:
    """Sections 7 and 4 (expired, ended)."""
    message(v, "i", 0, 3, enc([0]), [])
    message(v, "j", 0, 3, enc([0]), [])
    message(v, "i", 1, 4, v["text"], [])
    message(v, "i", 2, 5, v["text"], [v["life i"]])
    expired = [v["handle i"], v.run, 1]
    v["expired item"] = enc(expired)
    inbox(v, "i", 4, "expired notification", [[[4, 7, expired]]])
    ended = [v["handle i"], 1]
    v["ended item"] = enc(ended)
    inbox(v, "i", 7, "ended notification", [[[7, 9, ended]]])


def padded_inbox(v: File, end: str, c: int, name: str, value: list) -> None:
    """Section 10: the same as `inbox`, padded."""
    tag = SUITES[v.suite].tag_length
    plain = enc(value)
    plain = v[f"{name} plaintext"] = pad(plain, inbox_size(len(plain) + 1 + tag) - tag)
    v[f"{name} S"] = inbox_seal(v.suite, v[f"k_d {end}"], v[f"n_a {end}"], c, plain)
    v[f"{name} payload"] = enc([c, v[f"{name} S"]])


def padded_message(v: File, sequence: int, plain: bytes) -> bytes:
    """Section 10: a message of d_i from a padded plaintext."""
    name, handle = f"message {sequence} padded", v["handle i"]
    v[f"{name} plaintext"] = plain
    text = v[f"{name} ciphertext"] = message_seal(v.suite, v["traffic i"], v.run, sequence, plain)
    hop = v[f"{name} hop"] = f8(v["hop key i"], "hop", handle, v.run, sequence, text)
    v[f"{name} payload"] = enc([handle, v.run, sequence, text, hop])
    return text


def padded(v: File) -> None:
    """Section 10."""
    tag, k_d = SUITES[v.suite].tag_length, v["k_d i"]
    a = v["register 0 A"]
    plain = v["register padded B plaintext"] = pad(v["register 0 B plaintext"], 34 - tag)
    b = v["register padded B"] = seal(v.suite, k_d, sha(a), ctx("register id"), plain)
    request = v["register padded payload"] = enc([v.version, a, b])
    plain = v["registered padded plaintext"] = pad(v["registered plaintext"], 50 - tag)
    salt = enc([sha(request), v["registered nonce"]])
    v["registered padded G"] = seal(v.suite, k_d, salt, ctx("registered"), plain)
    v["registered padded payload"] = enc([v["registered nonce"], v["registered padded G"]])
    plain = v["attach padded plaintext"] = pad(v["attach i plaintext"], 34 - tag)
    v["attach padded S"] = seal(v.suite, k_d, v["n_a i"], ctx("attach"), plain)
    v["attach padded payload"] = enc([v["ticket i"], v["n_a i"], v["attach padded S"]])
    padded_inbox(v, "i", 0, "inbox padded", [[], v["next ticket i"], v["generation"]])
    plain = v["ack padded plaintext"] = pad(v["ack plaintext"], 23 - tag)
    v["ack padded S"] = seal(v.suite, v["k_d j"], enc([v["n_a j"], 1]), ctx("ack"), plain)
    v["ack padded payload"] = enc([v["ticket j"], 1, v["ack padded S"]])
    plain = v["A1 padded plaintext"] = pad(v["A1 plaintext"], 78)
    v["A1 padded sealed"] = pk_seal(v.p, v["PK"], v["e A1"], ctx("pk negotiate"), plain)
    v["A1 padded payload"] = enc(v["A1 padded sealed"])
    padded_message(v, 0, pad(enc([0]), 7))
    v["message 1 padded mark"] = padding_mark(v["traffic i"], v.run, 1)
    plain = pad_text(v["text"], v["traffic i"], v.run, 1)
    if unpad_text(plain, v["traffic i"], v.run, 1) != v["text"]:
        raise ValueError("a padded text does not come out as it went in")
    text = padded_message(v, 1, plain)
    padded_inbox(v, "j", 4, "message 1 padded notification", [[[4, 6, [v["handle j"], v.run, 1, text]]]])


SECTIONS = [registration, attach, negotiation, exchange, messages, padded]


def main() -> int:
    """Check all files of the folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "../../cbor-schema/vectors"
    passed = failed = 0
    for path in sorted(folder.glob("*.txt")):
        v = File(path.read_text("utf-8"))
        for section in SECTIONS:
            section(v)
        differ = [name for name, value in v.made.items() if v.expected.get(name) != value]
        missing = [name for name in v.expected if name not in v.made]
        for name in differ:
            print(f"{path.name}: {name} differs")
        for name in missing:
            print(f"{path.name}: {name} was not recomputed")
        good = len(v.made) - len(differ)
        print(f"{path.name}: {good + len(differ)} values recomputed, {len(differ)} differ")
        passed += good
        failed += len(differ) + len(missing)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

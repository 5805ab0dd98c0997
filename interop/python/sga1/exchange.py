"""Key exchange in both roles, B1 to B7, and messages: docs/protocol.md sections 6 and 7."""
from __future__ import annotations

import secrets
from typing import Any

from . import messages as m
from .negotiation import Negotiation, Refused
from .padding import unpad_text
from .primitives import (ctx, enc, equal, f, f8, h, kdf, life_key, message_open, message_seal, open_, seal, sha,
                         trapdoor, trapdoor_seed, xor)
from .suites import SUITES

MOST_FAILURES = 2**14
MOST_SEALED = 2**20
FURTHEST_RUN = 1024


class Exchange(Negotiation):
    """Runs and messages of all sessions. R, r and N are in memory only (`halves`), and so are the salts of this life and the keys
    that it has made (`fresh`, as hex): what is sealed under any other key has the salt."""

    halves: dict[str, Any]
    x: int
    lives: dict[str, bytes]

    def _salt(self, session: Any, key: str) -> bytes:
        """The salt for what is sealed under a key; none if this life has made it. One for each session."""
        if key in self.fresh:
            return b""
        return self.lives.setdefault(session["handle"], secrets.token_bytes(8))

    def _find(self, handle: bytes) -> tuple[str, Any] | tuple[None, None]:
        """The session of a handle; the one before of a pair still receives what was on its way."""
        for sessions in (self.sessions, self.state.get("old_sessions", {})):
            for peer, session in sessions.items():
                if session["handle"] == handle.hex():
                    return peer, session
        return None, None

    def established(self, peer: str) -> bool:
        """Whether texts can be sealed: the newest run with keys has seen the other's message 0."""
        runs = self.sessions.get(peer, {}).get("runs", {})
        return bool(runs) and runs[max(runs, key=int)]["established"]

    def lacks_run(self, peer: str) -> bool:
        """Whether there is neither a run with keys nor one under way: after a restart between B1 and B6."""
        session = self.sessions[peer]
        return str(session["run"]) not in session["runs"] and peer not in self.halves

    async def open_run(self, peer: str) -> None:
        """Open the next run."""
        await self._half(peer, self.sessions[peer]["run"] + 1)

    async def _half(self, peer: str, run: int) -> None:
        """B1 or B3. The run is stored first: its keys seal one body, ever."""
        await self.flush(peer)
        session, p = self.sessions[peer], self.profile
        session["run"] = run
        self.state.write()
        role, cid, k_d = session["role"], session["cid"], self.k_d
        th_a, k_t = bytes.fromhex(session["th_A"]), bytes.fromhex(session["k_t"])
        big_r = secrets.token_bytes(32)
        n = p.base(big_r)
        r = trapdoor_seed(p, self.public, big_r, n) if p.compact else secrets.token_bytes(32)
        door = trapdoor(p, self.public, r)
        k = kdf(p.power(n, r), b"", ctx("K"), 32)
        tag = f(k, "B", role, run, th_a, n, door)
        salt = self._salt(session, session["k_t"])
        life = [salt] if salt else []
        salt = enc([th_a, run, *life])
        if p.compact:
            body = seal(cid, k_t + k_d, salt if life else th_a, ctx("B body", role, run), enc([n, tag[:8]]))
        else:
            pad = kdf(k_d, salt, ctx("B pad", role), p.element_length)
            inner = seal(self.x, k_d, salt, ctx("B inner", role, sha(door)), xor(n, pad))
            body = seal(cid, k_t, salt, ctx("B outer", role), enc([inner, door, tag]))
        request = enc([bytes.fromhex(session["handle"]), run, body, *life])
        self.halves[peer] = {"run": run, "R": big_r, "N": n, "K": k, "request": request}
        await self._post_half(peer)

    async def _post_half(self, peer: str) -> None:
        session, half = self.sessions[peer], self.halves[peer]
        cid, k_t, role = session["cid"], bytes.fromhex(session["k_t"]), session["role"]
        request = half["request"]
        for _ in range(4):
            code, payload = await self.transport.request("POST", "kex", request)
            try:
                if code == "2.01" and equal(m.decode(payload, m.TAG8), f8(k_t, "B answer", sha(request))):
                    return
                if code == "2.04":
                    await self._finish(peer, half, m.decode(payload, m.SEALED))
                    return
                sealed = m.decode(payload, m.SEALED)
                plain = open_(cid, k_t, sha(request), ctx("B refusal", role), sealed)
                _, current = m.decode(plain, m.B_REFUSAL)
            except ValueError:
                await self.attach()  # what is not sealed, or does not verify, changes nothing
                continue
            self.halves.pop(peer, None)
            self.tries[peer] = self.tries.get(peer, 0) + 1
            if self.tries[peer] > 4 or current > session["run"] + FURTHEST_RUN:
                raise Refused(f"key exchange: run {half['run']} refused, current run {current}")
            await self._half(peer, max(session["run"], current) + 1)
            return
        raise Refused(f"key exchange: {code}")

    async def wanted(self, body: Any) -> bool:
        """B2: answer with this end's Half."""
        handle, run, sealed = m.shaped(body, m.WANTED)
        peer, session = self._find(handle)
        if peer is None or session is not self.sessions.get(peer):
            return True
        salt = enc([bytes.fromhex(session["th_A"]), run])
        plain = open_(session["cid"], bytes.fromhex(session["k_t"]), salt, ctx("B2", session["role"]), sealed)
        m.decode(plain, m.U(1, 1))
        if session["run"] < run <= session["run"] + FURTHEST_RUN:
            await self._half(peer, run)
        elif run == session["run"] and str(run) not in session["runs"] and peer not in self.halves:
            await self.open_run(peer)  # restarted without R
        return True

    async def keyed(self, body: Any) -> bool:
        """B6 as an item."""
        handle, run, sealed = m.shaped(body, m.KEY)
        peer, session = self._find(handle)
        if peer is None or session is not self.sessions.get(peer):
            return True
        half = self.halves.get(peer)
        if half and half["run"] == run:
            await self._finish(peer, half, sealed)
        elif run == session["run"] and str(run) not in session["runs"]:
            await self.open_run(peer)  # restarted without R
        return True

    async def _finish(self, peer: str, half: Any, sealed: bytes) -> None:
        """B7, then message 0."""
        session, p, run = self.sessions[peer], self.profile, half["run"]
        role, cid, th_a = session["role"], session["cid"], bytes.fromhex(session["th_A"])
        plain = open_(cid, bytes.fromhex(session["k_t"]), enc([th_a, run]), ctx("B6", role), sealed)
        y, peer_hash, tag = m.decode(plain, m.b6_secret(p.element_length))
        hashes = [h(half["N"]), peer_hash] if role == 0 else [peer_hash, h(half["N"])]
        th_b = sha(enc([th_a, run, *hashes]))
        if not equal(tag, f8(half["K"], "B6", role, run, th_b, y)):
            raise ValueError("B6 does not verify")
        z = p.power(y, half["R"])
        peers = bytes.fromhex(session["peer_i"]) + bytes.fromhex(session["peer_j"])
        pair = bytes.fromhex(session.get("pair_secret", ""))
        root = kdf(z + peers + pair, th_b, ctx("root", 1 if pair else 0), 32)
        suite = SUITES[cid]
        traffic = [kdf(root, b"", ctx("traffic", end), suite.key_length + suite.nonce_length).hex() for end in (0, 1)]
        runs = session["runs"]
        last = runs[max(runs, key=int)]["confirmed"] if runs else 0
        for old in sorted(runs, key=int)[:-1]:
            del runs[old]
        runs[str(run)] = {"send": traffic[role], "receive": traffic[1 - role], "next": 0, "confirmed": 0, "got": -1,
                          "hop": kdf(half["K"], th_b, ctx("hop"), 32).hex(), "established": False, "failures": 0,
                          "code": kdf(root, b"", ctx("code"), 32).hex()}
        self.fresh.add(traffic[role])
        self._seal(session, str(run), enc([last]))
        del self.halves[peer]
        self.tries.pop(peer, None)
        await self.flush(peer)

    def _seal(self, session: Any, run: str, plaintext: bytes) -> None:
        """Seal one message; stored before it is sent, and sent again as the same bytes."""
        keys = session["runs"][run]
        sequence, handle = keys["next"], bytes.fromhex(session["handle"])
        if sequence >= MOST_SEALED:
            raise Refused("this run has sealed all it may")
        keys["next"] = sequence + 1
        # Message 0 is sealed as soon as its keys are made, and stored with them.
        salt = self._salt(session, keys["send"])
        key, life = bytes.fromhex(keys["send"]), [salt] if salt else []
        text = message_seal(session["cid"], life_key(session["cid"], key, salt) if salt else key, int(run), sequence,
                            plaintext)
        hop = f8(bytes.fromhex(keys["hop"]), "hop", handle, int(run), sequence, text, *life)
        payload = enc([handle, int(run), sequence, text, hop, *life])
        session["out"] = {"run": run, "sequence": sequence, "payload": payload.hex(), "salt": salt.hex()}
        self.state.write()

    async def flush(self, peer: str) -> None:
        """Send the message that has no answer yet, until it is stored."""
        session = self.sessions.get(peer)
        if not session or not session.get("out"):
            return
        out, code = session["out"], ""
        for _ in range(3):
            code, payload = await self.transport.request("POST", "msg", bytes.fromhex(out["payload"]))
            keys, handle = session["runs"][out["run"]], bytes.fromhex(session["handle"])
            life = [bytes.fromhex(out["salt"])] if out.get("salt") else []
            stored = f8(bytes.fromhex(keys["hop"]), "stored", handle, int(out["run"]), out["sequence"], *life)
            if code == "2.04" and payload == enc(stored):
                keys["confirmed"] = max(keys["confirmed"], out["sequence"])
                session["out"] = None
                self.state.write()
                return
            await self.attach()
        raise Refused(f"message: {code}")

    async def send_text(self, peer: str, text: bytes) -> None:
        """Seal a text under the established run; returns when the gateway has stored it."""
        if len(text) > 8192:
            raise Refused("a text is at most 8192 bytes")
        await self.flush(peer)
        session = self.sessions[peer]
        run = max(session["runs"], key=int)
        if session["runs"][run]["next"] >= MOST_SEALED:
            await self.open_run(peer)
            raise Refused("the run has sealed all it may; the next one is being opened, try again")
        self._seal(session, run, text)
        await self.flush(peer)

    async def arrived(self, body: Any) -> bool:
        """Item 6: open each sequence once, rising."""
        handle, run, sequence, sealed, salt = m.message(body)
        peer, session = self._find(handle)
        if peer is None or session is None:
            return True
        keys = session["runs"].get(str(run))
        if keys is None:
            half = self.halves.get(peer)
            return not (half and half["run"] == run)  # before its keys: stays unacknowledged
        if sequence <= keys["got"] or keys["failures"] >= MOST_FAILURES:
            return True
        try:
            key = bytes.fromhex(keys["receive"])
            key = life_key(session["cid"], key, salt) if salt else key
            plain = message_open(session["cid"], key, run, sequence, sealed)
            plain = unpad_text(plain, key, run, sequence) if sequence else plain
        except ValueError:
            keys["failures"] += 1
            if keys["failures"] == MOST_FAILURES:
                keys["receive"] = ""
                await self.open_run(peer)
            return True
        missing = [(run, s) for s in range(max(keys["got"] + 1, 0), sequence)]
        keys["got"] = sequence
        if sequence == 0:
            (last,) = m.decode_padded(plain, m.CONFIRMATION, len(plain) == 7)
            before = max((int(r) for r in session["runs"] if int(r) < run), default=0)
            if before:
                got = max(session["runs"][str(before)]["got"], 0)
                missing = [(before, s) for s in range(got + 1, last + 1)]
            keys["established"] = True
        else:
            texts = self.state.data.setdefault("texts", [])
            texts.append({"from": peer, "run": run, "sequence": sequence, "text": plain.hex()})
        self.missing += [(peer, *entry) for entry in missing]
        return True

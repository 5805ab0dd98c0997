"""Negotiation in both roles: docs/protocol.md section 5 (A1 to A5)."""
from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from . import messages as m
from .primitives import ctx, enc, f8, kdf, open_, peer as peer_of, pk_seal, sha, xor
from .suites import SUITES, contains
from .transport import NoAnswer

if TYPE_CHECKING:
    from .groups import Profile
    from .state import State
    from .transport import Transport

REASONS = {1: "the cipher is not in both devices' sets", 2: "no such peer", 3: "the peer takes no invitation from you",
           4: "crossing", 5: "the peer's mailbox is full", 6: "the peer is yourself"}
A4_REASONS = {1: "the peer refused", 2: "the invitation timed out", 3: "withdrawn for the peer's own"}


class Refused(Exception):
    """The gateway or the peer refused, or what came does not verify."""


class Negotiation:
    """A1 and A4 as d_i; A2 and A3 as d_j."""

    state: State
    transport: Transport
    profile: Profile
    public: bytes
    id_g: bytes
    k_d: bytes
    refused: dict[str, int]
    tries: dict[str, int]
    halves: dict[str, Any]
    missing: list[tuple[str, int, int]]
    fresh: set[str]

    async def attach(self) -> None:
        """See Device."""
        raise NotImplementedError

    async def deal(self) -> None:
        """See Device."""
        raise NotImplementedError

    async def flush(self, peer: str) -> None:
        """See Exchange."""
        raise NotImplementedError

    async def open_run(self, peer: str) -> None:
        """See Exchange."""
        raise NotImplementedError

    @property
    def sessions(self) -> dict[str, Any]:
        """The sessions, by the peer's id in hex."""
        return self.state.data.setdefault("sessions", {})

    @property
    def invites(self) -> dict[str, Any]:
        """This device's invitations that wait for A4, by the peer's id in hex."""
        return self.state.data.setdefault("invites", {})

    @property
    def answers(self) -> dict[str, Any]:
        """The values of A3 that may have been sent, by handle in hex."""
        return self.state.data.setdefault("answers", {})

    async def _settle(self, peer: str) -> None:
        """The answer to a Message that waits for one comes first; a session that is gone at the gateway has none."""
        try:
            await self.flush(peer)
        except Refused:
            self.sessions[peer]["out"] = None

    async def invite(self, peer: str, suite: int | None) -> bool:
        """A1 until it is answered. False: the peer has invited this device, its A2 comes."""
        cid = suite or self.state["suite"]
        for _ in range(6):
            await self._settle(peer)
            code, payload, request, k_t = await self._a1(peer, cid)
            if code == "2.01":
                sealed = m.decode(payload, m.SEALED)
                handle = m.decode(open_(cid, k_t, sha(request), ctx("A1 answer"), sealed), m.HANDLE)
                self.invites[peer]["handle"] = handle.hex()
                self.state.write()
                return True
            try:
                sealed = m.decode(payload, m.SEALED)
                reason, detail = m.decode(open_(cid, k_t, sha(request), ctx("A1 refusal"), sealed), m.A1_REFUSAL)
            except ValueError:
                await self.attach()  # no answer, or one that is not sealed
                await self.deal()
                continue
            del self.invites[peer]
            self.state.write()
            common = [x for x in SUITES if contains(detail, x) and contains(self.state["suites"], x)]
            if reason == 1 and suite is None and common:
                cid = common[0]
            elif reason == 4:
                return False
            elif reason == 5:
                await asyncio.sleep(detail)
            else:
                raise Refused(REASONS[reason])
        raise Refused(f"A1: {code}")

    async def _a1(self, peer: str, cid: int) -> tuple[str, bytes, bytes, bytes]:
        """One A1 under a new number: code and payload of its answer, the request, k_t."""
        state, k_d = self.state, self.k_d
        number = state["request_number"] = state["request_number"] + 1
        n_i, k_t = secrets.token_bytes(8), secrets.token_bytes(16)
        self.invites[peer] = {"n_i": n_i.hex(), "k_t": k_t.hex(), "cid": cid}
        self.fresh.add(k_t.hex())
        state.write()
        id_i, id_j = state.bytes("id"), bytes.fromhex(peer)
        masked = xor(k_t, kdf(k_d, n_i, ctx("A1 pad"), 16))
        tag = f8(k_d, "A1", number, state["attached"], n_i, masked, id_i, id_j, cid, self.id_g)
        request = enc(pk_seal(self.profile, self.public, secrets.token_bytes(32), ctx("pk negotiate"),
                              enc([1, number, n_i, masked, id_i, id_j, cid, tag])))
        try:
            code, payload = await self.transport.request("POST", "negotiate", request)
        except NoAnswer:
            code, payload = "no answer", b""
        return code, payload, request, k_t

    def _session(self, peer: str, role: int, handle: bytes, cid: int, nonces: list[bytes], k_t: bytes,
                 peers: list[bytes]) -> None:
        """A5: the session takes the place of an older one of the pair."""
        own, other = self.state.bytes("id"), bytes.fromhex(peer)
        ids = [own, other] if role == 0 else [other, own]
        th_a = sha(enc([m.VERSION, self.profile.id, cid, *ids, self.id_g, *nonces]))
        if peer in self.sessions:
            self.state.data.setdefault("old_sessions", {})[peer] = self.sessions[peer]
        self.halves.pop(peer, None)
        self.sessions[peer] = {"role": role, "handle": handle.hex(), "cid": cid, "k_t": k_t.hex(), "th_A": th_a.hex(),
                               "peer_i": peers[0].hex(), "peer_j": peers[1].hex(), "run": 0, "runs": {}}
        self.invites.pop(peer, None)

    async def invited(self, body: Any) -> bool:
        """A2, then A3: accept if the cipher is one of this device's."""
        handle, n_i, n_g, peer_i, id_i, cid = m.shaped(body, m.INVITATION)
        peer = id_i.hex()
        await self._settle(peer)
        accepted = cid if contains(self.state["suites"], cid) else 0
        fresh = {"n_j": secrets.token_bytes(8).hex(), "k_t": secrets.token_bytes(16).hex(), "cid": accepted}
        values = self.answers.setdefault(handle.hex(), fresh)
        if values is fresh:
            self.fresh.add(fresh["k_t"])
        self.state.write()
        n_j, k_t, accepted = bytes.fromhex(values["n_j"]), bytes.fromhex(values["k_t"]), values["cid"]
        masked = xor(k_t, kdf(self.k_d, n_j, ctx("A3 pad"), 16))
        own = self.state.bytes("id")
        tag = f8(self.k_d, "A3", handle, n_g, n_j, masked, accepted, id_i, own, self.id_g)
        request = enc(pk_seal(self.profile, self.public, secrets.token_bytes(32), ctx("pk negotiate"),
                              enc([3, handle, n_g, n_j, masked, accepted, tag])))
        code, payload = await self.transport.request("POST", "negotiate", request)
        good = code == "2.04" and payload == enc(f8(k_t, "A3 answer", sha(request)))
        self.tries[handle.hex()] = self.tries.get(handle.hex(), 0) + 1
        if not good and self.tries[handle.hex()] < 3:
            await self.attach()  # a code that is not sealed changes nothing; a withdrawn invitation comes back as void
            return False
        del self.answers[handle.hex()]
        if good and accepted:
            self._session(peer, 1, handle, cid, [n_i, n_g, n_j], k_t, [peer_i, peer_of(k_t)])
        return True

    async def agreed(self, body: Any) -> bool:
        """A4 and A5, then B1."""
        handle, n_g, sealed = m.shaped(body, m.AGREED)
        for peer, invite in list(self.invites.items()):
            if invite.get("handle") == handle.hex():
                n_i, k_t, cid = bytes.fromhex(invite["n_i"]), bytes.fromhex(invite["k_t"]), invite["cid"]
                n_j, peer_j = m.decode(open_(cid, k_t, enc([n_i, n_g]), ctx("A4"), sealed), m.A4_SECRET)
                self._session(peer, 0, handle, cid, [n_i, n_g, n_j], k_t, [peer_of(k_t), peer_j])
                self.state.write()
                await self.open_run(peer)
        return True

    async def not_agreed(self, body: Any) -> bool:
        """A4, not agreed."""
        handle, sealed = m.shaped(body, m.NOT_AGREED)
        for peer, invite in list(self.invites.items()):
            if invite.get("handle") == handle.hex():
                n_i, k_t = bytes.fromhex(invite["n_i"]), bytes.fromhex(invite["k_t"])
                reason = m.decode(open_(invite["cid"], k_t, n_i, ctx("A4 refusal"), sealed), m.A4_REASON)
                del self.invites[peer]
                self.refused[peer] = reason
        return True

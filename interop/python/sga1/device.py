"""The state machine of a device: docs/protocol.md sections 2 to 4 here, 5 in negotiation.py, 6 and 7 in exchange.py."""
from __future__ import annotations

import asyncio
import secrets
from typing import Any

from . import messages as m
from .exchange import Exchange
from .groups import PROFILES
from .negotiation import Refused
from .padding import ATTACH_SIZE, inbox_size, pad
from .primitives import ctx, enc, equal, f, h, inbox_open, open_, pk_seal, seal, sha
from .state import State
from .suites import SUITES, contains
from .transport import Transport

LENGTHS = {number: profile.element_length for number, profile in PROFILES.items()}


class Device(Exchange):
    """One device at one gateway. All its work is done one step after the other."""

    def __init__(self, state: State, transport: Transport) -> None:
        self.state = state
        self.transport = transport
        self.n_a = b""
        self.attach_ticket = b""
        self.ack_counter = 0
        self.waiting: list[bytes] = []
        self.halves: dict[str, Any] = {}
        self.tries: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.missing: list[tuple[str, int, int]] = []
        self.pad_attach = False
        self.lives: dict[str, bytes] = {}
        self.fresh: set[str] = set()
        if "package" in state.data:
            self._take_package(state.bytes("package"))

    def _take_package(self, package: bytes) -> None:
        _, number, self.public, self.id_g, self.gateway_suites, self.policy = m.package(LENGTHS, package)
        self.profile = PROFILES[number]
        self.profile.check(self.public)

    @property
    def k_d(self) -> bytes:
        """The registered key."""
        return self.state.bytes("k_d")

    @property
    def x(self) -> int:
        """The suite for all that is sealed under k_d."""
        return self.state["suite"]

    async def fetch_package(self, pin: bytes | None) -> bool:
        """Section 2. True if the package was taken without a pin."""
        code, package = await self.transport.request("GET", "register")
        if code != "2.05":
            raise Refused(f"package: {code}")
        value = m.package(LENGTHS, package)
        own = h(enc(value[:3]))
        known = pin or (self.state.bytes("pin") if self.state.get("pin") else None)
        if known is not None and not equal(own, known):
            raise Refused(f"the gateway's pin is {own.hex()}, not the one expected")
        self._take_package(package)
        self.state["package"], self.state["pin"] = package.hex(), own.hex()
        self.state.write()
        return known is None

    async def register(self, enrolment: bytes | None = None) -> None:
        """Section 3, with the k_d of the state."""
        state, k_d, x, suites = self.state, self.k_d, self.x, self.state["suites"]
        identity = state.bytes("id")
        if not contains(self.gateway_suites & suites, x):
            raise Refused("the suite is not in both sets")
        p = sha(state.bytes("package"))
        kind, proof = 0, b""
        if enrolment is not None:
            kind, proof = 1, f(enrolment, "enrol", p, k_d, x, suites, identity)
        a = pk_seal(self.profile, self.public, secrets.token_bytes(32), ctx("pk register", p),
                    enc([k_d, x, suites, kind, proof]))
        request = enc([m.VERSION, a, seal(x, k_d, sha(a), ctx("register id"), enc(identity))])
        code, payload = await self.transport.request("POST", "register", request)
        if code not in ("2.01", "2.04"):
            raise Refused(f"register: {code} {payload!r}")
        nonce, g = m.decode(payload, m.REGISTERED)
        grant = open_(x, k_d, enc([sha(request), nonce]), ctx("registered"), g)
        ticket, attach, number, generation = m.decode(grant, m.GRANT)
        state["attach_number"] = max(state.get("attach_number", 0), attach)
        state["request_number"] = max(state.get("request_number", 0), number)
        state["ticket"] = ticket.hex()
        self._generation(generation)
        state["registered"] = True
        state.write()

    def _generation(self, generation: bytes) -> None:
        if self.state.get("generation") != generation.hex():
            self.state["generation"] = generation.hex()
            self.state["cursor"] = 0

    async def attach(self) -> None:
        """Section 4: attach, registering again if that fails; the first items wait to be dealt with."""
        if not await self._attach_once():
            await self.register()
            if not await self._attach_once():
                raise Refused("attach: 4.01 after registering")

    async def _attach_once(self) -> bool:
        state = self.state
        number = state["attach_number"] = state["attach_number"] + 1
        state.write()
        self.n_a, self.ack_counter = secrets.token_bytes(8), 0
        self.attach_ticket = state.bytes("ticket")
        secret = enc([number, state["cursor"], state.bytes("generation"), state.get("accept", 0)])
        if self.pad_attach:
            secret = pad(secret, ATTACH_SIZE - SUITES[self.x].tag_length)
        request = enc([self.attach_ticket, self.n_a, seal(self.x, self.k_d, self.n_a, ctx("attach"), secret)])
        code, payload = await self.transport.attach(request)
        if code == "4.01":
            return False
        if code != "2.05":
            raise Refused(f"attach: {code}")
        items, ticket, generation = self._open_inbox(payload, m.ATTACH_ANSWER)
        state["ticket"], state["attached"] = ticket.hex(), number
        self._generation(generation)
        state.write()
        self.waiting = items
        return True

    def _open_inbox(self, payload: bytes, shape: Any) -> Any:
        counter, sealed = m.decode(payload, m.INBOX)
        plain = inbox_open(self.x, self.k_d, self.n_a, counter, sealed)
        return m.decode_padded(plain, shape, len(sealed) == inbox_size(len(sealed)))

    async def start(self) -> None:
        """A device attaches after each start, before it sends anything else; then what was not answered goes again."""
        await self.attach()
        await self.deal()
        for peer in list(self.sessions):
            await self.flush(peer)

    async def step(self, timeout: float) -> None:
        """Wait for one notification and deal with it; attach again if there is none."""
        try:
            payload = await asyncio.wait_for(self.transport.notifications.get(), timeout)
        except asyncio.TimeoutError:
            payload = None
        if payload is None:
            await self.attach()
        else:
            try:
                (self.waiting,) = self._open_inbox(payload, m.NOTIFICATION)
            except ValueError:
                return
        await self.deal()

    async def deal(self) -> None:
        """Deal with the items that wait, rising; acknowledge what was dealt with."""
        while self.waiting:
            items, self.waiting = self.waiting, []
            before = self.state["cursor"]
            for number, kind, body in items:
                if number <= self.state["cursor"]:
                    continue
                try:
                    if not await self._item(kind, body):
                        break
                except ValueError:
                    pass  # it does not open or is malformed: dealt with, nothing has changed
                self.state["cursor"] = number
                self.state.write()
            if self.state["cursor"] != before:
                await self._acknowledge()

    async def _acknowledge(self) -> None:
        self.ack_counter += 1
        counter, cursor = self.ack_counter, enc([self.state["cursor"]])
        sealed = seal(self.x, self.k_d, enc([self.n_a, counter]), ctx("ack"), cursor)
        code, _ = await self.transport.request("POST", "msg", enc([self.attach_ticket, counter, sealed]))
        if code == "4.01":
            await self.attach()

    async def _item(self, kind: int, body: Any) -> bool:
        """False if the item is to stay unacknowledged. Unknown kinds are skipped."""
        handlers = {1: self.invited, 2: self.agreed, 3: self.not_agreed, 4: self.wanted, 5: self.keyed, 6: self.arrived}
        return await handlers[kind](body) if kind in handlers else True

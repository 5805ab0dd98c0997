"""CoAP as docs/protocol.md section 8 has it: POST, FETCH with Observe, Echo answered here, Max-Age waited for."""
from __future__ import annotations

import asyncio
from typing import Any

import aiocoap

CONTENT_FORMAT = 60
CALM = ("4.29", "5.03")


class NoAnswer(Exception):
    """The gateway did not answer."""


class Transport:
    """One CoAP client context towards one gateway."""

    def __init__(self, gateway: str) -> None:
        self.gateway = gateway.rstrip("/")
        self.notifications: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._context: aiocoap.Context | None = None
        self._observed: Any = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Transport:
        self._context = await aiocoap.Context.create_client_context()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end_observation()
        assert self._context
        await self._context.shutdown()

    def _message(self, method: str, path: str, payload: bytes, echo: bytes | None) -> aiocoap.Message:
        message = aiocoap.Message(code=getattr(aiocoap, method), uri=f"{self.gateway}/{path}", payload=payload)
        if method != "GET":
            message.opt.content_format = CONTENT_FORMAT
        if echo is not None:
            message.opt.echo = echo
        return message

    async def request(self, method: str, path: str, payload: bytes = b"", patience: int = 5) -> tuple[str, bytes]:
        """The code and the payload of the answer; a sealed refusal (one bstr) is an answer whatever its code."""
        assert self._context
        echo = None
        for _ in range(patience):
            message = self._message(method, path, payload, echo)
            try:
                answer = await self._context.request(message).response
            except aiocoap.error.Error as error:
                raise NoAnswer(f"{path}: {error}") from error
            code = answer.code.dotted
            given = answer.opt.echo
            if code == "4.01" and given is not None and given != echo:
                echo = given
                continue
            sealed = answer.payload[:1] != b"" and answer.payload[0] >> 5 == 2
            if code in CALM and not sealed:
                await asyncio.sleep(60 if answer.opt.max_age is None else answer.opt.max_age)
                continue
            return code, answer.payload
        return code, answer.payload

    async def attach(self, payload: bytes) -> tuple[str, bytes]:
        """FETCH /msg with Observe; what follows goes to `notifications`, None when the observation has ended."""
        assert self._context
        await self._end_observation()
        echo = None
        for _ in range(5):
            message = self._message("FETCH", "msg", payload, echo)
            message.opt.observe = 0
            request = self._context.request(message)
            try:
                answer = await request.response
            except aiocoap.error.Error as error:
                raise NoAnswer(f"attach: {error}") from error
            code = answer.code.dotted
            given = answer.opt.echo
            if code == "4.01" and given is not None and given != echo:
                echo = given
                continue
            if code not in CALM:
                break
            await asyncio.sleep(60 if answer.opt.max_age is None else answer.opt.max_age)
        self.notifications = asyncio.Queue()
        if code == "2.05" and answer.opt.observe is not None:
            self._observed = request.observation
            self._reader = asyncio.create_task(self._read(request.observation, self.notifications))
        return code, answer.payload

    async def _read(self, observation: Any, queue: asyncio.Queue[bytes | None]) -> None:
        try:
            async for notification in observation:
                queue.put_nowait(notification.payload if notification.code.is_successful() else None)
        except aiocoap.error.Error:
            pass
        queue.put_nowait(None)

    async def _end_observation(self) -> None:
        if self._observed is not None:
            if not self._observed.cancelled:
                self._observed.cancel()
            self._observed = None
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None

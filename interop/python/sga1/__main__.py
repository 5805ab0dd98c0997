"""Command line of the device: docs/protocol.md sections 2 to 7 as `register`, `connect`, `send` and `listen`."""
from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from pathlib import Path

from .device import Device
from .negotiation import A4_REASONS, Refused
from .state import State
from .suites import BY_NAME, mask
from .transport import NoAnswer, Transport

IDLE = 30.0


class TimedOut(Exception):
    """The time given has passed."""


class Clock:
    """What is left of a time-out."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, at most IDLE; TimedOut if there are none."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimedOut("timed out")
        return min(left, IDLE)


def _id(text: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= 16:
        raise ValueError("an id is 1 to 16 bytes")
    return data


async def _started(device: Device) -> Device:
    if not device.state.get("registered"):
        raise Refused("not registered")
    await device.start()
    return device


def _report(device: Device) -> None:
    for peer, run, sequence in device.missing:
        print(f"missing: {bytes.fromhex(peer).decode(errors='replace')} run {run} sequence {sequence}", file=sys.stderr)
    device.missing.clear()


async def _register(device: Device, args: argparse.Namespace) -> None:
    state = device.state
    own = BY_NAME[args.suite].id
    suites = mask([BY_NAME[name].id for name in args.suites.split(",")])
    known = {"id": _id(args.id).hex(), "suite": own, "suites": suites | 1 << own - 1}
    if state.get("registered") and any(state[name] != value for name, value in known.items()):
        raise Refused("registered with other values: a new set needs a new state")
    if not state.get("k_d"):
        state["k_d"] = secrets.token_bytes(32).hex()
    state.data.update(known, gateway=args.gateway)
    state.write()
    if await device.fetch_package(bytes.fromhex(args.pin) if args.pin else None):
        print(f"pin {state['pin']} taken as it came", file=sys.stderr)
    await device.register(bytes.fromhex(args.enrolment) if args.enrolment else None)


async def _establish(device: Device, peer: str, clock: Clock) -> None:
    while not device.established(peer):
        await device.step(clock.left())


async def _connect(device: Device, args: argparse.Namespace, clock: Clock) -> None:
    await _started(device)
    peer = _id(args.peer).hex()
    before = device.sessions.get(peer, {}).get("handle")
    await device.invite(peer, BY_NAME[args.suite].id if args.suite else None)
    while device.sessions.get(peer, {}).get("handle") == before:
        if device.refused.get(peer, 3) != 3:
            raise Refused(A4_REASONS[device.refused[peer]])
        await device.step(clock.left())
    await _establish(device, peer, clock)


async def _send(device: Device, args: argparse.Namespace, clock: Clock) -> None:
    await _started(device)
    peer = _id(args.peer).hex()
    if peer not in device.sessions:
        raise Refused("no session with this peer: connect first")
    if device.lacks_run(peer):
        await device.open_run(peer)
    await _establish(device, peer, clock)
    await device.send_text(peer, args.text.encode())


async def _listen(device: Device, args: argparse.Namespace, clock: Clock) -> None:
    await _started(device)
    for peer, session in list(device.sessions.items()):
        if device.lacks_run(peer) and (session["run"] or session["role"] == 0):
            await device.open_run(peer)
    left = args.count
    while True:
        texts = device.state.get("texts", [])
        while texts and left:
            entry = texts[0]
            line = {"from": bytes.fromhex(entry["from"]).decode(errors="replace"), "sequence": entry["sequence"],
                    "text": bytes.fromhex(entry["text"]).decode(errors="replace")}
            print(json.dumps(line, ensure_ascii=False), flush=True)
            del texts[0]
            device.state.write()
            left -= 1
        _report(device)
        if not left:
            return
        await device.step(clock.left())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sga1", description="A device of SGA/1.")
    parser.add_argument("--state", required=True, type=Path, metavar="FILE.json")
    parser.add_argument("--pad-attach", action="store_true", help="pad attaches, and have inboxes padded")
    commands = parser.add_subparsers(dest="command", required=True)
    register = commands.add_parser("register")
    register.add_argument("--gateway", required=True, metavar="coap://HOST:PORT")
    register.add_argument("--id", required=True)
    register.add_argument("--pin", metavar="HEX")
    register.add_argument("--suite", default="aes-ccm-8", choices=BY_NAME)
    register.add_argument("--suites", default=",".join(BY_NAME))
    register.add_argument("--enrolment", metavar="HEX")
    connect = commands.add_parser("connect")
    connect.add_argument("peer")
    connect.add_argument("--suite", choices=BY_NAME)
    send = commands.add_parser("send")
    send.add_argument("peer")
    send.add_argument("text")
    listen = commands.add_parser("listen")
    listen.add_argument("--count", required=True, type=int)
    for command in (connect, send, listen):
        command.add_argument("--timeout", type=float, default=120.0, metavar="S")
    return parser


async def _main(args: argparse.Namespace) -> None:
    state = State(args.state)
    gateway = args.gateway if args.command == "register" else state.get("gateway")
    if not gateway:
        raise Refused("not registered")
    async with Transport(gateway) as transport:
        device = Device(state, transport)
        device.pad_attach = args.pad_attach
        if args.command == "register":
            await _register(device, args)
            return
        clock = Clock(args.timeout)
        work = {"connect": _connect, "send": _send, "listen": _listen}[args.command]
        await asyncio.wait_for(work(device, args, clock), args.timeout)
        _report(device)


def main() -> int:
    """Exit code 0, or 1 with one line on stderr."""
    try:
        asyncio.run(_main(_parser().parse_args()))
        return 0
    except (asyncio.TimeoutError, TimedOut):
        print("timed out", file=sys.stderr)
    except (Refused, NoAnswer, ValueError, RuntimeError, OSError, KeyError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""aiocoap as a client: a request per line of standard input (JSON), a line of JSON per response, and one when it is done.

A request with `observe` goes on until so many notifications have come; others may be asked meanwhile, from the same port.

It answers 4.01 with Echo by asking again (RFC 9175), which aiocoap leaves to its user.
"""

import asyncio
import json
import sys

import aiocoap
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.optiontypes import OpaqueOption

ECHO = 252


def build(spec):
    """The message that a line of input asks for."""
    message = aiocoap.Message(
        code=getattr(aiocoap, spec["method"]),
        uri=spec["uri"],
        payload=bytes.fromhex(spec.get("payload", "")),
        transport_tuning=aiocoap.Unreliable if spec.get("non") else aiocoap.Reliable,
    )
    if spec.get("content_format") is not None:
        message.opt.content_format = spec["content_format"]
    if spec.get("accept") is not None:
        message.opt.accept = spec["accept"]
    if spec.get("observe"):
        message.opt.observe = 0
    if spec.get("block_exponent") is not None:
        message.remote.maximum_block_size_exp = spec["block_exponent"]
        if spec["method"] in ("GET", "FETCH"):
            message.opt.block2 = (0, False, spec["block_exponent"])
    for number, value in spec.get("options", []):
        message.opt.add_option(OpaqueOption(OptionNumber(number), bytes.fromhex(value)))
    return message


def report(response):
    """A response as a line of output."""
    options = [[int(option.number), option.encode().hex()] for option in response.opt.option_list()]
    line = {"code": response.code.dotted, "payload": response.payload.hex(), "options": options}
    print(json.dumps(line), flush=True)


async def ask(context, spec):
    """One request, asked again with Echo where the server wants to see it."""
    while True:
        request = context.request(build(spec))
        response = await request.response
        echo = [option for option in response.opt.option_list() if int(option.number) == ECHO]
        if response.code != aiocoap.UNAUTHORIZED or not echo or spec.get("no_echo"):
            break
        spec.setdefault("options", []).append([ECHO, echo[0].encode().hex()])
    report(response)
    if not spec.get("observe"):
        return
    left = spec["observe"]
    try:
        async for notification in request.observation:
            report(notification)
            left -= 1
            if left == 0:
                break
    except (aiocoap.error.NotObservable, aiocoap.error.ObservationCancelled):
        return
    # From here on it resets what comes.
    request.observation.cancel()


async def serve(context, spec):
    """A request to its end, whatever that is."""
    try:
        await ask(context, spec)
    except Exception as error:  # whatever a library may raise, the runner is to see it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
    print(json.dumps({"done": spec["method"]}), flush=True)


async def main():
    """Serves standard input until it ends."""
    context = await aiocoap.Context.create_client_context()
    loop = asyncio.get_running_loop()
    tasks = set()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = asyncio.create_task(serve(context, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await context.shutdown()


asyncio.run(main())

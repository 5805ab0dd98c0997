"""A server on aiocoap. Prints `listening PORT` once it serves; serves on loopback until it is killed."""

import asyncio
import secrets


import aiocoap
from aiocoap import numbers, resource
from aiocoap.optiontypes import OpaqueOption

ECHO = numbers.OptionNumber(252)
# More than what the library waits before it sends an empty acknowledgement.
SEPARATE_S = 0.5


class Fixed(resource.Resource):
    def __init__(self, payload):
        super().__init__()
        self.payload = payload

    async def render_get(self, request):
        return aiocoap.Message(payload=self.payload, content_format=0)


class Store(resource.Resource):
    """What was put; a POST is echoed."""

    def __init__(self):
        super().__init__()
        self.content = b""

    async def render_get(self, request):
        return aiocoap.Message(payload=self.content)

    async def render_put(self, request):
        self.content = request.payload
        return aiocoap.Message(code=aiocoap.CHANGED)

    async def render_post(self, request):
        return aiocoap.Message(code=aiocoap.CHANGED, payload=request.payload)


class Time(resource.ObservableResource):
    """A counter."""

    def __init__(self):
        super().__init__()
        self.ticks = 0

    def tick(self):
        self.ticks += 1
        self.updated_state()

    async def render_get(self, request):
        return aiocoap.Message(payload=str(self.ticks).encode())


class Tick(resource.Resource):
    def __init__(self, time):
        super().__init__()
        self.time = time

    async def render_post(self, request):
        self.time.tick()
        return aiocoap.Message(code=aiocoap.CHANGED)


class Separate(resource.Resource):
    async def render_get(self, request):
        await asyncio.sleep(SEPARATE_S)
        return aiocoap.Message(payload=b"at last")


class Echo(resource.Resource):
    """Answers who shows that it receives."""

    value = secrets.token_bytes(8)

    async def render_get(self, request):
        found = [option.encode() for option in request.opt.get_option(ECHO) or []]
        if found == [self.value]:
            return aiocoap.Message(payload=b"you are there")
        answer = aiocoap.Message(code=aiocoap.UNAUTHORIZED)
        answer.opt.add_option(OpaqueOption(ECHO, self.value))
        return answer

    render_post = render_get


def port(context):
    for interface in context.request_interfaces:
        transport = interface.token_interface.message_interface.transport
        return transport.get_extra_info("socket").getsockname()[1]


async def main():
    site = resource.Site()
    time = Time()
    # 5,000 bytes, each block another text.
    large = b"".join(b"line %04d " % number for number in range(500))
    site.add_resource([".well-known", "core"], resource.WKCResource(site.get_resources_as_linkheader))
    site.add_resource(["hello"], Fixed(b"hello"))
    site.add_resource(["large"], Fixed(large))
    site.add_resource(["store"], Store())
    site.add_resource(["time"], time)
    site.add_resource(["tick"], Tick(time))
    site.add_resource(["separate"], Separate())
    site.add_resource(["echo"], Echo())
    context = await aiocoap.Context.create_server_context(site, bind=("::1", 0), transports=["udp6"])
    print(f"listening {port(context)}", flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main())

#!/usr/bin/env python3
"""A plugin in Python, from PROTOCOL.md and plugin.proto alone: its model answers with the prompt, as sdk/examples/echo does.

A token is a Unicode code point. There is no tensor here, but everything that a host needs; put your model where `Echo` is.
The numbers in the comments (P5, G3) are those of PROTOCOL.md. README.md says how to install it.
"""

import asyncio
import base64
import datetime
import json
import os
import signal
import sys
import time

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import plugin_pb2 as pb
import plugin_pb2_grpc as services

COOKIE = ("PIO_PLUGIN_COOKIE", "5f0e2e1c-inference-pio-plugin")
MAX_MESSAGE = 64 << 20  # bytes; gRPC's own default is 4 MiB
LAST_ANSWERS = 30  # seconds that SIGTERM leaves to them

ARCHITECTURE = "EchoForCausalLM"
VOCABULARY = 0x110000  # code points

DESCRIPTION = {
    "name": "echo_python",
    "version": "0.1.0",
    "sdk_version": "",
    "architectures": [ARCHITECTURE],
    "majors": [1],
    "capabilities": [],
    "kernels": "echo",
    "numerics": ["exact"],
    "devices": [],
}


class Refusal(Exception):
    """An error with a reason, by which the host decides what to do (E1)."""

    CODES = {
        "INVALID_ARGUMENT": grpc.StatusCode.INVALID_ARGUMENT,
        "CONTEXT_OVERFLOW": grpc.StatusCode.OUT_OF_RANGE,
        "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
        "CHECKPOINT": grpc.StatusCode.FAILED_PRECONDITION,
        "STATE": grpc.StatusCode.FAILED_PRECONDITION,
        "UNIMPLEMENTED": grpc.StatusCode.UNIMPLEMENTED,
    }

    def __init__(self, reason, message, field=""):
        super().__init__(message)
        self.reason, self.field = reason, field

    async def abort(self, context):
        code, text = self.CODES[self.reason], str(self)[:1000]
        info = error_details_pb2.ErrorInfo(domain="pio", reason=self.reason, metadata={"field": self.field} if self.field else {})
        status = status_pb2.Status(code=code.value[0], message=text)
        status.details.add().Pack(info)
        await context.abort(code, text, (("grpc-status-details-bin", status.SerializeToString()),))


class Echo:
    """The model. It is certain of its tokens, however they are drawn, so that any answer can be resumed (R1 to R3)."""

    def __init__(self, table):
        self.context = table.context

    def answer(self, request):
        """Yields the events of an answer."""
        refuse_what_echo_cannot(request)
        prompt = prompt_ids(request)
        if len(prompt) >= self.context:
            raise Refusal("CONTEXT_OVERFLOW", f"the prompt has {len(prompt)} tokens, which leave no room for an answer in a context of {self.context}")
        received = len(request.resume.generated)
        if not request.HasField("resume"):
            yield pb.GenerateResponse(start=pb.Start(prompt=prompt, context_length=self.context))
        limit = self.context - len(prompt)
        if request.max_tokens:
            limit = min(limit, request.max_tokens)
        stops = len(prompt) < limit and not (request.ignore_eos and prompt)  # else it would be over at its first end (G3)
        count = len(prompt) if stops else limit
        offset = 0
        for i in range(count):
            code = prompt[i % len(prompt)]
            text = "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)  # a surrogate is no text
            if i >= received:  # the host has the others
                yield pb.GenerateResponse(token=pb.Token(index=i, id=code, text=text, offset=offset))
            offset += len(text.encode())
        reason = pb.FINISH_REASON_STOP if stops else pb.FINISH_REASON_LENGTH
        yield pb.GenerateResponse(finish=pb.Finish(reason=reason, prompt_tokens=len(prompt), completion_tokens=count))


def refuse_what_echo_cannot(request):
    """A plugin never ignores what it was asked for (G7)."""
    chat = request.chat
    for field, asked, why in (
        ("stop", request.stop, "does not watch for stop strings"),
        ("min_tokens", request.min_tokens, "ends where its prompt does"),
        ("logprobs", request.sampling.logprobs, "does not know how likely its tokens are"),
        ("prompt_logprobs", request.prompt_logprobs, "does not know how likely a prompt is"),
        ("constraint", request.HasField("constraint"), "says what it was told, whatever an answer should be"),
        ("logit_bias", request.sampling.logit_bias, "has no logits"),
        ("tools", chat.tools and chat.tool_choice != "none", "calls no tools"),
        ("messages", chat.images, "sees no pictures"),
    ):
        if asked:
            raise Refusal("INVALID_ARGUMENT", "echo " + why, field)


def prompt_ids(request):
    """The ids of a prompt, in whichever form it came (G6)."""
    form = request.WhichOneof("prompt")
    if request.HasField("resume"):
        ids = list(request.resume.prompt)
    elif form == "text":
        ids = [ord(c) for c in request.text]
    elif form == "tokens":
        ids = list(request.tokens.ids)
    elif form == "chat":
        ids = [ord(c) for c in last_message(request.chat.messages)]
    else:
        raise Refusal("INVALID_ARGUMENT", "the request has no prompt; send text, tokens or chat")
    for i in ids:
        if not 0 <= i < VOCABULARY:
            raise Refusal("INVALID_ARGUMENT", f"tokens: {i} is not among the {VOCABULARY} ids", "tokens")
    return ids


def last_message(raw):
    """Stands for a chat template. Content is a text, or a list of parts that are texts."""
    try:
        content = json.loads(raw)[-1]["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)
    except (ValueError, LookupError, TypeError, RecursionError) as e:
        raise Refusal("INVALID_ARGUMENT", f"messages: expected an array of messages whose content is text: {e}", "messages") from e


def inspect(checkpoint):
    """What config.json says (I1 to I4)."""
    file = os.path.join(checkpoint.path, "config.json")
    try:
        with open(file, "rb") as f:
            config = json.loads(f.read(1 << 20))
    except OSError as e:
        raise Refusal("NOT_FOUND", f"no checkpoint: {e}") from e
    except (ValueError, RecursionError) as e:
        raise Refusal("CHECKPOINT", f"{file}: {e}") from e
    if not isinstance(config, dict) or config.get("architectures") != [ARCHITECTURE]:
        return pb.InspectResponse(fit=pb.FIT_NONE, reason=f"architectures in config.json is not {ARCHITECTURE}")
    longest = config.get("max_position_embeddings")
    if not isinstance(longest, int) or not 1 <= longest < 1 << 31:
        raise Refusal("CHECKPOINT", f"{file}: max_position_embeddings is not a number of positions")
    if not 0 <= checkpoint.context <= longest:
        raise Refusal("INVALID_ARGUMENT", f"a context of {checkpoint.context} positions is asked for, the checkpoint has {longest}", "context")
    for field, asked in (("quantize", checkpoint.quantize), ("layers", checkpoint.layers), ("kv_cache", checkpoint.kv_cache)):
        if asked:
            raise Refusal("INVALID_ARGUMENT", f"{field} is {asked}, but echo has no layers", field)
    if checkpoint.numerics not in ("", "exact"):
        raise Refusal("INVALID_ARGUMENT", f"numerics is {checkpoint.numerics!r}; echo knows exact alone", "numerics")
    table = pb.LayerTable(context=checkpoint.context or longest, vocab_size=VOCABULARY, max_sequences=1)
    return pb.InspectResponse(fit=pb.FIT_EXACT, table=table)


class Model(services.ModelServicer):
    """What may be called when (L1 to L6), and who is still being answered."""

    def __init__(self):
        self.phase = "no model is loaded yet"  # "" once there is one
        self.draining = self.unloading = False
        self.echo = None
        self.running = set()  # tasks that answer
        self.idle = asyncio.Event()
        self.idle.set()

    async def Describe(self, request, context):
        return pb.DescribeResponse(**DESCRIPTION)

    async def Inspect(self, request, context):
        try:
            return inspect(request.checkpoint)
        except Refusal as e:
            await e.abort(context)

    async def Load(self, request, context):
        try:
            if self.draining or self.phase != "no model is loaded yet":
                raise Refusal("STATE", "this process was loaded before, or is draining; a model needs a process of its own")
            self.phase = "no model is loaded: Load failed"
            found = inspect(request.checkpoint)
            if found.fit == pb.FIT_NONE:
                raise Refusal("CHECKPOINT", f"{request.checkpoint.path}: {found.reason}")
            self.echo, self.phase = Echo(found.table), ""
            yield pb.LoadResponse(table=found.table)
        except Refusal as e:
            await e.abort(context)

    async def Generate(self, request, context):
        task = asyncio.current_task()
        try:
            if self.draining or self.phase:
                raise Refusal("STATE", self.phase or "the plugin is draining")
            self.running.add(task)
            self.idle.clear()
            for event in self.echo.answer(request):
                await context.write(event)  # waits for a host that does not read; a cancelled call ends here (C1)
        except Refusal as e:
            await e.abort(context)
        except asyncio.CancelledError:
            if not self.unloading:  # it was the host that cancelled
                raise
            await context.abort(grpc.StatusCode.CANCELLED, "the model is being unloaded")
        finally:
            self.running.discard(task)
            if not self.running:
                self.idle.set()

    async def Drain(self, request, context):
        self.draining = True
        await self.idle.wait()
        return pb.DrainResponse()

    async def Unload(self, request, context):
        self.draining = self.unloading = True
        for task in list(self.running):
            task.cancel()
        await self.idle.wait()
        self.echo = None
        return pb.UnloadResponse()


def unimplemented(name):
    async def method(self, request, context):
        await Refusal("UNIMPLEMENTED", f"echo_python does not have {name}").abort(context)

    return method


for name in ("OpenSequence", "ForkSequence", "CloseSequence", "Forward", "Embed", "Tokenize", "Detokenize", "Spell", "Render"):
    setattr(Model, name, unimplemented(name))  # D3


class Scheduler(services.SchedulerServicer):
    """Answers the orders of a host to a plugin that holds nothing it could move (S1)."""

    open = False

    async def Schedule(self, orders, context):
        if self.open:
            await Refusal("STATE", "the scheduler stream is open already").abort(context)
        self.open = True
        try:
            async for order in orders:
                errors = {"budget": "", "query": "", "move": "echo has no modules that can be moved"}
                error = errors.get(order.WhichOneof("order"), "an order of a kind that this plugin does not know")
                yield pb.ScheduleResponse(done=pb.OrderDone(id=order.id, error=error))
        finally:
            self.open = False


def identity(client):
    """Credentials and the certificate for the handshake, if the host has sent one of its own (P8)."""
    if not client:
        return None, ""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key(), serial_number=x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + 10000 * day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)  # the host trusts it as its own root
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = certificate.public_bytes(serialization.Encoding.PEM)
    credentials = grpc.ssl_server_credentials([(secret, chain)], root_certificates=client.encode(), require_client_auth=True)
    return credentials, base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")


def log(level, message):
    """A line that the host reads with its level (P7)."""
    line = {"@level": level, "@message": message, "@timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())}
    print(json.dumps(line), file=sys.stderr, flush=True)


async def serve():
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)])
    model = Model()
    services.add_ModelServicer_to_server(model, server)
    services.add_SchedulerServicer_to_server(Scheduler(), server)
    well = health.aio.HealthServicer()
    await well.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(well, server)
    end = asyncio.Event()

    async def shutdown(request, context):
        end.set()
        return b""

    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("plugin.GRPCController", {
        "Shutdown": grpc.unary_unary_rpc_method_handler(shutdown),  # both of its messages are empty
    }),))

    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin.sock")
    credentials, certificate = identity(os.environ.get("PLUGIN_CLIENT_CERT"))
    if credentials:
        server.add_secure_port("unix:" + path, credentials)
    else:
        server.add_insecure_port("unix:" + path)
    await server.start()

    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # P6
    loop.add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(terminate(model, end)))
    if lifeline := os.environ.get("PIO_LIFELINE_FD"):
        loop.add_reader(int(lifeline), lambda: os.read(int(lifeline), 1) or os._exit(1))  # P5

    print(f"1|1|unix|{path}|grpc|{certificate}", flush=True)  # P3
    os.dup2(2, 1)  # whatever else is printed belongs to the log
    await end.wait()
    await server.stop(0.1)


async def terminate(model, end):
    model.draining = True
    try:
        await asyncio.wait_for(model.idle.wait(), LAST_ANSWERS)
    except asyncio.TimeoutError:
        log("warn", "not every answer was finished before the end")
    end.set()


def main():
    if os.environ.get(COOKIE[0]) == COOKIE[1]:
        asyncio.run(serve())
    elif sys.argv[1:] == ["describe"]:  # P1
        print(json.dumps(DESCRIPTION, indent=2))
    else:  # P2
        sys.exit("this is echo_python, a plugin of inference-pio: a host starts it; `describe` as its argument tells what it is")


if __name__ == "__main__":
    main()

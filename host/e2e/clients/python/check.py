"""Python clients against a running piohost, as docs/clients.md lists them: one line for each thing that a client can do.

    check.py URL PICTURE CLIENT...

"ok" and "known" are expected; anything else ends the program with 1: a check that fails, and one that works although it is known not to. The
answers are the tiny models', which know one capital and one forecast.
"""

import asyncio
import base64
import importlib.metadata
import os
import sys
import traceback

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it looks for one in the web

URL, PICTURE, CLIENTS = sys.argv[1] + "/v1", sys.argv[2], sys.argv[3:]
PLAIN = {"chat_template_kwargs": {"enable_thinking": False}}
QUESTION, ANSWER = "What is the capital of Japan?", "The capital of Japan is Tokyo."
WEATHER, CALL, FORECAST = "What is the weather in Oslo?", {"city": "Oslo"}, "It is 17 degrees in Oslo."
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Current weather in a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
checks = []


def check(client, package, known=None):
    """Registers a check of a client. known says why it fails today."""
    def keep(f):
        checks.append((client, package, f, known))
        return f
    return keep


def same(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


# openai: what all others stand on.

def openai_client():
    import openai
    return openai.OpenAI(base_url=URL, api_key="none", max_retries=0)


def ask(question=QUESTION, **more):
    return {"model": "tiny", "temperature": 0, "messages": [{"role": "user", "content": question}], "extra_body": PLAIN, **more}


@check("openai", "openai")
def models():
    same([m.id for m in openai_client().models.list()], ["tiny", "tiny-vl"])


@check("openai", "openai")
def chat():
    got = openai_client().chat.completions.create(**ask(max_tokens=64000, store=True, metadata={"a": "b"}, user="me", service_tier="auto"))
    same((got.choices[0].message.content, got.choices[0].finish_reason), (ANSWER, "stop"))


@check("openai", "openai")
def chat_stream():
    text, usage, reasons = "", None, []
    for chunk in openai_client().chat.completions.create(**ask(stream=True, stream_options={"include_usage": True})):
        for c in chunk.choices:
            text += c.delta.content or ""
            reasons += [c.finish_reason] if c.finish_reason else []
        usage = chunk.usage or usage
    same((text, reasons, usage.completion_tokens > 0), (ANSWER, ["stop"], True))


@check("openai", "openai")
def chat_async():
    import openai

    async def run():
        async with openai.AsyncOpenAI(base_url=URL, api_key="none", max_retries=0) as c:
            return await asyncio.gather(*(c.chat.completions.create(**ask()) for _ in range(3)))
    same([r.choices[0].message.content for r in asyncio.run(run())], [ANSWER] * 3)


@check("openai", "openai")
def thinking():
    got = openai_client().chat.completions.create(**ask(extra_body={}, reasoning_effort="none"))
    same((got.choices[0].message.content, getattr(got.choices[0].message, "reasoning_content", None)), (ANSWER, None))


@check("openai", "openai")
def n_and_logprobs():
    got = openai_client().chat.completions.create(**ask(n=2, logprobs=True, top_logprobs=2))
    same([(c.message.content, len(c.logprobs.content) > 3) for c in got.choices], [(ANSWER, True)] * 2)


def helper(c):
    """The accumulator, which moved between versions."""
    return c.chat.completions.stream if hasattr(c.chat.completions, "stream") else c.beta.chat.completions.stream


@check("openai", "openai")
def stream_helper_with_tools():
    with helper(openai_client())(**ask(WEATHER, tools=[TOOL])) as s:
        for _ in s:
            pass
        call = s.get_final_completion().choices[0].message.tool_calls[0].function
    same((call.name, call.arguments), ("get_weather", '{"city": "Oslo"}'))


@check("openai", "openai")
def tools():
    """The loop that every agent has: chunks are added up by index, and sent back."""
    c, body = openai_client(), ask(WEATHER, tools=[TOOL], stream=True)
    calls = {}
    for chunk in c.chat.completions.create(**body):
        for piece in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            one = calls.setdefault(piece.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
            one["id"] += piece.id or ""
            one["function"]["name"] += piece.function.name or ""
            one["function"]["arguments"] += piece.function.arguments or ""
    same([(one["function"]["name"], one["function"]["arguments"]) for one in calls.values()], [("get_weather", '{"city": "Oslo"}')])
    body["messages"] += [{"role": "assistant", "content": None, "tool_calls": list(calls.values())},
                         {"role": "tool", "tool_call_id": calls[0]["id"], "content": '{"degrees": 17}'}]
    same(c.chat.completions.create(**{**body, "stream": False}).choices[0].message.content, FORECAST)


@check("openai", "openai")
def tool_choices():
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}},
                   {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}}):
        got = openai_client().chat.completions.create(**ask(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False))
        same([call.function.name for call in got.choices[0].message.tool_calls], ["get_weather"])


def short_type():
    """What a model this small, which has learnt to write no JSON, comes to the end of: it is held to a form, not to sense."""
    import pydantic

    class City(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        city: str = pydantic.Field(max_length=12)
    return City


@check("openai", "openai")
def json_schema():
    c = openai_client()
    parse = c.chat.completions.parse if hasattr(c.chat.completions, "parse") else c.beta.chat.completions.parse
    assert len(parse(**ask(response_format=short_type())).choices[0].message.parsed.city) <= 12


@check("openai", "openai")
def json_object():
    openai_client().chat.completions.create(**ask(response_format={"type": "json_object"}))


FUNCTION = {"type": "function", "strict": False, **TOOL["function"]}


def respond(question=QUESTION, **more):
    return {"model": "tiny", "temperature": 0, "input": question, "extra_body": PLAIN, **more}


@check("openai", "openai")
def responses():
    got = openai_client().responses.create(**respond(instructions="Be brief", max_output_tokens=64000, store=True, truncation="auto"))
    same((got.output_text, got.status, got.usage.output_tokens > 0, got.store), (ANSWER, "completed", True, False))


@check("openai", "openai")
def responses_stream_with_reasoning():
    """The accumulator raises at an item or a part that was not announced."""
    with openai_client().responses.stream(**respond(extra_body={})) as s:
        numbers = [e.sequence_number for e in s]
        got = s.get_final_response()
    same((got.output_text, [o.type for o in got.output], numbers), (ANSWER, ["reasoning", "message"], list(range(len(numbers)))))


@check("openai", "openai")
def responses_tools():
    """The loop that every agent has: the items of the answer are sent back with what came of the call."""
    c, items = openai_client(), [{"role": "user", "content": WEATHER}]
    with c.responses.stream(**respond(items, tools=[FUNCTION])) as s:
        for _ in s:
            pass
        got = s.get_final_response()
    calls = [o for o in got.output if o.type == "function_call"]
    same([(o.name, o.arguments) for o in calls], [("get_weather", '{"city": "Oslo"}')])
    items += [o.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for o in got.output]
    items.append({"type": "function_call_output", "call_id": calls[0].call_id, "output": '{"degrees": 17}'})
    same(c.responses.create(**respond(items, tools=[FUNCTION])).output_text, FORECAST)


@check("openai", "openai")
def responses_json_schema():
    assert len(openai_client().responses.parse(**respond(text_format=short_type())).output_parsed.city) <= 12


@check("openai", "openai")
def responses_picture():
    got = openai_client().responses.create(model="tiny-vl", temperature=0, max_output_tokens=5, input=[{"role": "user", "content": [
        {"type": "input_image", "image_url": picture_url(), "detail": "auto"}, {"type": "input_text", "text": "What is in the picture?"}]}])
    assert got.output_text and got.usage.input_tokens > 20, got


@check("openai", "openai")
def responses_errors():
    import openai
    try:
        openai_client().responses.create(**respond(previous_response_id="resp_1"))
    except openai.BadRequestError as e:
        assert e.param == "previous_response_id" and e.request_id, e
        return
    raise AssertionError("a response was gone on from that nobody kept")


def picture_url():
    with open(PICTURE, "rb") as f:
        return "data:image/png;base64," + base64.b64encode(f.read()).decode()


@check("openai", "openai")
def picture():
    got = openai_client().chat.completions.create(model="tiny-vl", temperature=0, max_tokens=5, messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": picture_url()}}, {"type": "text", "text": "What is in the picture?"}]}])
    assert got.choices[0].message.content and got.usage.prompt_tokens > 20, got


@check("openai", "openai")
def embeddings():
    got = openai_client().embeddings.create(model="tiny", input=["Tokyo", "Oslo"])
    same((len(got.data), len(got.data[0].embedding) == len(got.data[1].embedding) > 8), (2, True))


@check("openai", "openai")
def completions():
    got = openai_client().completions.create(model="tiny", prompt=["The capital of", "Two"], max_tokens=4, temperature=0)
    same(len(got.choices), 2)


@check("openai", "openai")
def errors():
    import openai
    try:
        openai_client().chat.completions.create(**ask("word " * 5000))
    except openai.BadRequestError as e:
        assert e.code == "context_length_exceeded" and "maximum context length is 2048 tokens" in str(e) and e.request_id, e
        return
    raise AssertionError("a prompt of 5000 words was taken")


# langchain-openai

def langchain(**more):
    from langchain_openai import ChatOpenAI
    return ChatOpenAI(model="tiny", base_url=URL, api_key="none", temperature=0, max_retries=0, extra_body=PLAIN, **more)


@check("langchain-openai", "langchain-openai")
def lc_chat():
    same(langchain().invoke(QUESTION).content, ANSWER)


@check("langchain-openai", "langchain-openai")
def lc_stream():
    whole = None
    for chunk in langchain(stream_usage=True).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    same((whole.content, whole.usage_metadata["output_tokens"] > 0), (ANSWER, True))


@check("langchain-openai", "langchain-openai")
def lc_tools():
    from langchain_core.messages import HumanMessage, ToolMessage
    m, turns = langchain().bind_tools([TOOL]), [HumanMessage(WEATHER)]
    whole = None
    for chunk in m.stream(turns):
        whole = chunk if whole is None else whole + chunk
    same([(c["name"], c["args"]) for c in whole.tool_calls], [("get_weather", CALL)])
    turns += [whole, ToolMessage('{"degrees": 17}', tool_call_id=whole.tool_calls[0]["id"])]
    same(m.invoke(turns).content, FORECAST)


def weather_type():
    import pydantic

    class get_weather(pydantic.BaseModel):
        """Current weather in a city"""
        city: str
    return get_weather


@check("langchain-openai", "langchain-openai")
def lc_structured_by_function_calling():
    same(langchain().with_structured_output(weather_type(), method="function_calling").invoke(WEATHER).city, "Oslo")


@check("langchain-openai", "langchain-openai")
def lc_structured_by_json_schema():
    assert len(langchain().with_structured_output(short_type()).invoke(WEATHER).city) <= 12


@check("langchain-openai", "langchain-openai")
def lc_embeddings():
    from langchain_openai import OpenAIEmbeddings
    got = OpenAIEmbeddings(model="tiny", base_url=URL, api_key="none", check_embedding_ctx_length=False).embed_documents(["Tokyo", "Oslo"])
    same(len(got), 2)


@check("langchain-openai", "langchain-openai")
def lc_responses():
    m, turns = langchain(use_responses_api=True).bind_tools([TOOL]), [("user", WEATHER)]
    whole = None
    for chunk in m.stream(turns):
        whole = chunk if whole is None else whole + chunk
    same([(c["name"], c["args"]) for c in whole.tool_calls], [("get_weather", CALL)])
    same([part["text"] for part in langchain(use_responses_api=True).invoke(QUESTION).content if part["type"] == "text"], [ANSWER])


# instructor

def instruct(mode, model):
    import instructor
    return instructor.from_openai(openai_client(), mode=mode).chat.completions.create(
        **ask(WEATHER), response_model=model, max_retries=0)


@check("instructor", "instructor")
def in_tools():
    import instructor
    same(instruct(instructor.Mode.TOOLS, weather_type()).city, "Oslo")


@check("instructor", "instructor")
def in_json_schema():
    import instructor
    assert len(instruct(instructor.Mode.JSON_SCHEMA, short_type()).city) <= 12


# pydantic-ai

def agent(**more):
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    return Agent(OpenAIChatModel("tiny", provider=OpenAIProvider(base_url=URL, api_key="none")),
                 model_settings={"temperature": 0, "extra_body": PLAIN}, retries=0, **more)


@check("pydantic-ai", "pydantic-ai-slim")
def pa_chat():
    same(agent().run_sync(QUESTION).output, ANSWER)


@check("pydantic-ai", "pydantic-ai-slim")
def pa_stream():
    async def run():
        async with agent().run_stream(QUESTION) as r:
            return "".join([t async for t in r.stream_text(delta=True)])
    same(asyncio.run(run()), ANSWER)


@check("pydantic-ai", "pydantic-ai-slim")
def pa_output_by_tool():
    """Its way to structured output: the call is required, since a model this small calls only tools that it has seen."""
    from pydantic_ai import ToolOutput
    same(agent(output_type=ToolOutput(weather_type(), name="get_weather")).run_sync(WEATHER).output.city, "Oslo")


@check("pydantic-ai", "pydantic-ai-slim")
def pa_native_output():
    from pydantic_ai import NativeOutput
    assert len(agent(output_type=NativeOutput(short_type())).run_sync(WEATHER).output.city) <= 12


def responder(**more):
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider
    return Agent(OpenAIResponsesModel("tiny", provider=OpenAIProvider(base_url=URL, api_key="none")),
                 model_settings={"temperature": 0, "extra_body": PLAIN}, retries=0, **more)


@check("pydantic-ai", "pydantic-ai-slim")
def pa_responses():
    from pydantic_ai import ToolOutput
    same(responder().run_sync(QUESTION).output, ANSWER)
    same(responder(output_type=ToolOutput(weather_type(), name="get_weather")).run_sync(WEATHER).output.city, "Oslo")


# litellm

def lite(model="openai/tiny", **more):
    import litellm
    return litellm.completion(model=model, api_base=URL, api_key="none", temperature=0, num_retries=0,
                              messages=[{"role": "user", "content": QUESTION}], **{"extra_body": PLAIN, **more})


@check("litellm", "litellm")
def ll_chat():
    same([lite(m).choices[0].message.content for m in ("openai/tiny", "hosted_vllm/tiny")], [ANSWER] * 2)


@check("litellm", "litellm")
def ll_stream():
    same("".join(c.choices[0].delta.content or "" for c in lite(stream=True)), ANSWER)


@check("litellm", "litellm")
def ll_reasoning_effort():
    same(lite("hosted_vllm/tiny", extra_body={}, reasoning_effort="none").choices[0].message.content, ANSWER)


@check("litellm", "litellm")
def ll_tools():
    import litellm
    chunks = list(litellm.completion(model="openai/tiny", api_base=URL, api_key="none", temperature=0, stream=True, tools=[TOOL],
                                     messages=[{"role": "user", "content": WEATHER}], extra_body=PLAIN))
    got = litellm.stream_chunk_builder(chunks)
    same([(c.function.name, c.function.arguments) for c in got.choices[0].message.tool_calls], [("get_weather", '{"city": "Oslo"}')])


@check("litellm", "litellm")
def ll_overflow_is_known():
    import litellm
    try:
        litellm.completion(model="openai/tiny", api_base=URL, api_key="none", messages=[{"role": "user", "content": "word " * 5000}], num_retries=0)
    except litellm.ContextWindowExceededError:
        return
    raise AssertionError("a prompt of 5000 words was taken")


@check("litellm", "litellm")
def ll_json_schema():
    lite(response_format=short_type())


# llama-index

def llama():
    from llama_index.llms.openai_like import OpenAILike
    return OpenAILike(model="tiny", api_base=URL, api_key="none", is_chat_model=True, is_function_calling_model=True, temperature=0,
                      max_retries=0, context_window=2048, additional_kwargs={"extra_body": PLAIN})


@check("llama-index", "llama-index-llms-openai-like")
def li_chat():
    same(llama().complete(QUESTION).text, ANSWER)


@check("llama-index", "llama-index-llms-openai-like")
def li_stream():
    same("".join(c.delta or "" for c in llama().stream_complete(QUESTION)), ANSWER)


@check("llama-index", "llama-index-llms-openai-like")
def li_tools():
    from llama_index.core.tools import FunctionTool

    def get_weather(city: str) -> str:
        """Current weather in a city"""
        return '{"degrees": 17}'
    got = llama().chat_with_tools([FunctionTool.from_defaults(get_weather, description="Current weather in a city")], user_msg=WEATHER, tool_required=True)
    calls = llama().get_tool_calls_from_response(got)
    same([(c.tool_name, c.tool_kwargs) for c in calls], [("get_weather", CALL)])


def main():
    missed = 0
    for client, package, f, known in checks:
        if client not in CLIENTS:
            continue
        problem = ""
        try:
            f()
        except BaseException as e:  # a client may raise anything
            problem = " ".join(f"{type(e).__name__}: {e}".split())[:300]
            if not known:
                traceback.print_exc(limit=-3)
        verdict = "ok" if not problem else "FAIL"
        if known:
            verdict = "known" if problem else "FAIL"
            problem = known if problem else "works, although it is known not to: " + known
        missed += verdict == "FAIL"
        print(f"{verdict:5} python {client} {importlib.metadata.version(package)}: {f.__name__}" + (f": {problem}" if problem else ""), flush=True)
    sys.exit(1 if missed else 0)


import evals  # noqa: E402,F401: registers the checks of what measures models
import protocols  # noqa: E402,F401: and those of clients that have a protocol of their own

main()

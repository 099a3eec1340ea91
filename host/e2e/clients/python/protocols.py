"""The checks of clients that do not speak OpenAI's API: Anthropic's Messages and Ollama's. check.py registers and runs them."""

from __main__ import ANSWER, CALL, FORECAST, PICTURE, QUESTION, TOOL, URL, WEATHER, check, same

HOST = URL.removesuffix("/v1")
ANTHROPIC_TOOL = {"name": "get_weather", "description": TOOL["function"]["description"], "input_schema": TOOL["function"]["parameters"]}
UNTHINKING = {"type": "disabled"}


# anthropic

def anthropic_client():
    import anthropic
    return anthropic.Anthropic(base_url=HOST, api_key="none", max_retries=0)


def message(content=QUESTION, **more):
    """Versions differ in whether they have temperature."""
    messages = [{"role": "user", "content": content}] if isinstance(content, str) else content
    return {"model": "tiny", "max_tokens": 300, "messages": messages, "thinking": UNTHINKING, "extra_body": {"temperature": 0}, **more}


@check("anthropic", "anthropic")
def an_chat():
    got = anthropic_client().messages.create(**message(system=[{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral"}}], metadata={"user_id": "me"}))
    same(([b.text for b in got.content], got.stop_reason, got.usage.output_tokens > 0, bool(got._request_id)), ([ANSWER], "end_turn", True, True))


@check("anthropic", "anthropic")
def an_stream_with_thinking():
    with anthropic_client().messages.stream(**message(thinking={"type": "enabled", "budget_tokens": 1024})) as s:
        text, got = "".join(s.text_stream), s.get_final_message()
    same((text, [b.type for b in got.content], got.usage.input_tokens > 0), (ANSWER, ["thinking", "text"], True))


@check("anthropic", "anthropic")
def an_tools():
    """The loop that every agent has: the blocks of the answer are sent back with what came of the call."""
    c, turns = anthropic_client(), [{"role": "user", "content": WEATHER}]
    with c.messages.stream(**message(turns, tools=[ANTHROPIC_TOOL])) as s:
        got = s.get_final_message()
    calls = [b for b in got.content if b.type == "tool_use"]
    same(([(b.name, b.input) for b in calls], got.stop_reason), ([("get_weather", CALL)], "tool_use"))
    turns += [{"role": "assistant", "content": got.content},
              {"role": "user", "content": [{"type": "tool_result", "tool_use_id": calls[0].id, "content": [{"type": "text", "text": '{"degrees": 17}'}]}]}]
    same(c.messages.create(**message(turns, tools=[ANTHROPIC_TOOL])).content[0].text, FORECAST)


@check("anthropic", "anthropic")
def an_tool_choice():
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}):
        got = anthropic_client().messages.create(**message(tools=[ANTHROPIC_TOOL], tool_choice=choice))
        same([b.name for b in got.content if b.type == "tool_use"], ["get_weather"])


@check("anthropic", "anthropic")
def an_json_schema():
    """A bound on the length of a string does not arrive: the client leaves it to the model. What is chosen among words ends all the same."""
    import typing

    import pydantic

    class Place(pydantic.BaseModel):
        city: typing.Literal["Oslo", "Tokyo"]
    assert anthropic_client().messages.parse(**message(output_format=Place)).parsed_output.city in ("Oslo", "Tokyo")


@check("anthropic", "anthropic")
def an_count_tokens():
    c = anthropic_client()
    counted = c.messages.count_tokens(model="tiny", messages=[{"role": "user", "content": QUESTION}], thinking=UNTHINKING).input_tokens
    usage = c.messages.create(**message()).usage
    same(counted, usage.input_tokens + usage.cache_read_input_tokens)


@check("anthropic", "anthropic")
def an_picture():
    import base64
    with open(PICTURE, "rb") as f:
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(f.read()).decode()}
    got = anthropic_client().messages.create(model="tiny-vl", max_tokens=5, messages=[{"role": "user", "content": [
        {"type": "image", "source": source}, {"type": "text", "text": "What is in the picture?"}]}])
    assert got.usage.input_tokens > 20 and got.content, got


@check("anthropic", "anthropic")
def an_errors():
    import anthropic
    for body, kind, words in ((message("word " * 5000), anthropic.BadRequestError, "prompt is too long"), (message(model="none"), anthropic.NotFoundError, "does not exist")):
        try:
            anthropic_client().messages.create(**body)
        except kind as e:
            assert words in str(e) and e.request_id, e
        else:
            raise AssertionError("it was taken")


# langchain-anthropic, pydantic-ai

@check("langchain-anthropic", "langchain-anthropic")
def la_stream_and_tools():
    from langchain_anthropic import ChatAnthropic
    m = ChatAnthropic(model="tiny", base_url=HOST, api_key="none", max_tokens=300, max_retries=0, thinking=UNTHINKING, model_kwargs={"extra_body": {"temperature": 0}})
    same(m.invoke(QUESTION).content, ANSWER)
    whole = None
    for chunk in m.bind_tools([ANTHROPIC_TOOL]).stream(WEATHER):
        whole = chunk if whole is None else whole + chunk
    same(([(c["name"], c["args"]) for c in whole.tool_calls], whole.usage_metadata["output_tokens"] > 0), ([("get_weather", CALL)], True))


@check("pydantic-ai-anthropic", "pydantic-ai-slim")
def pn_chat_and_output_by_tool():
    import pydantic
    from pydantic_ai import Agent, ToolOutput
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    class get_weather(pydantic.BaseModel):
        """Current weather in a city"""
        city: str

    def agent(**more):
        return Agent(AnthropicModel("tiny", provider=AnthropicProvider(base_url=HOST, api_key="none")), retries=0,
                     model_settings={"extra_body": {"thinking": UNTHINKING, "temperature": 0}}, **more)
    same(agent().run_sync(QUESTION).output, ANSWER)
    same(agent(output_type=ToolOutput(get_weather, name="get_weather")).run_sync(WEATHER).output.city, "Oslo")


# ollama

def ollama_client():
    import ollama
    return ollama.Client(host=HOST)


def asked(content=QUESTION, **more):
    messages = [{"role": "user", "content": content}] if isinstance(content, str) else content
    return {"model": "tiny", "messages": messages, "options": {"temperature": 0}, "think": False, **more}


@check("ollama", "ollama")
def ol_chat():
    got = ollama_client().chat(**asked())
    same((got.message.content, got.done_reason, got.eval_count > 0, got.total_duration > 0), (ANSWER, "stop", True, True))


@check("ollama", "ollama")
def ol_stream_with_thinking():
    pieces = list(ollama_client().chat(**asked(think=True, stream=True, model="tiny:latest")))
    same(("".join(p.message.content for p in pieces), any(p.message.thinking for p in pieces), [p.done for p in pieces].count(True)), (ANSWER, True, 1))


@check("ollama", "ollama")
def ol_tools():
    c, turns = ollama_client(), [{"role": "user", "content": WEATHER}]
    got = c.chat(**asked(turns, tools=[TOOL])).message
    same([(t.function.name, t.function.arguments) for t in got.tool_calls], [("get_weather", CALL)])
    turns += [got, {"role": "tool", "tool_name": "get_weather", "content": '{"degrees": 17}'}]
    same(c.chat(**asked(turns, tools=[TOOL])).message.content, FORECAST)


@check("ollama", "ollama")
def ol_json_schema():
    import json
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"], "additionalProperties": False}
    assert len(json.loads(ollama_client().chat(**asked(format=schema)).message.content)["city"]) <= 12


@check("ollama", "ollama")
def ol_generate():
    c = ollama_client()
    same(c.generate("tiny", QUESTION, options={"temperature": 0}, think=False).response, ANSWER)
    same(c.generate("tiny", "The capital of", raw=True, options={"num_predict": 2, "temperature": 0}).eval_count, 2)


@check("ollama", "ollama")
def ol_picture():
    got = ollama_client().chat("tiny-vl", [{"role": "user", "content": "What is in the picture?", "images": [PICTURE]}], options={"num_predict": 5, "temperature": 0})
    assert got.message.content and got.prompt_eval_count > 20, got


@check("ollama", "ollama")
def ol_embeddings():
    c = ollama_client()
    same([len(v) for v in c.embed("tiny", ["Tokyo", "Oslo"]).embeddings], [len(c.embeddings("tiny", "Tokyo").embedding)] * 2)


@check("ollama", "ollama")
def ol_models():
    c = ollama_client()
    same(([m.model for m in c.list().models], [m.model for m in c.ps().models]), (["tiny", "tiny-vl"], ["tiny", "tiny-vl"]))
    same(("tools" in c.show("tiny").capabilities, "vision" in c.show("tiny").capabilities, "vision" in c.show("tiny-vl").capabilities), (True, False, True))


@check("ollama", "ollama")
def ol_load_and_unload():
    """What `ollama run` and `ollama stop` begin with. These models are there from the start, and stay."""
    c = ollama_client()
    same([c.generate("tiny", keep_alive=k).done_reason for k in ("5m", 0)] + [c.chat("tiny").done_reason], ["load"] * 3)


@check("ollama", "ollama")
def ol_pull_and_delete():
    """From a hub that run.py has, which knows Org/Tiny."""
    c = ollama_client()
    said = list(c.pull("Org/Tiny", stream=True))
    same((said[0].status, said[-1].status, any(p.total and p.completed == p.total and p.digest for p in said)), ("pulling manifest", "success", True))
    same(c.pull("Org/Tiny").status, "success")
    same(c.chat(**asked(model="Org/Tiny")).message.content, ANSWER)
    same(c.delete("Org/Tiny").status, "success")
    same([m.model for m in c.list().models], ["tiny", "tiny-vl"])


@check("ollama", "ollama")
def ol_errors():
    import ollama
    c = ollama_client()
    for ask, status, words in (
            (lambda: c.chat(**asked(model="none")), 404, "does not exist"), (lambda: c.delete("Org/Tiny"), 404, "does not exist"),
            (lambda: c.pull("none"), 400, "expected ORG/NAME"), (lambda: c.pull("Org/None"), 400, "Org/None"),
            (lambda: list(c.pull("Org/None", stream=True)), 400, "Org/None"), (lambda: c.copy("tiny", "small"), 400, "aliases"),
            (lambda: c.create("small", from_="tiny"), 400, "models.toml"), (lambda: c.push("tiny"), 400, "models.toml")):
        try:
            ask()
        except ollama.ResponseError as e:
            assert words in str(e) and e.status_code == status, e
        else:
            raise AssertionError("it was taken")


@check("langchain-ollama", "langchain-ollama")
def lo_chat_and_tools():
    from langchain_ollama import ChatOllama
    m = ChatOllama(model="tiny", base_url=HOST, temperature=0, reasoning=False)
    same(m.invoke(QUESTION).content, ANSWER)
    whole = None
    for chunk in m.bind_tools([TOOL]).stream(WEATHER):
        whole = chunk if whole is None else whole + chunk
    same([(c["name"], c["args"]) for c in whole.tool_calls], [("get_weather", CALL)])

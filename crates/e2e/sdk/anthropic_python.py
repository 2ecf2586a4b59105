"""The anthropic package for Python: base URL and key are all that is changed."""

import base64
import os

import anthropic
import httpx

URL = os.environ["AIO_URL"].removesuffix("/v1")
client = anthropic.Anthropic(base_url=URL, api_key=os.environ["AIO_KEY"], max_retries=0)
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def say(content, **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return {"model": "gemini", "max_tokens": 300, "messages": messages, **more}


def expect(error, status, kind, call):
    try:
        call()
    except error as raised:
        assert raised.status_code == status, raised
        assert raised.body["error"]["type"] == kind, raised
        assert raised.request_id.startswith("req_"), raised
        return
    raise AssertionError(f"{error.__name__} was not raised")


# Whole and streamed.
message = client.messages.create(**say("Hello [sandbox tokens=12]", system="be brief"))
assert message.content[0].text.startswith("Sandbox reply."), message
assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 12), message
assert message.id.startswith("msg_"), message
assert message._request_id.startswith("req_"), message
with client.messages.stream(**say("Hello [sandbox tokens=12]")) as stream:
    text = "".join(stream.text_stream)
    last = stream.get_final_message()
assert text == last.content[0].text, text
assert (last.stop_reason, last.usage.output_tokens) == ("end_turn", 12), last

counted = client.messages.count_tokens(model="gemini", system="be brief", messages=[{"role": "user", "content": "Hello " * 400}])
assert 300 < counted.input_tokens < 900, counted

# A tool is called, whole and streamed, and its result goes back.
called = client.messages.create(**say("weather?", tools=TOOLS, tool_choice={"type": "any"}))
assert called.stop_reason == "tool_use", called
use = called.content[-1]
assert use.name == "get_weather", called
with client.messages.stream(**say("weather?", tools=TOOLS, tool_choice={"type": "tool", "name": "get_weather"})) as stream:
    streamed = stream.get_final_message()
assert isinstance(streamed.content[-1].input, dict), streamed
answered = client.messages.create(**say([
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": called.content},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]},
]))
assert "functionResponse" in answered.content[0].text, answered

# Vision.
seen = client.messages.create(**say([{"role": "user", "content": [
    {"type": "text", "text": "what is it?"},
    {"type": "image", "source": PIXEL},
]}]))
assert "inlineData" in seen.content[0].text, seen

# A file that was uploaded, in their words for it.
with httpx.Client(trust_env=False) as http:
    form = {"files": {"file": ("a.png", base64.b64decode(PIXEL["data"]))}, "data": {"purpose": "vision"}}
    uploaded = http.post(f"{URL}/v1/files", headers={"x-api-key": os.environ["AIO_KEY"]}, **form).json()
seen = client.messages.create(**say([{"role": "user", "content": [
    {"type": "text", "text": "what is it?"},
    {"type": "image", "source": {"type": "file", "file_id": uploaded["id"]}},
]}]))
assert "inlineData" in seen.content[0].text, seen

# Failures are the package's own exceptions.
stranger = anthropic.Anthropic(base_url=URL, api_key="aio_test_nobody", max_retries=0)
expect(anthropic.AuthenticationError, 401, "authentication_error", lambda: stranger.messages.create(**say("x")))
expect(anthropic.BadRequestError, 400, "invalid_request_error", lambda: client.messages.create(**say([])))
expect(anthropic.APIStatusError, 503, "overloaded_error", lambda: client.messages.create(**say("x [sandbox outcome=overloaded]")))
poor = anthropic.Anthropic(base_url=URL, api_key=os.environ["AIO_POOR_KEY"], max_retries=0)
expect(anthropic.APIStatusError, 402, "billing_error", lambda: poor.messages.create(**say("x")))

"""The openai package for Python: base URL and key are all that is changed."""

import base64
import hashlib
import io
import json
import os
import urllib.request
import wave

import openai
import pydantic

URL, KEY = os.environ["AIO_URL"], os.environ["AIO_KEY"]
client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def say(text, **more):
    return client.chat.completions.create(model="gemini", messages=[{"role": "user", "content": text}], **more)


def expect(error, status, code, call):
    try:
        call()
    except error as raised:
        assert raised.status_code == status, raised
        assert raised.code == code, raised
        assert raised.request_id.startswith("req_"), raised
        return
    raise AssertionError(f"{error.__name__} was not raised")


# Whole and streamed.
answer = say("Hello [sandbox tokens=12]")
assert answer.choices[0].message.content.startswith("Sandbox reply."), answer
assert answer.usage.completion_tokens == 12, answer
assert answer.model_extra["credits_consumed"] > 0, answer
events = list(say("Hello [sandbox tokens=12]", stream=True, stream_options={"include_usage": True}))
text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
assert text == answer.choices[0].message.content, text
assert events[-1].usage.completion_tokens == 12, events[-1]

# Tools, whole and streamed.
call = say("weather?", tools=[TOOL], tool_choice="required").choices[0]
assert call.finish_reason == "tool_calls", call
assert call.message.tool_calls[0].function.name == "get_weather", call
json.loads(call.message.tool_calls[0].function.arguments)
# The message goes back as the package read it, with the signature that the model demands.
assert call.message.tool_calls[0].model_extra["extra_content"]["google"]["thought_signature"], call
answered = client.chat.completions.create(model="gemini", tools=[TOOL], messages=[
    {"role": "user", "content": "weather?"},
    call.message,
    {"role": "tool", "tool_call_id": call.message.tool_calls[0].id, "content": "sunny"},
])
assert "functionResponse" in answered.choices[0].message.content, answered
parts = [
    event.choices[0].delta.tool_calls[0]
    for event in say("weather?", tools=[TOOL], tool_choice="required", stream=True)
    if event.choices and event.choices[0].delta.tool_calls
]
assert parts[0].function.name == "get_weather", parts
json.loads("".join(part.function.arguments or "" for part in parts))

# Structured output, vision.
schema = {"name": "answer", "schema": {"type": "object", "properties": {"reply": {"type": "string"}}}}
structured = say("Hello", response_format={"type": "json_schema", "json_schema": schema})
assert isinstance(json.loads(structured.choices[0].message.content), dict), structured
seen = say([{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PIXEL}}])
assert "inlineData" in seen.choices[0].message.content, seen

# Responses: whole, streamed by the helper and by hand, gone on from, looked at, deleted.
FUNCTION = {"type": "function", "name": "get_weather", "strict": True, "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
}}


def respond(input, **more):
    return client.responses.create(model="gemini", input=input, **more)


first = respond("Hello [sandbox tokens=12]", instructions="be brief", metadata={"a": "b"})
assert first.id.startswith("resp_") and first.status == "completed", first
assert first.output_text.startswith("Sandbox reply."), first
assert (first.usage.output_tokens, first.metadata) == (12, {"a": "b"}), first
assert first.model_extra["credits_consumed"] > 0, first
second = respond("And again.", previous_response_id=first.id)
assert "Messages: 3 (user, model, user)" in second.output_text, second
with client.responses.stream(model="gemini", input="Hello [sandbox tokens=12]") as stream:
    said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    final = stream.get_final_response()
assert said == final.output_text and said.startswith("Sandbox reply."), final
assert final.usage.output_tokens == 12, final
kinds = [event.type for event in respond("Hello", stream=True)]
assert (kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds
assert client.responses.retrieve(final.id).output_text == said
client.responses.delete(final.id)
expect(openai.NotFoundError, 404, "not_found", lambda: client.responses.retrieve(final.id))
expect(openai.NotFoundError, 404, "not_found", lambda: respond("x", previous_response_id=final.id))
expect(openai.BadRequestError, 400, "invalid_parameter", lambda: respond("x", tools=[{"type": "web_search"}]))
expect(openai.InternalServerError, 503, "upstream_busy", lambda: respond("x [sandbox outcome=overloaded]"))
try:
    list(respond("x [sandbox outcome=cut tokens=8]", stream=True))
    raise AssertionError("a stream that breaks off was not raised")
except openai.APIError as raised:
    assert raised.code == "upstream_failed", raised

# Their tools, whole, by hand and by the helper; their structured output; their pictures.
asked = [{"role": "user", "content": "weather?"}]
called = respond(asked, tools=[FUNCTION], tool_choice="required")
[called_function] = [item for item in called.output if item.type == "function_call"]
assert called_function.name == "get_weather", called
json.loads(called_function.arguments)
result = {"type": "function_call_output", "call_id": called_function.call_id, "output": "sunny"}
for answered in [
    respond(asked + called.output + [result], tools=[FUNCTION]),
    respond([result], tools=[FUNCTION], previous_response_id=called.id),
]:
    assert "Parts: 3 (text, functionCall, functionResponse)" in answered.output_text, answered
with client.responses.stream(model="gemini", input=asked, tools=[FUNCTION], tool_choice="required") as stream:
    done = [event for event in stream if event.type == "response.function_call_arguments.done"]
    [parsed] = [item for item in stream.get_final_response().output if item.type == "function_call"]
assert len(done) == 1 and parsed.arguments == done[0].arguments, done


class Reply(pydantic.BaseModel):
    reply: str | None = None


read = client.responses.parse(model="gemini", input="Hello", text_format=Reply)
assert isinstance(read.output_parsed, Reply), read
seen = respond([{"role": "user", "content": [
    {"type": "input_text", "text": "what is it?"}, {"type": "input_image", "image_url": PIXEL},
]}])
assert "inlineData" in seen.output_text, seen

# Embeddings: base64 is what the package asks for by itself.
vectors = client.embeddings.create(model="text-embedding-3-small", input=["a fox", "a bear"])
assert [len(row.embedding) for row in vectors.data] == [1536, 1536]
short = client.embeddings.create(model="text-embedding-3-large", input="a fox", dimensions=8, encoding_format="float")
assert len(short.data[0].embedding) == 8

# Files: uploaded, looked at, read, listed, named in a chat, deleted.
PNG = base64.b64decode(PIXEL.split(",")[1])
uploaded = client.files.create(
    file=("a.png", PNG, "image/png"), purpose="vision", expires_after={"anchor": "created_at", "seconds": 3600}
)
assert uploaded.id.startswith("file_") and uploaded.object == "file" and uploaded.status == "processed", uploaded
assert (uploaded.bytes, uploaded.filename, uploaded.purpose) == (len(PNG), "a.png", "vision"), uploaded
assert uploaded.expires_at - uploaded.created_at == 3600, uploaded
assert client.files.retrieve(uploaded.id) == uploaded
assert client.files.content(uploaded.id).read() == PNG
others = [client.files.create(file=(f"{number}.json", b"{}"), purpose="user_data") for number in range(3)]
paged = [file.id for file in client.files.list(limit=2, order="asc")]
assert paged == [uploaded.id] + [file.id for file in others], paged
assert [file.id for file in client.files.list(purpose="vision")] == [uploaded.id]
seen = say([{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": uploaded.id}}])
assert "inlineData" in seen.choices[0].message.content, seen
seen = respond([{"role": "user", "content": [
    {"type": "input_text", "text": "what is it?"}, {"type": "input_image", "file_id": uploaded.id, "detail": "auto"},
]}])
assert "inlineData" in seen.output_text, seen
expect(openai.BadRequestError, 400, "invalid_parameter", lambda: client.files.create(file=("a.png", b"PK\x03\x04"), purpose="vision"))
assert client.files.delete(uploaded.id).deleted
expect(openai.NotFoundError, 404, "not_found", lambda: client.files.retrieve(uploaded.id))
expect(openai.BadRequestError, 400, "invalid_parameter", lambda: say([{"type": "image_url", "image_url": {"url": uploaded.id}}]))

# Images: behind what the package waits for is a task of ours.
made = client.images.generate(model="flux-2", prompt="a fox", size="1536x1024", n=1, quality="auto", response_format="b64_json")
picture = base64.b64decode(made.data[0].b64_json)
width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
assert picture.startswith(b"\x89PNG\r\n\x1a\n") and (width, height) == (1248, 832), (width, height)
linked = client.images.generate(model="flux-2", prompt="a fox", response_format="url")
assert urllib.request.urlopen(linked.data[0].url).read().startswith(b"\x89PNG"), linked
expect(openai.BadRequestError, 400, "content_moderated", lambda: client.images.generate(
    model="flux-2", prompt="a fox [sandbox outcome=moderated]", response_format="url"
))
expect(openai.BadRequestError, 400, "invalid_parameter", lambda: client.images.generate(
    model="flux-2", prompt="a fox", n=2, response_format="url"
))

# Speech: the sound itself, whole and streamed.
spoken = client.audio.speech.create(model="elevenlabs-v3", voice="alloy", input="Hello there [sandbox delay=10ms]")
sound = spoken.read()
assert sound.startswith(b"ID3") and spoken.response.headers["content-type"] == "audio/mpeg", sound[:8]
assert spoken.response.headers.get("x-aio-cost-credits", "1") == "1", spoken.response.headers
with client.audio.speech.with_streaming_response.create(
    model="elevenlabs-v3", voice="Sarah", input="Hello", response_format="mp3", speed=1.0
) as streamed:
    assert b"".join(streamed.iter_bytes()).startswith(b"ID3")
# It is heard while it is made, where one process of media hears all.
for model in ["tts-1", "elevenlabs-v3"]:
    with client.audio.speech.with_streaming_response.create(
        model=model, voice="alloy", input="Hello there [sandbox delay=10ms chunk_delay=300ms]"
    ) as streamed:
        task = "/tasks/" + streamed.headers["x-aio-operation-id"].replace("op_", "task_")
        pieces = streamed.iter_bytes()
        heard = next(pieces)
        status = client.get(task, cast_to=object)["data"]["status"]
        assert status == "processing" or os.environ["AIO_MEDIA"] != "1", (model, status)
        heard += b"".join(pieces)
    kept = client.get(task, cast_to=object)["data"]["output"][0]
    assert (hashlib.sha256(heard).hexdigest(), len(heard)) == (kept["sha256"], kept["bytes"]), kept
expect(openai.BadRequestError, 400, "invalid_parameter", lambda: client.audio.speech.create(
    model="elevenlabs-v3", voice="alloy", input="Hello", response_format="aac"
))
for model, voice, form, begins in [
    ("elevenlabs-v3", "onyx", "opus", b"OggS"),
    ("elevenlabs-v3", "marin", "wav", b"RIFF"),
    ("tts-1", "nova", "aac", b"\xff\xf1"),
    ("tts-1-hd", "sage", "flac", b"fLaC"),
]:
    made = client.audio.speech.create(model=model, voice=voice, input="Hello there", response_format=form)
    assert made.read().startswith(begins), (model, form)
samples = client.audio.speech.create(
    model="gpt-4o-mini-tts", voice="cedar", input="Hello there", instructions="Slowly.", speed=0.5, response_format="pcm"
)
assert samples.response.headers["content-type"] == "audio/pcm" and len(samples.read()) == 2 * 48000, samples.response.headers
with client.audio.speech.with_streaming_response.create(
    model="gpt-4o-mini-tts", voice="verse", input="Hello", stream_format="sse"
) as streamed:
    events = [json.loads(line.removeprefix("data: ")) for line in streamed.iter_lines() if line]
assert [event["type"] for event in events][-1] == "speech.audio.done", events[-1]
assert base64.b64decode(events[0]["audio"]).startswith(b"ID3"), events[0]
# Recordings: two seconds of silence, which say themselves what shall happen.
recorded = io.BytesIO()
with wave.open(recorded, "wb") as sound:
    sound.setparams((1, 1, 8000, 0, "NONE", ""))
    sound.writeframes(b"\x80" * 16000)
recorded = ("a.wav", recorded.getvalue() + b"[sandbox delay=10ms]")
heard = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=recorded, language="en")
assert heard.text == "This is the sandbox. It heard 2 seconds in en.", heard
assert heard.usage.type == "duration" and heard.usage.seconds == 2, heard
heard = client.audio.transcriptions.create(
    model="whisper-1", file=recorded, response_format="verbose_json", timestamp_granularities=["word", "segment"]
)
assert heard.duration == 2 and heard.words[0].word == "This" and heard.words[0].end > 0, heard
assert [segment.id for segment in heard.segments] == [0, 1] and heard.segments[0].avg_logprob == -0.25, heard
heard = client.audio.transcriptions.create(model="scribe-v2", file=recorded, response_format="verbose_json")
assert heard.segments[0].avg_logprob == 0 and heard.segments[0].tokens == [] and heard.language == "eng", heard
titles = client.audio.transcriptions.create(model="scribe-v2", file=recorded, response_format="srt")
assert isinstance(titles, str) and titles.startswith("1\n00:00:00,000 --> 00:00:0"), titles
titles = client.audio.transcriptions.create(model="whisper-1", file=recorded, response_format="vtt")
assert titles.startswith("WEBVTT\n\n"), titles
heard = client.audio.transcriptions.create(model="whisper-1", file=recorded, response_format="text")
assert heard.strip().endswith("in english."), heard
events = list(client.audio.transcriptions.create(model="gpt-4o-mini-transcribe", file=recorded, stream=True))
assert events[-1].type == "transcript.text.done", events
assert "".join(event.delta for event in events[:-1]) == events[-1].text, events
expect(openai.BadRequestError, 400, "invalid_parameter", lambda: client.audio.transcriptions.create(
    model="gpt-4o-transcribe", file=recorded, response_format="srt"
))
expect(openai.BadRequestError, 400, "content_moderated", lambda: client.audio.transcriptions.create(
    model="whisper-1", file=recorded, prompt="[sandbox outcome=moderated]"
))
expect(openai.BadRequestError, 400, "content_moderated", lambda: client.audio.speech.create(
    model="elevenlabs-v3", voice="alloy", input="Hello [sandbox outcome=moderated]"
))

# Models.
assert "gemini" in [model.id for model in client.models.list()]
assert client.models.retrieve("gemini").id == "gemini"

# Failures are the package's own exceptions.
stranger = openai.OpenAI(base_url=URL, api_key="aio_test_nobody", max_retries=0)
expect(openai.AuthenticationError, 401, "invalid_key", lambda: stranger.models.list())
expect(openai.BadRequestError, 400, "missing_parameter", lambda: client.chat.completions.create(model="gemini", messages=None))
expect(openai.NotFoundError, 404, "not_found", lambda: client.models.retrieve("nobody"))
expect(openai.InternalServerError, 503, "upstream_busy", lambda: say("x [sandbox outcome=overloaded]"))
expect(openai.APIStatusError, 402, "insufficient_credits", lambda: openai.OpenAI(
    base_url=URL, api_key=os.environ["AIO_POOR_KEY"], max_retries=0
).chat.completions.create(model="gemini", messages=[{"role": "user", "content": "x"}]))
expect(openai.RateLimitError, 429, "rate_limited", lambda: [openai.OpenAI(
    base_url=URL, api_key=os.environ["AIO_SLOW_KEY"], max_retries=0
).models.list() for _ in range(3)])

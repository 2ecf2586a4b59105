// The openai and @anthropic-ai/sdk packages for Node: base URL and key are all that is changed.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";

const { AIO_URL, AIO_KEY } = process.env;
const client = new OpenAI({ baseURL: AIO_URL, apiKey: AIO_KEY, maxRetries: 0 });
const ask = (content, more) => ({ model: "gemini", messages: [{ role: "user", content }], ...more });
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } }];

const answer = await client.chat.completions.create(ask("Hello [sandbox tokens=12]"));
assert.match(answer.choices[0].message.content, /^Sandbox reply\./);
let text = "";
const stream = await client.chat.completions.create(ask("Hello [sandbox tokens=12]", { stream: true }));
for await (const event of stream) text += event.choices[0]?.delta?.content ?? "";
assert.equal(text, answer.choices[0].message.content);
const called = await client.chat.completions.create(ask("weather?", { tools, tool_choice: "required" }));
assert.equal(called.choices[0].message.tool_calls[0].function.name, "get_weather");
// This package sends an Idempotency-Key of its own with each request. What is kept for equal ones is so just behind the answer.
const equal = () => client.chat.completions.create(ask("Equal?"), { headers: { "x-aio-cache": "on" } }).withResponse();
const paid = [];
let hit = await equal();
while (hit.response.headers.get("x-aio-cache") === "miss" && paid.length < 100) {
  paid.push(hit.data);
  hit = await equal();
}
assert.equal(hit.response.headers.get("x-aio-cache"), "hit");
assert.equal(hit.data.credits_consumed, 0);
assert.ok(paid.some((one) => one.id === hit.data.id && one.credits_consumed > 0));
const respond = (input, more) => ({ model: "gemini", input, ...more });
const first = await client.responses.create(respond("Hello [sandbox tokens=12]"));
assert.equal(first.output_text, text);
const second = await client.responses.create(respond("And again.", { previous_response_id: first.id }));
assert.match(second.output_text, /Messages: 3 \(user, model, user\)/);
const final = await client.responses.stream(respond("Hello [sandbox tokens=12]")).finalResponse();
assert.equal(final.output_text, text);
assert.equal(final.usage.output_tokens, 12);
assert.equal((await client.responses.retrieve(final.id)).output_text, text);
await client.responses.delete(final.id);
await assert.rejects(
  client.responses.retrieve(final.id),
  (error) => error instanceof OpenAI.NotFoundError && error.code === "not_found",
);
const parameters = { type: "object", properties: {}, required: [], additionalProperties: false };
const functions = [{ type: "function", name: "get_weather", strict: true, parameters }];
const calling = await client.responses.create(respond("weather?", { tools: functions, tool_choice: "required" }));
const call = calling.output.find((item) => item.type === "function_call");
assert.equal(call.name, "get_weather");
const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
const answered = await client.responses.create(respond([result], { previous_response_id: calling.id }));
assert.match(answered.output_text, /Parts: 3 \(text, functionCall, functionResponse\)/);
const breaking = await client.responses.create(respond("x [sandbox outcome=cut tokens=8]", { stream: true }));
await assert.rejects(
  async () => {
    for await (const event of breaking) assert.ok(event.type);
  },
  (error) => error instanceof OpenAI.APIError && error.code === "upstream_failed",
);
const bytes = Buffer.from("iVBORw0KGgo=", "base64");
const uploaded = await client.files.create({ file: await toFile(bytes, "a.png"), purpose: "vision" });
assert.deepEqual([uploaded.bytes, uploaded.filename, uploaded.purpose], [bytes.length, "a.png", "vision"]);
assert.deepEqual(await client.files.retrieve(uploaded.id), uploaded);
assert.deepEqual(Buffer.from(await (await client.files.content(uploaded.id)).arrayBuffer()), bytes);
const listed = [];
for await (const file of client.files.list({ limit: 1 })) listed.push(file.id);
assert.deepEqual(listed, [uploaded.id]);
const seen = await client.chat.completions.create(ask([{ type: "image_url", image_url: { url: uploaded.id } }]));
assert.match(seen.choices[0].message.content, /inlineData/);
assert.equal((await client.files.delete(uploaded.id)).deleted, true);
await assert.rejects(
  client.files.retrieve(uploaded.id),
  (error) => error instanceof OpenAI.NotFoundError && error.code === "not_found",
);
const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a fox", "a bear"] });
assert.deepEqual(vectors.data.map((row) => row.embedding.length), [1536, 1536]);
const drawn = await client.images.generate({ model: "flux-2", prompt: "a fox", size: "1024x1024", response_format: "b64_json" });
assert.equal(Buffer.from(drawn.data[0].b64_json, "base64").toString("latin1", 1, 4), "PNG");
const spoken = await client.audio.speech.create({ model: "elevenlabs-v3", voice: "alloy", input: "Hello [sandbox delay=10ms]" });
assert.equal(Buffer.from(await spoken.arrayBuffer()).toString("latin1", 0, 3), "ID3");
for (const [model, response_format, begins] of [
  ["elevenlabs-v3", "opus", "OggS"],
  ["tts-1-hd", "flac", "fLaC"],
  ["gpt-4o-mini-tts", "wav", "RIFF"],
]) {
  const made = await client.audio.speech.create({ model, voice: "coral", input: "Hello [sandbox delay=10ms]", response_format });
  assert.equal(Buffer.from(await made.arrayBuffer()).toString("latin1", 0, 4), begins);
}
// Recordings: two seconds of silence, which say themselves what shall happen.
const head = Buffer.from("RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x80\x3e\0\0", "latin1");
const samples = Buffer.concat([head, Buffer.alloc(16000, 0x80), Buffer.from("[sandbox delay=10ms]")]);
const recorded = () => toFile(samples, "a.wav");
const heard = await client.audio.transcriptions.create({ model: "whisper-1", file: await recorded(), language: "en" });
assert.equal(heard.text, "This is the sandbox. It heard 2 seconds in en.");
const verbose = await client.audio.transcriptions.create({
  model: "scribe-v2",
  file: await recorded(),
  response_format: "verbose_json",
  timestamp_granularities: ["word"],
});
assert.equal(verbose.words[0].word, "This");
assert.equal(verbose.duration, 2);
const sentences = await client.audio.transcriptions.create({ model: "scribe-v2", file: await recorded(), response_format: "verbose_json" });
assert.equal(sentences.segments[0].avg_logprob, 0);
const titles = await client.audio.transcriptions.create({ model: "whisper-1", file: await recorded(), response_format: "srt" });
assert.match(titles, /^1\n00:00:00,000 --> /);
let spelled = "";
for await (const event of await client.audio.transcriptions.create({ model: "gpt-4o-transcribe", file: await recorded(), stream: true })) {
  spelled += event.type === "transcript.text.delta" ? event.delta : "";
}
assert.match(spelled, /2 seconds/);
await assert.rejects(
  new OpenAI({ baseURL: AIO_URL, apiKey: "aio_test_nobody", maxRetries: 0 }).models.list(),
  (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_key",
);

const claude = new Anthropic({ baseURL: AIO_URL.replace(/\/v1$/, ""), apiKey: AIO_KEY, maxRetries: 0 });
const events = claude.messages.stream({ max_tokens: 300, ...ask("Hello [sandbox tokens=12]") });
const message = await events.finalMessage();
assert.equal(message.content[0].text, text);
assert.equal(message.usage.output_tokens, 12);

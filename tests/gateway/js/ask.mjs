// Asks the gateway all that the client can, and prints what it was told as JSON.
import OpenAI from "openai";

const model = process.argv[2];
const settings = { maxRetries: 0, timeout: 90_000 };
const client = new OpenAI(settings);
const messages = [{ role: "user", content: "Hello" }];
const asked = { model, messages, max_tokens: 50 };

async function codeOf(call) {
  try {
    await call();
    return "";
  } catch (error) {
    return `${error.constructor.name} ${error.status} ${error.code}`;
  }
}

const whole = await client.chat.completions.create(asked);
let streamed = "";
for await (const event of await client.chat.completions.create({ ...asked, stream: true }))
  streamed += event.choices[0].delta.content ?? "";
const models = [];
for await (const one of await client.models.list()) models.push(one.id);
const embedded = await client.embeddings.create({ model, input: "Hello", encoding_format: "float" });

// The engine waits after its second token for ever: the caller leaves.
let left = "";
const waiting = await client.chat.completions.create({ ...asked, stream: true, user: '{"wait_at": 2}' });
for await (const event of waiting) {
  left += event.choices[0].delta.content ?? "";
  if (left === " t0 t1") waiting.controller.abort();
}

const stranger = new OpenAI({ ...settings, apiKey: "hai_live_nobody" });
const told = {
  whole: whole.choices[0].message.content,
  usage: whole.usage.total_tokens,
  streamed,
  models,
  embedding: embedded.data[0].embedding,
  left,
  missing: await codeOf(() => client.chat.completions.create({ ...asked, model: "nothing" })),
  wrong: await codeOf(() => client.chat.completions.create({ ...asked, max_tokens: 0 })),
  stranger: await codeOf(() => stranger.models.list()),
};
process.stdout.write(JSON.stringify(told));

// Asks the gateway all that the client can, and prints what it was told as JSON.
import OpenAI from "openai";

const model = process.argv[2];
const client = new OpenAI({ maxRetries: 0, timeout: 90_000 });
const messages = [{ role: "user", content: "Hello" }];

const whole = await client.chat.completions.create({ model, messages, max_tokens: 50 });
let streamed = "";
const stream = await client.chat.completions.create({ model, messages, max_tokens: 50, stream: true });
for await (const event of stream) streamed += event.choices[0].delta.content ?? "";
const models = [];
for await (const one of await client.models.list()) models.push(one.id);
let refused = "";
try {
  await client.chat.completions.create({ model: "nothing", messages });
} catch (error) {
  refused = error.code;
}
const told = {
  whole: whole.choices[0].message.content,
  streamed,
  usage: whole.usage.total_tokens,
  models,
  refused,
};
process.stdout.write(JSON.stringify(told));

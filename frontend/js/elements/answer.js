/* <ui-answer>: one answer as it comes, with its tokens and what it cost. */
import { define, make } from "../dom.js";

const money = (amount, currency) => new Intl.NumberFormat(document.documentElement.lang, { style: "currency", currency, minimumFractionDigits: 2, maximumFractionDigits: 6 }).format(amount);

define("ui-answer", class extends HTMLElement {
  text = "";

  async ask(chat, asked) {
    this.chat = chat;
    this.className = "chat-a";
    this.dataset.busy = "";
    this.body = make("div", "chat-text");
    this.foot = make("p", "chat-foot mono");
    this.append(make("h3", "chat-who", asked.model), this.body, this.foot);
    this.body.setAttribute("aria-live", "polite");
    this.abort = new AbortController();
    this.began = performance.now();
    try {
      const headers = { "Content-Type": "application/json", "X-CSRFToken": chat.getAttribute("csrf") };
      const answer = await fetch(chat.getAttribute("url"), { method: "POST", headers, body: JSON.stringify(asked), signal: this.abort.signal });
      if (!answer.ok) this.refuse((await answer.json().catch(() => ({}))).error?.message);
      else await this.read(answer.body.getReader());
    } catch (error) {
      if (error.name === "AbortError") this.note(chat.dataset.stopped);
      else this.refuse();
    } finally {
      delete this.dataset.busy;
      this.account(asked.model);
      chat.mark();
    }
  }

  stop() { this.abort.abort(); }

  async read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (let part; !(part = await reader.read()).done;) {
      const events = (rest + decoder.decode(part.value, { stream: true })).split("\n\n");
      rest = events.pop();
      for (const event of events) this.take(event);
    }
  }

  take(event) {
    const data = event.split("\n").find(line => line.startsWith("data: "))?.slice(6);
    if (!data || data === "[DONE]") return;
    const said = JSON.parse(data);
    if (event.startsWith("event: refused") || said.error) return this.refuse(said.message ?? said.error.message);
    this.usage = said.usage ?? this.usage;
    const piece = said.choices?.[0]?.delta?.content;
    if (!piece) return;
    this.first ??= performance.now();
    this.text += piece;
    const thread = this.closest("[data-thread]");
    const follows = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80;
    this.body.textContent = this.text;
    if (follows) thread.scrollTop = thread.scrollHeight;
  }

  refuse(message) {
    this.body.append(make("p", "chat-bad", message || this.chat.dataset.failed));
    this.body.lastChild.setAttribute("role", "alert");
  }

  note(text) { this.append(make("p", "chat-foot", text)); }

  /* Input and output of this answer, by the prices of the page. */
  account(model) {
    const usage = this.usage;
    const price = JSON.parse(this.chat.querySelector("#playground-models").textContent).find(one => one.slug === model) ?? {};
    const parts = [];
    if (usage) parts.push(this.chat.dataset.tokens.replace("%(n)s", usage.prompt_tokens).replace("%(m)s", usage.completion_tokens));
    if (usage && price.input) parts.push(money((usage.prompt_tokens * price.input + usage.completion_tokens * price.output) / 1e6, price.currency));
    if (this.first) parts.push(this.chat.dataset.first.replace("%(n)s", Math.round(this.first - this.began)));
    this.foot.textContent = parts.join(" · ");
  }
});

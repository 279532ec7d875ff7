/* <ui-answer>: one answer as it comes, with its tokens and what it cost. */
import { define, make } from "../dom.js";

const money = (amount, currency) => new Intl.NumberFormat(document.documentElement.lang, { style: "currency", currency, minimumFractionDigits: 2, maximumFractionDigits: 6 }).format(amount);

const WITHOUT_MONEY = new Set(["payment_required", "insufficient_quota"]);

define("ui-answer", class extends HTMLElement {
  text = "";

  async ask(chat, asked) {
    this.chat = chat;
    this.className = "chat-a";
    this.dataset.busy = "";
    this.body = make("div", "chat-text");
    this.foot = make("p", "chat-foot mono");
    this.append(make("h2", "chat-who", asked.model), this.body, this.foot);
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
      if (this.receipt && !this.usage) this.settle(asked.model);
    }
  }

  /* Who stops an answer pays for what had come; how much that is stands in the books a moment later. */
  async settle(model) {
    for (let looks = 0; looks < 20 && !this.usage && this.isConnected; looks++) {
      await new Promise(done => setTimeout(done, 500));
      const found = await fetch(`${this.chat.getAttribute("usage")}?receipt=${this.receipt}`).catch(() => null);
      if (found?.ok) this.usage = (await found.json()).usage;
    }
    this.account(model);
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
    if (event.startsWith("event: receipt")) return void (this.receipt = said.id);
    if (event.startsWith("event: refused") || said.error) return this.refuse(said.message ?? said.error.message, said.code ?? said.error?.code);
    this.usage = said.usage ?? this.usage;
    const piece = said.choices?.[0]?.delta?.content;
    if (!piece) return;
    this.first ??= performance.now();
    this.text += piece;
    this.grow(() => { this.body.textContent = this.text; });
  }

  /* Who reads the end of the talk goes on reading there. */
  grow(change) {
    const thread = this.closest("[data-thread]");
    const follows = thread && thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80;
    change();
    if (follows) thread.scrollTop = thread.scrollHeight;
  }

  refuse(message, code) {
    const said = make("p", "chat-bad", message || this.chat.dataset.failed);
    said.setAttribute("role", "alert");
    if (WITHOUT_MONEY.has(code) && this.chat.dataset.topUp) {
      const way = make("a", "underline", this.chat.dataset.add);
      way.href = this.chat.dataset.topUp;
      said.append(" ", way);
    }
    this.grow(() => this.body.append(said));
  }

  note(text) { this.grow(() => this.append(make("p", "chat-foot", text))); }

  /* Input and output of this answer, by the prices of the page. */
  account(model) {
    const usage = this.usage;
    const price = JSON.parse(this.chat.querySelector("#playground-models").textContent).find(one => one.slug === model) ?? {};
    const parts = [];
    if (usage) parts.push(this.chat.dataset.tokens.replace("%(n)s", usage.prompt_tokens).replace("%(m)s", usage.completion_tokens));
    if (usage && price.input) {
      const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
      const cost = (usage.prompt_tokens - cached) * price.input + cached * price.cached + usage.completion_tokens * price.output;
      parts.push(money(cost / 1e6, price.currency));
    } else if (usage) parts.push(this.chat.dataset.hourly);
    if (this.first) parts.push(this.chat.dataset.first.replace("%(n)s", Math.round(this.first - this.began)));
    this.grow(() => { this.foot.textContent = parts.join(" · "); });
  }
});

/* <ui-chat>: one talk with one or two models; it lives in the page only. Strings and addresses come from the markup. */
import { $, $$, define, make } from "../dom.js";
import { snippets } from "../snippets.js";

define("ui-chat", class extends HTMLElement {
  connectedCallback() {
    this.thread = $("[data-thread]", this);
    this.prompt = $("textarea[name=prompt]", this);
    this.turns = [];
    this.onclick = event => this[event.target.closest("button[type=button][data-do]")?.dataset.do]?.();
    $("form", this).onsubmit = event => (event.preventDefault(), this.send());
    this.oninput = () => this.code();
    this.keys = event => this.key(event);
    addEventListener("keydown", this.keys);
    this.mark();
  }

  disconnectedCallback() { (removeEventListener("keydown", this.keys), this.stop()); }

  key(event) {
    const meta = event.ctrlKey || event.metaKey;
    const does = meta && event.key === "Enter" ? "send" : event.key === "Escape" && this.running ? "stop" : meta && event.shiftKey && event.key.toLowerCase() === "o" ? "fresh" : "";
    if (does) (event.preventDefault(), this[does]());
  }

  get running() { return $$("ui-answer[data-busy]", this).length > 0; }
  get models() { return [...new Set($$("select[name^=model]", this).map(one => one.value).filter(Boolean))]; }
  get chosen() {
    const given = name => $(`[name=${name}]`, this).value;
    const numbers = ["temperature", "top_p", "max_tokens"].filter(given).map(name => [name, Number(given(name))]);
    return Object.fromEntries(numbers);
  }

  /* What a model is told: the system prompt, what was said before, and its own answers. */
  messages(model, upto = this.turns.length) {
    const system = $("[name=system]", this).value.trim();
    const said = this.turns.slice(0, upto).flatMap(turn => [{ role: "user", content: turn.text }, ...(turn.answers.get(model)?.text ? [{ role: "assistant", content: turn.answers.get(model).text }] : [])]);
    return [...(system ? [{ role: "system", content: system }] : []), ...said];
  }

  send() {
    const text = this.prompt.value.trim();
    if (!text || this.running || !this.models.length || !$$("input", this).every(one => one.reportValidity())) return;
    this.prompt.value = "";
    const turn = { text, answers: new Map(), node: make("section", "chat-turn") };
    turn.node.append(make("p", "chat-q", text));
    this.turns.push(turn);
    this.thread.append(turn.node);
    this.ask(turn);
  }

  ask(turn) {
    const row = make("div", "chat-row");
    for (const model of this.models) {
      const answer = document.createElement("ui-answer");
      turn.answers.delete(model);
      const messages = this.messages(model, this.turns.indexOf(turn) + 1);
      turn.answers.set(model, answer);
      row.append(answer);
      answer.ask(this, { model, messages, ...this.chosen });
    }
    $(".chat-row", turn.node)?.remove();
    turn.node.append(row);
    this.thread.scrollTop = this.thread.scrollHeight;
    this.mark();
  }

  stop() { for (const one of $$("ui-answer[data-busy]", this)) one.stop(); }
  again() { if (!this.running && this.turns.length) this.ask(this.turns.at(-1)); }

  edit() {
    const turn = this.running ? null : this.turns.pop();
    if (!turn) return;
    turn.node.remove();
    this.prompt.value = turn.text;
    this.prompt.focus();
    this.mark();
  }

  fresh() {
    this.stop();
    this.turns = [];
    this.thread.replaceChildren();
    this.prompt.focus();
    this.mark();
  }

  mark() {
    const idle = !this.running;
    for (const [name, can] of [["stop", !idle], ["again", idle && this.turns.length], ["edit", idle && this.turns.length], ["send", idle]]) for (const button of $$(`[data-do=${name}]`, this)) button.disabled = !can;
    $("[data-empty]", this).hidden = this.turns.length > 0;
    this.code();
  }

  /* The question that is being written, else the last one that was asked. */
  code() {
    const model = this.models[0] ?? "", draft = this.prompt.value.trim(), said = this.messages(model);
    const messages = draft ? [...said, { role: "user", content: draft }] : said.slice(0, said.findLastIndex(one => one.role === "user") + 1);
    const asked = { model, messages, ...this.chosen };
    for (const [name, text] of Object.entries(snippets(this.getAttribute("base"), asked))) $(`[data-code=${name}]`, this).textContent = text;
  }
});

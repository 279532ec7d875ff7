/* Toasts: only for results of background or bulk work. Errors stay until they are closed. */
import { $, $$, define, make, say } from "../dom.js";

export function toast(message, kind = "ok") {
  const box = $("ui-toaster");
  if (!box || !message) return;
  const card = make("div", "toast");
  const mark = make("span", `st st-${kind}`);
  mark.append(make("i"));
  const close = make("button", "", "×");
  close.type = "button";
  close.setAttribute("aria-label", say("saysClose"));
  card.append(mark, make("span", "", message), close);
  box.append(card);
  arm(card, kind);
}

function arm(card, kind) {
  $("button", card)?.addEventListener("click", () => card.remove());
  if (kind !== "bad") setTimeout(() => card.remove(), 8000);
}

define("ui-toaster", class extends HTMLElement {
  connectedCallback() {
    $$(".toast", this).forEach(card => arm(card, card.dataset.kind));
  }
});
document.addEventListener("toast", event => toast(event.detail.message ?? event.detail.value, event.detail.kind));

/* <ui-log>: stays at its end while new lines come, unless somebody reads further up. With a `src` it asks there every
   other second for all that is to be seen, and changes only what is new, so that a selection stays. */
import { define } from "../dom.js";

define("ui-log", class extends HTMLElement {
  connectedCallback() {
    this.scrollTop = this.scrollHeight;
    this.watch = new MutationObserver(() => this.matches(":hover,:focus-within") || (this.scrollTop = this.scrollHeight));
    this.watch.observe(this, { childList: true, subtree: true });
    if (this.hasAttribute("src")) this.timer = setInterval(() => document.hidden || this.ask(), 2000);
  }

  disconnectedCallback() {
    this.watch?.disconnect();
    clearInterval(this.timer);
  }

  async ask() {
    const answer = await fetch(this.getAttribute("src")).catch(() => null);
    if (answer?.ok && !answer.redirected) this.show(await answer.text());
    else if (answer) clearInterval(this.timer); // signed out, or there is no such engine any more
  }

  show(text) {
    const before = this.textContent;
    if (before && text.startsWith(before)) text.length > before.length && this.append(text.slice(before.length));
    else if (text !== before) this.textContent = text;
  }
});

/* <ui-log>: stays at its end while new lines come, unless somebody reads further up. */
import { define } from "../dom.js";

define("ui-log", class extends HTMLElement {
  connectedCallback() {
    this.scrollTop = this.scrollHeight;
    this.watch = new MutationObserver(() => this.matches(":hover,:focus-within") || (this.scrollTop = this.scrollHeight));
    this.watch.observe(this, { childList: true, subtree: true });
  }

  disconnectedCallback() {
    this.watch?.disconnect();
  }
});

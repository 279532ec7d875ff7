/* <ui-elapsed seconds="12">: a clock that counts up from there. */
import { define } from "../dom.js";

define("ui-elapsed", class extends HTMLElement {
  connectedCallback() {
    const start = Date.now() - 1000 * Number(this.getAttribute("seconds"));
    const tick = () => {
      const seconds = Math.max(0, Math.floor((Date.now() - start) / 1000));
      const clock = `${Math.floor(seconds / 60) % 60}`.padStart(seconds < 3600 ? 1 : 2, "0");
      this.textContent = `${seconds < 3600 ? "" : Math.floor(seconds / 3600) + ":"}${clock}:${String(seconds % 60).padStart(2, "0")}`;
    };
    tick();
    this.timer = setInterval(tick, 1000);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }
});

/* <ui-copy value="…"> or <ui-copy from="#id">: copies, and says so. */
import { $, define, make } from "../dom.js";

async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

define("ui-copy", class extends HTMLElement {
  connectedCallback() {
    this.onclick = async event => {
      const button = event.target.closest("button");
      if (!button) return;
      const from = this.getAttribute("from");
      const source = from === "tab" ? $("[role=tabpanel]:not([hidden])", this.closest("ui-tabs")) : from && $(from);
      await put(this.getAttribute("value") ?? source?.innerText ?? "");
      const before = (button.dataset.label ??= button.textContent);
      button.textContent = this.dataset.done ?? "Copied";
      setTimeout(() => (button.textContent = before), 1500);
    };
  }
});

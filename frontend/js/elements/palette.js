/* <ui-palette>: searched on the server within what one may see; the keyboard is here. */
import { $, $$, define } from "../dom.js";

define("ui-palette", class extends HTMLElement {
  connectedCallback() {
    this.dialog = $("dialog", this);
    this.input = $("input", this.dialog);
    this.list = $("[role=listbox]", this.dialog);
    this.at = 0;
    this.answered = ""; // the text that the list shown answers
    this.keys = event => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        this.open();
      }
    };
    this.clicks = event => {
      if (event.target.closest("[data-palette]")) this.open();
      if (event.target === this.dialog) this.dialog.close();
    };
    document.addEventListener("keydown", this.keys);
    document.addEventListener("click", this.clicks);
    this.input.addEventListener("htmx:beforeRequest", () => { this.asked = this.input.value; });
    this.list.addEventListener("htmx:afterSwap", () => this.show());
    this.input.addEventListener("keydown", event => this.move(event));
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.keys);
    document.removeEventListener("click", this.clicks);
  }

  open() {
    if (this.dialog.open) return;
    this.dialog.showModal();
    this.input.value = "";
    this.awaited = false;
    htmx.trigger(this.input, "search-now");
    this.input.focus();
  }

  show() {
    this.answered = this.asked;
    this.mark(0);
    if (this.awaited) this.go();
  }

  /* Enter means the first answer to what was typed, also when it is pressed before the answer comes. */
  go() {
    this.awaited = this.input.value !== this.answered;
    if (!this.awaited) $$("[role=option]", this.list)[this.at]?.click();
  }

  mark(at) {
    const options = $$("[role=option]", this.list);
    this.at = options.length ? (at + options.length) % options.length : 0;
    this.input.removeAttribute("aria-activedescendant");
    options.forEach((option, index) => {
      option.setAttribute("aria-selected", index === this.at);
      if (index !== this.at) return;
      this.input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    });
  }

  move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.mark(this.at + step);
    }
    if (event.key === "Enter") {
      event.preventDefault();
      this.go();
    }
  }
});

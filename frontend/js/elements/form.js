/* Forms: a second click is not a second request, the error summary takes the focus, unsaved work is guarded. */
import { $, define } from "../dom.js";

define("ui-form", class extends HTMLElement {
  connectedCallback() {
    $(".errors", this)?.focus();
    const form = $("form", this);
    if (!form) return;
    let dirty = false;
    form.addEventListener("input", () => (dirty = true));
    this.leave = event => dirty && !form.dataset.sent && event.preventDefault();
    if (this.hasAttribute("guard")) addEventListener("beforeunload", this.leave);
  }

  disconnectedCallback() {
    removeEventListener("beforeunload", this.leave);
  }
});

document.addEventListener("submit", event => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(form => delete form.dataset.sent));

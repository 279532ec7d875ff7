/* Forms: a second click is not a second request, the error summary takes the focus, unsaved work is guarded, and what
   was sent when the session had ended is there again after the sign-in. */
import { $, define } from "../dom.js";

const DRAFT = "draft"; // what the last guarded form said, for as long as this tab lives
const kept = form => [...form.elements].filter(one => one.name && !one.matches("button, [type=hidden], [type=password], [autocomplete=off]"));
const ticked = field => field.matches("[type=checkbox], [type=radio]");

define("ui-form", class extends HTMLElement {
  connectedCallback() {
    $(".errors", this)?.focus();
    const form = $("form", this);
    if (!form) return;
    let dirty = restore(form);
    form.addEventListener("input", () => (dirty = true));
    this.leave = event => dirty && !form.dataset.sent && event.preventDefault();
    if (this.hasAttribute("guard")) addEventListener("beforeunload", this.leave);
  }

  disconnectedCallback() {
    removeEventListener("beforeunload", this.leave);
  }
});

function keep(form) {
  const said = kept(form).filter(one => !ticked(one) || one.checked).map(one => [one.name, one.value]);
  sessionStorage.setItem(DRAFT, JSON.stringify({ path: location.pathname, said }));
}

function restore(form) {
  const { path, said } = JSON.parse(sessionStorage.getItem(DRAFT) || "{}");
  sessionStorage.removeItem(DRAFT);
  if (path !== location.pathname || !document.referrer.startsWith(`${location.origin}/accounts/`)) return false;
  for (const field of kept(form)) {
    const values = said.filter(([name]) => name === field.name).map(([, value]) => value);
    if (ticked(field)) field.checked = values.includes(field.value);
    else if (values.length) field.value = values[0];
  }
  return true;
}

/* A short name is proposed from the name, until somebody writes one. */
document.addEventListener("input", ({ target }) => {
  if (target.dataset.from) target.dataset.own = target.value;
  const made = target.name && target.form && $(`[data-from="${target.name}"]`, target.form);
  if (made && !made.dataset.own) made.value = target.value.normalize("NFKD").toLowerCase().replace(/[\u0300-\u036f]/g, "").replace(/[^a-z0-9.]+/g, "-").slice(0, made.maxLength).replace(/^[-.]+|[-.]+$/g, "");
});

document.addEventListener("submit", event => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
  if (form.closest("ui-form[guard]")) keep(form);
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(form => delete form.dataset.sent));

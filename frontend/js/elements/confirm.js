/* Dangerous buttons ask first, naming the object and the consequence. Without JavaScript the server asks on a page of its own;
   it also checks what was typed, so this dialog is a comfort, not the lock. */
import { $, $$ } from "../dom.js";

function fill(dialog, button) {
  const chosen = $$("[data-row]:checked", button.form).length;
  $("h2", dialog).textContent = button.dataset.title || button.textContent.trim();
  $("p", dialog).textContent = button.dataset.confirm.replace("{n}", chosen);
  $("[data-yes]", dialog).textContent = button.dataset.yes || button.textContent.trim();
  const typed = $("input", dialog), field = $(".field", dialog);
  typed.value = "";
  field.hidden = !button.dataset.type;
  $("[data-name]", dialog).textContent = button.dataset.type ?? "";
  const check = () => ($("[data-yes]", dialog).disabled = Boolean(button.dataset.type) && typed.value !== button.dataset.type);
  typed.oninput = check;
  check();
}

function answer(form, name, value) {
  let field = form.elements.namedItem(name);
  if (!field || field instanceof RadioNodeList) {
    field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    form.append(field);
  }
  field.value = value;
}

document.addEventListener("submit", event => {
  const button = event.submitter, dialog = $("#ask");
  if (!button?.dataset.confirm || !dialog || button.dataset.sure) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  fill(dialog, button);
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return button.focus();
    const live = button.isConnected ? button : $(`button[name="do"][value="${CSS.escape(button.value)}"]`);
    if (!live) return;
    answer(live.form, "confirmed", "1");
    answer(live.form, "typed", $("input", dialog).value);
    live.dataset.sure = "1";
    live.form.requestSubmit(live);
    delete live.dataset.sure;
  };
  dialog.showModal();
}, true);

/* What belongs to the page as a whole: theme, drawer, slash key, a word when a request fails. */
import { $, say } from "./dom.js";
import { inUse } from "./elements/events.js";
import { toast } from "./elements/toaster.js";

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.cookie = `theme=${theme};path=/;max-age=31536000;samesite=lax`;
  dispatchEvent(new Event("themechange"));
}

/* The drawer is the side navigation once more, made when somebody first opens it; ids are its own. */
function openDrawer() {
  const drawer = $("#drawer"), side = $(".side-wrap");
  if (!drawer || !side) return;
  if (!drawer.firstChild) drawer.innerHTML = side.innerHTML.replaceAll('="the-', '="drawer-');
  drawer.showModal();
}

document.addEventListener("click", event => {
  const theme = event.target.closest("[data-set-theme]");
  if (theme) setTheme(theme.dataset.setTheme);
  if (event.target.closest("[data-drawer]")) openDrawer();
  if (event.target.matches("dialog.drawer")) event.target.close();
});

document.addEventListener("keydown", event => {
  if (event.key !== "/" || event.target.closest("input,textarea,select,[contenteditable],ui-terminal")) return;
  const filter = $("[data-filter]");
  if (filter) {
    event.preventDefault();
    filter.focus();
  }
});

document.addEventListener("htmx:responseError", () => toast(say("saysRefused"), "bad"));
document.addEventListener("htmx:sendError", () => toast(say("saysOffline"), "warn"));
/* While a button is being pressed nothing is swapped: the click would be lost with it. */
let pressed = false;
let missed = false; // what was held back meanwhile is asked for again
const release = () => {
  pressed = false;
  if (missed) document.querySelectorAll("ui-events").forEach(one => one.refresh(""));
  missed = false;
};
const hold = () => pressed && (missed = true);
document.addEventListener("pointerdown", event => (pressed = Boolean(event.target.closest("button"))));
for (const over of ["click", "pointercancel"]) document.addEventListener(over, release, true);
/* An answer to a form in which somebody has written on comes too late; it is asked for again when the field is left. */
const current = new WeakSet(), owed = new WeakSet();
const overtaken = form => form?.matches("form[hx-get]") && !current.has(form) && owed.add(form);
document.addEventListener("input", ({ target }) => current.delete(target.form));
document.addEventListener("focusout", ({ target }) => owed.delete(target.form) && target.form.dispatchEvent(new Event("change")));
document.addEventListener("htmx:beforeRequest", event => {
  if (hold()) return event.preventDefault();
  current.add(event.detail.elt);
});
/* What the live stream asked for may come when somebody has begun to use that part: it is asked for again later. */
const tooLate = ({ requestConfig, target }) => {
  if (requestConfig?.triggeringEvent?.type !== "live" || !inUse(target)) return false;
  target.closest("ui-events")?.refresh("");
  return true;
};
/* A 422 carries the form with its errors: show it. */
document.addEventListener("htmx:beforeSwap", event => {
  if (hold() || tooLate(event.detail) || overtaken(event.detail.requestConfig?.elt)) event.detail.shouldSwap = false;
  else if (event.detail.xhr.status === 422) event.detail.shouldSwap = !(event.detail.isError = false);
});

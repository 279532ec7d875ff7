/* <ui-select-rows>: checkboxes, the bulk bar, and the keys j k x Enter on a table. */
import { $, $$, define } from "../dom.js";

define("ui-select-rows", class extends HTMLElement {
  connectedCallback() {
    this.onchange = event => this.count(event.target);
    // The keys work from anywhere on the page that has no use of its own for them.
    this.heard = event => (event.target === document.body || this.contains(event.target)) && this.key(event);
    document.addEventListener("keydown", this.heard);
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.heard);
  }

  count(changed) {
    const all = $("[data-all]", this), rows = $$("[data-row]", this), bar = $(".bulk", this);
    if (changed === all) rows.forEach(row => (row.checked = all.checked));
    const chosen = rows.filter(row => row.checked).length;
    if (all) {
      all.checked = chosen > 0 && chosen === rows.length;
      all.indeterminate = chosen > 0 && chosen < rows.length;
    }
    if (bar) {
      bar.hidden = !chosen;
      $("[data-n]", bar).textContent = chosen;
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=search],textarea,select")) return;
    const row = event.target.closest("tbody tr");
    if (event.key === "j" || event.key === "k") {
      const next = row ? row[event.key === "j" ? "nextElementSibling" : "previousElementSibling"] : $("tbody tr", this);
      $("a", next ?? row)?.focus();
      event.preventDefault();
    }
    if (event.key === "x" && row) $("[data-row]", row)?.click();
    if (event.key === "Enter" && row && event.target.matches("[data-row]")) {
      event.preventDefault();
      $("a", row)?.click();
    }
  }
});

/* <ui-map-mode for="map">: colours the heat map by use or by temperature; each mode shows its own legend. */
import { $$, define } from "../dom.js";

define("ui-map-mode", class extends HTMLElement {
  connectedCallback() {
    this.onchange = event => {
      const mode = event.target.value;
      const map = document.getElementById(this.getAttribute("for"));
      map.className = `map-${mode}`;
      $$("[data-heat]", map).forEach(cell => {
        const level = cell.getAttribute(`data-${mode}`);
        cell.className = level === null || level === "" ? "" : `h${level}`;
      });
      $$("[data-mode]", map.parentElement).forEach(part => (part.hidden = part.dataset.mode !== mode));
    };
  }
});

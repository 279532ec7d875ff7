/* <ui-tabs>: tabs whose panels are all in the page; arrow keys move. */
import { $$, define } from "../dom.js";

define("ui-tabs", class extends HTMLElement {
  connectedCallback() {
    const tabs = $$("[role=tab]", this);
    const choose = tab => tabs.forEach(one => {
      const on = one === tab;
      one.setAttribute("aria-selected", on);
      one.tabIndex = on ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = !on;
    });
    tabs.forEach((tab, index) => {
      tab.onclick = () => choose(tab);
      tab.onkeydown = event => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = tabs[(index + step + tabs.length) % tabs.length];
        next.focus();
        choose(next);
      };
    });
  }
});

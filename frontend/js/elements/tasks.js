/* <ui-tasks src>: the tray of long work in the top bar. It asks anew when the page's stream tells of operations, when it
   is opened, and every five seconds while something is under way. What ends and was asked for by this person is said
   on whatever page they are by then. */
import { $, $$, define } from "../dom.js";
import { toast } from "./toaster.js";

const PAUSE = 5000;
const MEMORY = "tasks"; // the ids of what was under way, across pages of this tab

define("ui-tasks", class extends HTMLElement {
  connectedCallback() {
    this.tray = $("[popover]", this);
    this.news = event => event.detail.type.startsWith("operation.") && this.ask(200);
    this.seen = () => !document.hidden && this.ask(0);
    document.addEventListener("changed", this.news);
    document.addEventListener("visibilitychange", this.seen);
    this.tray.addEventListener("beforetoggle", event => event.newState === "open" && this.ask(0));
    this.ask(300);
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    document.removeEventListener("changed", this.news);
    document.removeEventListener("visibilitychange", this.seen);
  }

  ask(after) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), after);
  }

  async load() {
    if (document.hidden) return;
    const answer = await fetch(this.getAttribute("src")).catch(() => null);
    if (!answer?.ok || !this.isConnected) return;
    const text = await answer.text().catch(() => null);
    if (text !== null) this.show(text);
  }

  show(text) {
    if (!$("a:focus", this.tray)) this.tray.innerHTML = text;
    const found = document.createElement("template");
    found.innerHTML = text;
    const open = $$("[data-open]", found.content);
    $("[data-n]", this).textContent = open.length || "";
    this.toggleAttribute("data-busy", open.length > 0);
    this.tell($$("[data-task]", found.content));
    if (open.length) this.ask(PAUSE);
  }

  tell(tasks) {
    const before = new Set((sessionStorage.getItem(MEMORY) ?? "").split(" "));
    const ended = tasks.filter(one => !("open" in one.dataset) && before.has(one.dataset.task) && one.dataset.mine);
    ended.filter(one => one.href !== location.href).forEach(one => toast(one.dataset.mine, one.dataset.look));
    const open = tasks.filter(one => "open" in one.dataset).map(one => one.dataset.task);
    sessionStorage.setItem(MEMORY, open.join(" "));
  }
});

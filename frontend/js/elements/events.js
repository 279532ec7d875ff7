/* <ui-events src>: one stream per page, from the position at which the page was written. Closed while the tab is hidden
   (HTTP/1.1 allows six per host), resumed after the last id with jittered back-off; after three failures it asks every ten
   seconds instead.
   A region says what it wants to hear: <div data-live="instance. operation." hx-get hx-trigger="live">; it fetches itself anew. */
import { $, $$, define } from "../dom.js";

const TOO_LONG = 60_000; // after that to fetch the parts anew is less than to hear all that happened

/* Nothing is swapped under somebody's hands: an open menu or question, a selection, a field being filled in. */
export const inUse = region => Boolean($("#ask")?.open
  || $("[data-row]:checked, :popover-open, input:focus, select:focus, textarea:focus", region));

define("ui-events", class extends HTMLElement {
  connectedCallback() {
    this.failures = 0;
    this.last = new URL(this.getAttribute("src"), location).searchParams.get("after");
    this.seen = () => (document.hidden ? this.stop("paused") : this.start());
    document.addEventListener("visibilitychange", this.seen);
    if (!document.hidden) this.start();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.seen);
    this.stop("off");
  }

  stop(state) {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.stoppedAt = Date.now();
    this.dataset.state = state;
  }

  start() {
    if (this.source) return;
    if (this.stoppedAt && Date.now() - this.stoppedAt > TOO_LONG) this.last = null;
    this.isResumed = Boolean(this.last);
    const address = new URL(this.getAttribute("src"), location);
    address.searchParams.set("after", this.last ?? "");
    const source = (this.source = new EventSource(address));
    source.addEventListener("hello", event => this.hello(event));
    source.addEventListener("changed", event => this.changed(event));
    source.onerror = () => this.lost();
  }

  hello(event) {
    this.last = event.lastEventId || this.last;
    if (!this.isResumed) this.refresh(""); // what happened while nobody listened was told to nobody
    this.failures = 0;
    this.dataset.state = "live";
  }

  changed(event) {
    this.last = event.lastEventId || this.last;
    const news = JSON.parse(event.data);
    this.refresh(news.type);
    this.dispatchEvent(new CustomEvent("changed", { detail: news, bubbles: true }));
  }

  lost() {
    this.stop("retry");
    if (document.hidden) return;
    this.failures += 1;
    if (this.failures > 3) this.refresh("");
    const wait = this.failures > 3 ? 10000 : 500 * 2 ** this.failures;
    this.timer = setTimeout(() => this.start(), wait * (0.7 + Math.random() * 0.6));
  }

  refresh(type) {
    $$("[data-live]", this).forEach(region => {
      const wanted = region.dataset.live.split(" ");
      if (type && !wanted.some(prefix => type.startsWith(prefix))) return;
      clearTimeout(region.liveTimer);
      region.liveTimer = setTimeout(() => this.fetch(region), 120);
    });
  }

  fetch(region) {
    if (!region.isConnected) return this.refresh(""); // another answer took its place, perhaps an older one
    if (inUse(region)) region.liveTimer = setTimeout(() => this.fetch(region), 1000);
    else htmx.trigger(region, "live");
  }
});

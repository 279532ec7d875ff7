/* <ui-terminal ticket="…" socket="…">: asks for a one-time ticket, opens the socket with it, shows what comes. */
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";

const SUBPROTOCOL = "hostedai.terminal.v1";
const PAINT = { background: "#0f1218", foreground: "#d5dae3", cursor: "#9db7ff", selectionBackground: "#2b3a63" };

class UiTerminal extends HTMLElement {
  connectedCallback() {
    this.term = new Terminal({ fontFamily: '"Geist Mono", ui-monospace, monospace', fontSize: 13, lineHeight: 1.3, cursorBlink: true, screenReaderMode: true, theme: PAINT, scrollback: 5000 });
    this.fit = new FitAddon();
    this.term.loadAddon(this.fit);
    this.term.onData(data => this.send({ type: "input", data }));
    this.term.onResize(({ cols, rows }) => this.send({ type: "resize", cols, rows }));
    this.term.attachCustomKeyEventHandler(event => !(event.ctrlKey && event.shiftKey && event.key === "Escape" && this.leave()));
    document.fonts.load('13px "Geist Mono"').finally(() => {
      this.term.open(this);
      this.fit.fit();
      this.size = new ResizeObserver(() => this.fit.fit());
      this.size.observe(this);
      this.open();
    });
    document.querySelector("[data-again]")?.addEventListener("click", () => this.open());
  }

  disconnectedCallback() {
    this.size?.disconnect();
    this.socket?.close();
    this.term?.dispose();
  }

  leave() {
    document.querySelector("[data-again]")?.focus();
    return true;
  }

  state(name, text) {
    this.dataset.state = name;
    const place = document.querySelector("[data-terminal-state]");
    if (!place) return;
    place.replaceChildren();
    const mark = document.createElement("span");
    mark.className = `st st-${{ open: "ok", connecting: "info", closed: "off", failed: "bad" }[name]}`;
    mark.append(document.createElement("i"), text || place.dataset[name] || "");
    place.append(mark);
    const again = document.querySelector("[data-again]");
    if (again) again.hidden = name === "open" || name === "connecting";
  }

  async open() {
    if (this.socket && this.socket.readyState < 2) return;
    this.state("connecting");
    const answer = await fetch(this.getAttribute("ticket"), { method: "POST", headers: { "X-CSRFToken": this.getAttribute("csrf"), Accept: "application/json" } }).catch(() => null);
    const body = await answer?.json().catch(() => null);
    if (!answer?.ok || !body?.ticket) return this.state("failed", body?.detail);
    const address = new URL(this.getAttribute("socket"), location);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.socket = new WebSocket(address, [SUBPROTOCOL, body.ticket]));
    socket.binaryType = "arraybuffer";
    socket.onmessage = event => this.receive(event.data);
    socket.onclose = event => this.state(event.code === 1000 ? "closed" : "failed", event.reason);
  }

  receive(data) {
    if (data instanceof ArrayBuffer) return this.term.write(new Uint8Array(data));
    const news = JSON.parse(data);
    if (news.type !== "ready") return;
    this.state("open");
    this.send({ type: "resize", cols: this.term.cols, rows: this.term.rows });
    this.term.focus();
  }

  send(message) {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(message));
  }
}
customElements.get("ui-terminal") || customElements.define("ui-terminal", UiTerminal);

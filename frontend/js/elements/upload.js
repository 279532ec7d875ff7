/* <ui-upload>: sends chosen files in parts, several at once; choosing the same files again goes on where it stopped. */
import { $, define, make } from "../dom.js";

const TRIES = 5;
const AT_ONCE = 3;

const size = bytes => bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 23 ? 1 : 0)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

define("ui-upload", class extends HTMLElement {
  connectedCallback() {
    this.input = $("input[type=file]", this);
    this.list = $("[data-files]", this);
    this.button = $("button", this);
    this.button.onclick = () => this.run().catch(error => this.told(error.message, true));
    this.leaving = event => this.busy && event.preventDefault();
    addEventListener("beforeunload", this.leaving);
  }

  disconnectedCallback() { removeEventListener("beforeunload", this.leaving); }

  told(text, bad) {
    const line = $("[role=status]", this);
    line.textContent = text;
    line.classList.toggle("text-bad", Boolean(bad));
  }

  async ask(method, path, body) {
    const headers = { "X-CSRFToken": this.getAttribute("csrf"), Accept: "application/json", "Content-Type": "application/json" };
    const address = new URL(this.getAttribute("api") + path, location);
    if (this.getAttribute("team")) address.searchParams.set("team", this.getAttribute("team"));
    const answer = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
    const said = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.errors?.[0]?.detail ?? said.detail ?? this.dataset.failed);
    return said;
  }

  async run() {
    const chosen = [...this.input.files];
    if (!chosen.length || this.busy) return;
    this.busy = this.button.disabled = true;
    this.list.replaceChildren();
    this.start = Date.now();
    this.whole = chosen.reduce((sum, one) => sum + one.size, 0);
    this.done = this.sent = 0; // what has arrived, and what of it just now
    try {
      const [version, files] = await this.begin(chosen);
      for (const file of files) await this.send(version, file, chosen.find(one => this.path(one) === file.path));
      this.told(this.dataset.verifying);
      await this.ask("POST", `/versions/${version.id}/complete`, {});
      this.busy = false; // leaving is meant
      location.assign(this.getAttribute("goal").replace("VERSION", version.id));
    } finally {
      this.busy = this.button.disabled = false;
    }
  }

  note(bytes) {
    this.done += bytes;
    this.sent += bytes;
    const rate = 1000 * this.sent / Math.max(Date.now() - this.start, 1);
    const words = { done: size(this.done), whole: size(this.whole), rate: size(rate), left: clock((this.whole - this.done) / rate) };
    this.told(this.dataset.sending.replace(/\{(\w+)\}/g, (_, word) => words[word]));
  }

  path(file) { return file.name; }

  async begin(chosen) {
    const wanted = chosen.map(one => `${this.path(one)} ${one.size}`).sort().join("\n");
    for (const version of (await this.ask("GET", "/versions?limit=20")).items.filter(one => one.state === "uploading" && one.origin === "upload")) {
      const files = (await this.ask("GET", `/versions/${version.id}/files?limit=500`)).items;
      if (files.map(one => `${one.path} ${one.size}`).sort().join("\n") === wanted) return [version, files];
    }
    const version = await this.ask("POST", "/versions", { files: chosen.map(one => ({ path: this.path(one), size: one.size })) });
    return [version, (await this.ask("GET", `/versions/${version.id}/files?limit=500`)).items];
  }

  async send(version, file, blob) {
    const here = `/versions/${version.id}/files/${file.id}`;
    const row = this.row(file.path);
    if (file.state === "stored" || file.state === "verified") {
      this.done += file.size;
      return void (row.value = 1);
    }
    const arrived = new Map((await this.ask("GET", `${here}/parts`)).parts.map(one => [one.number, one.size]));
    let sent = [...arrived.values()].reduce((sum, one) => sum + one, 0);
    this.done += sent;
    const missing = Array.from({ length: file.parts }, (_, at) => at + 1).filter(one => !arrived.has(one));
    const work = async () => {
      for (let number; (number = missing.shift());) {
        const piece = blob.slice((number - 1) * file.part_size, number * file.part_size);
        await this.put(here, version, file, number, piece);
        row.value = (sent += piece.size) / file.size;
        this.note(piece.size);
      }
    };
    row.value = sent / file.size;
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await this.ask("POST", `${here}/complete`, {});
  }

  async put(here, version, file, number, piece) {
    const direct = this.hasAttribute("direct");
    for (let attempt = 1; ; attempt++) {
      const address = direct ? (await this.ask("POST", `${here}/sign`, { numbers: [number] })).parts[0].url : this.getAttribute("through").replace("VERSION", version.id).replace("FILE", file.id).replace("/0", `/${number}`);
      const answer = await fetch(address, { method: direct ? "PUT" : "POST", headers: direct ? {} : { "X-CSRFToken": this.getAttribute("csrf"), "Content-Type": "application/octet-stream" }, body: piece }).catch(() => null);
      if (answer?.ok) return;
      if (attempt === TRIES) throw new Error(this.dataset.failed);
      await new Promise(done => setTimeout(done, 500 * 2 ** attempt));
    }
  }

  row(path) {
    const bar = make("progress", "upload-bar");
    bar.setAttribute("aria-label", path);
    const line = make("li");
    line.append(make("span", "mono", path), bar);
    this.list.append(line);
    return bar;
  }
});

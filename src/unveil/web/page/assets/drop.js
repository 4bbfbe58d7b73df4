// <unveil-drop>: where photographs come in. Sends them to the server and says `photo` with what the server answered, and all ids.
// photo="ID" shows one that the server has already; examples are offered until there is one. many="N": up to N together, which are listed
// with their state while batch="ID" works on them; what there is is remembered, and `resume` says it when the window is loaded again.

import { Built, duration, element, problem } from "./common.js";

const KINDS = "image/*,.tif,.tiff,.heic,.heif,.hif,.avif,.bmp,.webp";
const MEMORY = "unveil";
const EVERY = 500;
const ANSWER = 4000;
const AGAIN = 3;

class Drop extends HTMLElement {
  static observedAttributes = ["photo", "batch"];

  connectedCallback() {
    if (this.zone) return;
    this.most = Number(this.getAttribute("many") || 1);
    this.photos = [];
    this.input = element("input", { type: "file", accept: KINDS, className: "u-hidden-input", multiple: this.most > 1 });
    this.input.setAttribute("aria-label", this.most > 1 ? "Choose photographs" : "Choose a photograph");
    this.words = element("span", { className: "u-drop-words" });
    this.words.innerHTML =
      (this.most > 1
        ? "<b>Drop photographs here</b><span>one or many; or press to choose, or paste</span>"
        : "<b>Drop a photograph here</b><span>or press to choose one, or paste</span>") +
      `<small>JPEG, PNG, WebP, TIFF, AVIF, HEIC or BMP, up to ${this.getAttribute("most") || "64 MiB"}. ${this.most > 1 ? "They stay on this server and are" : "It stays on this server and is"} deleted.</small>`;
    this.zone = element("label", { className: "u-drop" }, [this.input, this.words]);
    this.examples = element("div", { className: "u-examples" });
    this.chosen = element("div", { className: "u-chosen", hidden: true });
    this.alert = element("p", { className: "u-alert", hidden: true });
    this.alert.setAttribute("role", "alert");
    this.bar = element("progress", { className: "u-bar", max: 1, value: 0, hidden: true });
    this.bar.setAttribute("aria-label", "Sending the photograph");
    this.list = element("div", { className: "u-several", hidden: true });
    this.replaceChildren(this.zone, this.chosen, this.list, this.bar, this.alert, this.examples);
    this.listen();
    this.offer();
    if (this.getAttribute("photo")) this.recall(this.getAttribute("photo"));
    else this.resume();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.zone || !after || after === before) return;
    if (name === "photo") this.recall(after);
    else this.work(after);
  }

  listen() {
    this.input.addEventListener("change", () => this.send([...this.input.files]));
    for (const kind of ["dragenter", "dragover"])
      this.addEventListener(kind, (event) => {
        event.preventDefault();
        this.zone.classList.add("u-over");
      });
    for (const kind of ["dragleave", "drop"])
      this.addEventListener(kind, (event) => {
        event.preventDefault();
        this.zone.classList.remove("u-over");
      });
    this.addEventListener("drop", (event) => this.send([...event.dataTransfer.files]));
    document.addEventListener("paste", (event) => {
      if (event.clipboardData && this.offsetParent !== null) this.send([...event.clipboardData.files]);
    });
  }

  async offer() {
    if (this.getAttribute("examples") === "no") return;
    const answer = await fetch("/page/examples");
    if (!answer.ok) return;
    const row = element("div", { className: "u-example-row" });
    for (const { name, title, thumbnail } of await answer.json()) {
      const picture = element("img", { src: thumbnail, alt: "", width: 96, height: 72 });
      const button = element("button", { type: "button", className: "u-example" }, [picture, element("span", { textContent: title })]);
      button.addEventListener("click", () => this.ask(() => fetch(`/page/examples/${name}`, { method: "POST" })));
      row.append(button);
    }
    this.examples.replaceChildren(element("p", { textContent: "No photograph at hand? Try one of these." }), row);
  }

  /** One after another, so that the server holds no more than one at a time. A single one takes the place of what there was. */
  async send(files) {
    if (!files.length || this.classList.contains("u-busy")) return;
    if (this.told && !this.told.final) return this.refuse("Wait until these are restored, or cancel them.");
    const together = this.list.hidden ? [] : this.photos.slice();
    const taken = files.slice(0, Math.max(0, this.most - together.length));
    const refused = [];
    if (taken.length < files.length && this.most > 1) refused.push(`${this.most} photographs at a time are taken; ${files.length - taken.length} were left out.`);
    this.busy(true);
    for (const [index, file] of taken.entries()) {
      this.bar.setAttribute("aria-label", taken.length > 1 ? `Sending photograph ${index + 1} of ${taken.length}` : "Sending the photograph");
      const answer = await this.post(file, (share) => (this.bar.value = (index + share) / taken.length));
      if (answer.photo) together.push(answer.photo);
      else refused.push(answer.refused);
    }
    this.busy(false);
    this.input.value = "";
    if (together.length) this.take(together);
    if (refused.length) this.refuse(refused.length > 3 ? `${refused.slice(0, 3).join(" ")} And ${refused.length - 3} more.` : refused.join(" "));
  }

  post(file, tell) {
    const form = new FormData();
    form.append("photo", file, file.name || "pasted.png");
    const request = new XMLHttpRequest();
    return new Promise((done) => {
      request.upload.addEventListener("progress", (event) => tell(event.loaded / event.total));
      request.addEventListener("load", () => {
        const said = parsed(request.responseText);
        done(request.status === 200 ? { photo: said } : { refused: said.detail || `The server answered ${request.status}.` });
      });
      request.addEventListener("error", () => done({ refused: "The photograph could not be sent: the server did not answer. Is it still running?" }));
      request.open("POST", "/page/photos");
      request.send(form);
    });
  }

  async ask(call) {
    this.busy(true);
    this.bar.removeAttribute("value");
    try {
      const answer = await call();
      if (answer.ok) this.take([await answer.json()]);
      else this.refuse(await problem(answer));
    } catch {
      this.refuse("The server did not answer. Is it still running?");
    } finally {
      this.busy(false);
    }
  }

  async recall(id) {
    const answer = await fetch(`/page/photos/${encodeURIComponent(id)}`);
    if (!answer.ok) return;
    this.photos = [await answer.json()];
    this.show(this.photos[0]);
    this.remember({ photos: [id], photo: id });
  }

  /** What this window had before it was loaded again. */
  async resume() {
    const kept = this.most > 1 && parsed(sessionStorage.getItem(MEMORY) || "{}");
    if (!kept || !kept.photos) return;
    const answers = await Promise.all(kept.photos.map((id) => fetch(`/page/photos/${encodeURIComponent(id)}`)));
    this.photos = await Promise.all(answers.filter((answer) => answer.ok).map((answer) => answer.json()));
    const shown = this.photos.find(({ id }) => id === kept.photo) || this.photos[0];
    if (!shown) return sessionStorage.removeItem(MEMORY);
    this.memory = kept;
    this.show(shown);
    const said = () => this.say("resume", { job: kept.job || null, batch: kept.batch || null });
    const around = this.closest("[data-heard]");
    if (around) said();
    else document.querySelector(`#${this.closest("[id^=drop-]").id}`).addEventListener("heard", said, { once: true, capture: true });
  }

  remember(more) {
    if (this.most < 2) return;
    this.memory = { ...this.memory, ...more };
    try {
      sessionStorage.setItem(MEMORY, JSON.stringify(this.memory));
    } catch {} // where the browser keeps nothing, a reload begins anew
  }

  /** Photographs that came just now. */
  take(photos) {
    clearInterval(this.timer);
    this.photos = photos;
    this.memory = {};
    this.batch = this.told = null;
    this.remember({ photos: photos.map(({ id }) => id), photo: photos[0].id });
    const focused = this.contains(document.activeElement);
    this.show(photos[0]);
    if (focused) (this.chosen.hidden ? this.queue : this.chosen).querySelector("button").focus({ preventScroll: true });
    this.say("photo");
  }

  say(what, more = {}) {
    const detail = { id: this.shown.id, ids: this.photos.map(({ id }) => id), batch: this.batch || null, job: null, ...more };
    clearTimeout(this.waiting);
    if (what !== "resume") this.insist(what, detail, AGAIN);
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }

  /** Gradio closes its stream when nothing is under way; an answer that comes due in that moment is lost. So where the stage stays as it
   * was, it is said again: the same words twice change nothing. */
  insist(what, detail, left) {
    const stage = document.querySelector(`#${this.closest("[id^=drop-]").id.replace("drop-", "stage-")}`);
    const before = stage && stage.innerHTML;
    this.waiting = setTimeout(() => {
      if (!stage || stage.innerHTML !== before) return;
      if (left > 1) this.insist(what, detail, left - 1);
      this.dispatchEvent(new CustomEvent(what, { detail }));
    }, ANSWER);
  }

  busy(yes) {
    this.bar.hidden = !yes;
    this.bar.value = 0;
    this.alert.hidden = true;
    this.classList.toggle("u-busy", yes);
  }

  refuse(words) {
    this.alert.textContent = words;
    this.alert.hidden = false;
    this.input.focus();
  }

  show(photo) {
    this.alert.hidden = true;
    this.shown = photo;
    this.zone.hidden = this.examples.hidden = true;
    const many = this.photos.length > 1;
    this.chosen.hidden = many;
    this.list.hidden = !many;
    if (many) return this.rows();
    const again = element("button", { type: "button", className: "u-button", textContent: "Choose another" });
    again.addEventListener("click", () => this.anew());
    const words = element("span", { className: "u-chosen-words" });
    words.append(element("b", { textContent: photo.name }), element("small", { textContent: `${photo.width} × ${photo.height} pixels, ${photo.format}` }));
    this.chosen.replaceChildren(element("img", { src: photo.thumbnail, alt: "", className: "u-chosen-image" }), words, again);
  }

  anew() {
    this.zone.hidden = this.examples.hidden = false;
    this.chosen.hidden = this.list.hidden = true;
    this.input.click();
  }

  /** The list of several photographs, each with its state. */
  rows() {
    const states = new Map((this.told ? this.told.entries : []).map((entry) => [entry.photo, entry]));
    const running = this.told && !this.told.final;
    if (!this.queue) {
      this.queue = element("ul", { className: "u-queue" });
      this.foot = element("div", { className: "u-queue-foot" });
      this.list.replaceChildren(this.queue, this.foot);
      this.items = new Map();
    }
    for (const photo of this.photos) {
      if (!this.items.has(photo.id)) this.items.set(photo.id, this.item(photo));
      const { pick, state, remove, row } = this.items.get(photo.id);
      const entry = states.get(photo.id);
      const said = entry ? word(entry) : `${photo.width} × ${photo.height}`;
      if (state.textContent !== said) state.textContent = said;
      row.dataset.state = entry ? entry.state : "new";
      pick.setAttribute("aria-pressed", String(photo.id === this.shown.id));
      remove.hidden = Boolean(running);
    }
    const rows = this.photos.map(({ id }) => this.items.get(id).row);
    if (rows.length !== this.queue.children.length || rows.some((row, i) => row !== this.queue.children[i])) this.queue.replaceChildren(...rows);
    this.summary(running);
  }

  item(photo) {
    const state = element("small", { className: "u-state" });
    const words = element("span", { className: "u-chosen-words" }, [element("b", { textContent: photo.name }), state]);
    const pick = element("button", { type: "button", className: "u-pick" }, [element("img", { src: photo.thumbnail, alt: "" }), words]);
    pick.addEventListener("click", () => {
      this.following = false;
      this.look(photo);
    });
    const remove = element("button", { type: "button", className: "u-button u-remove", textContent: "×", title: "Take it off the list" });
    remove.setAttribute("aria-label", `Take ${photo.name} off the list`);
    remove.addEventListener("click", () => this.leaveOut(photo));
    const row = element("li", {}, [pick, remove]);
    return { row, pick, state, remove };
  }

  summary(running) {
    const entries = this.told ? this.told.entries : [];
    const count = (...states) => entries.filter(({ state }) => states.includes(state)).length;
    let words = `${this.photos.length} photographs`;
    if (this.told) {
      words += `, ${count("done")} restored`;
      if (count("failed")) words += `, ${count("failed")} could not be`;
      if (count("cancelled")) words += `, ${count("cancelled")} cancelled`;
      const left = running && this.left(entries);
      if (left) words += `, about ${duration(left)} left`;
    }
    const mode = `${running}|${Boolean(this.told && this.told.zip)}|${count("done")}`;
    if (this.mode !== mode || !this.foot.firstChild) {
      this.mode = mode;
      this.total = element("span", { className: "u-queue-total" });
      this.total.setAttribute("role", "status");
      const parts = [this.total];
      if (running) parts.push(button("Cancel all", () => this.cancel()));
      else
        parts.push(
          button("Add more", () => this.input.click()),
          button("Choose others", () => this.anew()),
        );
      if (this.told && this.told.zip) {
        const all = element("a", { className: "u-button u-main", href: this.told.zip, download: "restored.zip", textContent: `Download ${count("done") === this.photos.length ? "all" : count("done")} (ZIP)` });
        parts.push(all);
      }
      const focused = this.foot.contains(document.activeElement) && document.activeElement.textContent;
      this.foot.replaceChildren(...parts);
      const same = focused && parts.find((part) => part.textContent === focused);
      if (same) same.focus();
    }
    if (this.total.textContent !== words) this.total.textContent = words;
  }

  /** Seconds until the last one is done, from those that are. */
  left(entries) {
    const done = entries.filter(({ state }) => state === "done");
    if (!done.length) return 0;
    const each = done.reduce((sum, { seconds }) => sum + seconds, 0) / done.length;
    return each * entries.reduce((sum, { state, share }) => sum + (["done", "failed", "cancelled"].includes(state) ? 0 : 1 - share), 0);
  }

  look(photo) {
    this.shown = photo;
    this.remember({ photo: photo.id });
    this.rows();
    this.say("look");
  }

  leaveOut(photo) {
    const place = this.photos.indexOf(photo);
    const kept = this.photos.filter((one) => one !== photo);
    this.items.delete(photo.id);
    if (this.told) this.told.entries = this.told.entries.filter((entry) => entry.photo !== photo.id);
    this.photos = kept;
    if (this.shown === photo) this.shown = kept[Math.min(place, kept.length - 1)];
    this.remember({ photos: kept.map(({ id }) => id), photo: this.shown.id });
    this.show(this.shown);
    this.say("photo");
    const next = kept.length > 1 ? this.items.get(this.shown.id).pick : this.chosen.querySelector("button");
    next.focus();
  }

  /** Follow a batch until it has ended; the photograph that is worked on is shown, unless another was picked. */
  work(batch) {
    this.batch = batch;
    this.remember({ batch, job: "" });
    this.alert.hidden = true;
    this.following = true;
    clearInterval(this.timer);
    this.timer = setInterval(() => this.askBatch(), EVERY);
    this.askBatch();
  }

  async askBatch(method = "GET") {
    const batch = this.batch;
    let answer;
    try {
      answer = await fetch(`/page/batches/${encodeURIComponent(batch)}`, { method });
    } catch {
      return; // a moment without the server; the next question may reach it
    }
    if (batch !== this.batch) return;
    if (!answer.ok) return clearInterval(this.timer);
    const before = this.told && this.told.entries.find(({ photo }) => photo === this.shown.id);
    this.told = await answer.json();
    if (this.told.final) clearInterval(this.timer);
    const now = this.told.entries.find(({ photo }) => photo === this.shown.id);
    const running = this.told.entries.find(({ state }) => state === "running");
    const next = this.following && running && running.photo !== this.shown.id && this.photos.find(({ id }) => id === running.photo);
    if (next && (!now || ["done", "failed", "cancelled", "waiting"].includes(now.state))) return this.look(next);
    this.rows();
    if (now && (!before || before.state !== now.state)) this.say("look");
  }

  async cancel() {
    for (const { state } of this.items.values()) if (state.textContent.startsWith("waiting")) state.textContent = "cancelled";
    await this.askBatch("DELETE");
  }
}

function button(words, action) {
  const made = element("button", { type: "button", className: "u-button", textContent: words });
  made.addEventListener("click", action);
  return made;
}

/** The state of one photograph in words. */
function word({ state, share, reason, seconds }) {
  if (state === "running") return share ? `restoring, ${Math.round(100 * share)} %` : "restoring";
  if (state === "done") return `restored in ${seconds} s`;
  if (state === "failed") return `could not be restored: ${reason}`;
  return state;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

// <unveil-handed photo="ID" to="SELECTOR">: tells a place of another tab that it has got a photograph.
class Handed extends Built {
  static observedAttributes = ["photo"];

  build() {
    document.querySelector(this.getAttribute("to")).setAttribute("photo", this.getAttribute("photo"));
  }
}

// <unveil-following batch="ID" to="SELECTOR">: tells a place for photographs what works on them.
class Following extends Built {
  static observedAttributes = ["batch"];

  build() {
    document.querySelector(this.getAttribute("to")).setAttribute("batch", this.getAttribute("batch"));
  }
}

customElements.define("unveil-drop", Drop);
customElements.define("unveil-handed", Handed);
customElements.define("unveil-following", Following);

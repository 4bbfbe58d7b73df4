// <unveil-drop>: where a photograph comes in. Sends it to the server and says `photo` with what the server answered.
// photo="ID" shows one that the server has already; examples are offered until there is one.

import { element, problem } from "./common.js";

const KINDS = "image/*,.tif,.tiff,.heic,.heif,.hif,.avif,.bmp,.webp";

class Drop extends HTMLElement {
  static observedAttributes = ["photo"];

  connectedCallback() {
    if (this.zone) return;
    this.input = element("input", { type: "file", accept: KINDS, className: "u-hidden-input" });
    this.input.setAttribute("aria-label", "Choose a photograph");
    this.words = element("span", { className: "u-drop-words" });
    this.words.innerHTML =
      "<b>Drop a photograph here</b><span>or press to choose one, or paste</span>" +
      `<small>JPEG, PNG, WebP, TIFF, AVIF, HEIC or BMP, up to ${this.getAttribute("most") || "64 MiB"}. It stays on this server and is deleted.</small>`;
    this.zone = element("label", { className: "u-drop" }, [this.input, this.words]);
    this.examples = element("div", { className: "u-examples" });
    this.chosen = element("div", { className: "u-chosen", hidden: true });
    this.alert = element("p", { className: "u-alert", hidden: true });
    this.alert.setAttribute("role", "alert");
    this.bar = element("progress", { className: "u-bar", max: 1, value: 0, hidden: true });
    this.bar.setAttribute("aria-label", "Sending the photograph");
    this.replaceChildren(this.zone, this.chosen, this.bar, this.alert, this.examples);
    this.listen();
    this.offer();
    if (this.getAttribute("photo")) this.recall(this.getAttribute("photo"));
  }

  attributeChangedCallback(name, before, after) {
    if (this.zone && after && after !== before) this.recall(after);
  }

  listen() {
    this.input.addEventListener("change", () => this.input.files[0] && this.send(this.input.files[0]));
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
    this.addEventListener("drop", (event) => event.dataTransfer.files[0] && this.send(event.dataTransfer.files[0]));
    document.addEventListener("paste", (event) => {
      const file = event.clipboardData && event.clipboardData.files[0];
      if (file && this.offsetParent !== null) this.send(file);
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

  send(file) {
    const form = new FormData();
    form.append("photo", file, file.name || "pasted.png");
    const request = new XMLHttpRequest();
    this.busy(true);
    request.upload.addEventListener("progress", (event) => (this.bar.value = event.loaded / event.total));
    request.addEventListener("load", () => {
      this.busy(false);
      const said = parsed(request.responseText);
      if (request.status === 200) this.show(said, true);
      else this.refuse(said.detail || `The server answered ${request.status}.`);
    });
    request.addEventListener("error", () => {
      this.busy(false);
      this.refuse("The photograph could not be sent: the server did not answer. Is it still running?");
    });
    request.open("POST", "/page/photos");
    request.send(form);
    this.input.value = "";
  }

  async ask(call) {
    this.busy(true);
    this.bar.removeAttribute("value");
    try {
      const answer = await call();
      if (answer.ok) this.show(await answer.json(), true);
      else this.refuse(await problem(answer));
    } catch {
      this.refuse("The server did not answer. Is it still running?");
    } finally {
      this.busy(false);
    }
  }

  async recall(id) {
    const answer = await fetch(`/page/photos/${encodeURIComponent(id)}`);
    if (answer.ok) this.show(await answer.json(), false);
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

  show(photo, tell) {
    this.alert.hidden = true;
    const again = element("button", { type: "button", className: "u-button", textContent: "Choose another" });
    again.addEventListener("click", () => {
      this.zone.hidden = this.examples.hidden = false;
      this.chosen.hidden = true;
      this.input.click();
    });
    const words = element("span", { className: "u-chosen-words" });
    words.append(element("b", { textContent: photo.name }), element("small", { textContent: `${photo.width} × ${photo.height} pixels, ${photo.format}` }));
    this.chosen.replaceChildren(element("img", { src: photo.thumbnail, alt: "", className: "u-chosen-image" }), words, again);
    this.chosen.hidden = false;
    this.zone.hidden = this.examples.hidden = true;
    if (tell) this.dispatchEvent(new CustomEvent("photo", { detail: photo }));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

// <unveil-handed photo="ID" to="SELECTOR">: tells a place of another tab that it has got a photograph.
class Handed extends HTMLElement {
  connectedCallback() {
    document.querySelector(this.getAttribute("to")).setAttribute("photo", this.getAttribute("photo"));
  }
}

customElements.define("unveil-drop", Drop);
customElements.define("unveil-handed", Handed);

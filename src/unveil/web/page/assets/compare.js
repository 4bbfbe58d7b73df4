// <unveil-compare before="URL" before-label="..." views='[{"src", "label", "note"}]'>: two pictures of one size under a slider, with zoom, and
// a strip to choose the second one from. A view may name what it stands beside (before, before_label), and what to save (save, name). Mouse, touch (pinch), keyboard: arrows move the slider; + - 0 1 zoom.

import { Built, element } from "./common.js";

const MOST = 16;

class Compare extends Built {
  static observedAttributes = ["before", "views"];

  build() {
    this.views = JSON.parse(this.getAttribute("views"));
    this.below = element("img", { className: "u-layer", alt: this.views[0].label, draggable: false });
    this.above = element("img", { className: "u-layer", alt: this.getAttribute("before-label"), draggable: false, src: this.getAttribute("before") });
    this.line = element("div", { className: "u-line" });
    this.left = element("span", { className: "u-tag u-tag-left", textContent: this.getAttribute("before-label") });
    this.right = element("span", { className: "u-tag u-tag-right" });
    this.slider = element("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, className: "u-slider" });
    this.slider.setAttribute("aria-label", "Where the first picture ends and the second begins");
    this.view = element("div", { className: "u-frame u-compare" }, [this.below, this.above, this.line, this.left, this.right]);
    this.scale = element("output", { className: "u-scale" });
    const tools = element("div", { className: "u-tools" }, [
      this.tool("−", "Zoom out", () => this.zoom(this.factor / 1.5)),
      this.scale,
      this.tool("+", "Zoom in", () => this.zoom(this.factor * 1.5)),
      this.tool("Fit", "Show the whole picture", () => this.zoom(1)),
      this.tool("1:1", "One pixel of the picture is one of the screen", () => this.zoom(this.natural())),
    ]);
    this.note = element("p", { className: "u-note" });
    this.replaceChildren(this.view, element("div", { className: "u-under" }, [this.slider, tools]), this.strip(), this.note);
    this.factor = 1;
    this.x = this.y = 0;
    this.pointers = new Map();
    this.listen();
    this.choose(0);
    this.part(50);
    new ResizeObserver(() => this.draw()).observe(this.view);
  }

  tool(text, label, action) {
    const button = element("button", { type: "button", className: "u-button u-tool", textContent: text, title: label });
    button.setAttribute("aria-label", label);
    button.addEventListener("click", action);
    return button;
  }

  strip() {
    const row = element("div", { className: "u-strip", hidden: this.views.length < 2 });
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "What to show");
    this.thumbs = this.views.map(({ src, label }, index) => {
      const image = element("img", { src, alt: "", loading: "lazy" });
      const button = element("button", { type: "button", className: "u-thumb" }, [image, element("span", { textContent: label })]);
      button.addEventListener("click", () => this.choose(index));
      row.append(button);
      return button;
    });
    return row;
  }

  choose(index) {
    const { src, label, note, before, before_label: beside, save, name } = this.views[index];
    this.below.src = src;
    this.below.alt = this.right.textContent = label;
    const other = before || this.getAttribute("before");
    if (this.above.getAttribute("src") !== other) this.above.src = other;
    this.above.alt = this.left.textContent = beside || this.getAttribute("before-label");
    this.note.replaceChildren(note || "");
    if (save) this.note.append(" ", element("a", { href: save, download: name, className: "u-save", textContent: `Save ${name}` }));
    this.thumbs.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
  }

  listen() {
    this.below.addEventListener("load", () => {
      this.view.style.aspectRatio = `${this.below.naturalWidth} / ${this.below.naturalHeight}`;
      this.view.style.maxWidth = `calc(var(--u-tall) * ${this.below.naturalWidth / this.below.naturalHeight})`;
      this.draw();
    });
    this.slider.addEventListener("input", () => this.part(Number(this.slider.value)));
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.view.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(this.factor * Math.exp(-event.deltaY / 300), this.place(event));
    }, { passive: false });
    this.view.addEventListener("dblclick", (event) => this.zoom(this.factor > 1.01 ? 1 : Math.max(2, this.natural()), this.place(event)));
    this.view.addEventListener("pointerdown", (event) => {
      this.view.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.place(event));
      const near = Math.abs(this.place(event).x - (this.share / 100) * this.view.clientWidth) < 28;
      this.sliding = this.pointers.size === 1 && (near || this.factor < 1.01);
      if (this.sliding) this.part((100 * this.place(event).x) / this.view.clientWidth);
    });
    this.view.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) this.view.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.place(event);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const grown = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
      this.zoom(this.factor * grown, { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (this.sliding) {
      this.part((100 * now.x) / this.view.clientWidth);
    } else {
      this.x += now.x - before.x;
      this.y += now.y - before.y;
      this.draw();
    }
    this.pointers.set(event.pointerId, now);
  }

  key(event) {
    const jump = { "+": () => this.zoom(this.factor * 1.5), "=": () => this.zoom(this.factor * 1.5), "-": () => this.zoom(this.factor / 1.5), 0: () => this.zoom(1), 1: () => this.zoom(this.natural()) }[event.key];
    if (jump) {
      event.preventDefault();
      jump();
    }
  }

  place(event) {
    const box = this.view.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** The factor at which a pixel of the picture is a pixel of the screen. */
  natural() {
    return this.below.naturalWidth / (this.view.clientWidth * window.devicePixelRatio) || 1;
  }

  zoom(factor, at = { x: this.view.clientWidth / 2, y: this.view.clientHeight / 2 }) {
    const next = Math.min(Math.max(factor, Math.min(1, this.natural())), Math.max(MOST, 4 * this.natural()));
    this.x = at.x - ((at.x - this.x) * next) / this.factor;
    this.y = at.y - ((at.y - this.y) * next) / this.factor;
    this.factor = next;
    this.draw();
  }

  part(share) {
    this.share = Math.min(100, Math.max(0, share));
    this.slider.value = this.share;
    this.slider.style.setProperty("--part", `${this.share}%`);
    this.draw();
  }

  draw() {
    const [width, height] = [this.view.clientWidth, this.view.clientHeight];
    const spare = (side) => Math.min(0, side - side * this.factor);
    const inner = (value, side) => (this.factor < 1 ? (side - side * this.factor) / 2 : Math.min(0, Math.max(spare(side), value)));
    this.x = inner(this.x, width);
    this.y = inner(this.y, height);
    const edge = (this.share / 100) * width;
    for (const layer of [this.below, this.above]) {
      layer.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.factor})`;
      // Single pixels are shown only to who has come near on purpose: a small picture that fills the frame is smooth.
      layer.style.imageRendering = this.factor >= 4 && this.factor >= 4 * this.natural() ? "pixelated" : "auto";
    }
    const cut = Math.min(width, Math.max(0, (edge - this.x) / this.factor));
    this.above.style.clipPath = `inset(0 ${width - cut}px 0 0)`;
    this.line.style.left = `${edge}px`;
    this.scale.textContent = `${Math.round((100 * this.factor) / this.natural())} %`;
  }
}

customElements.define("unveil-compare", Compare);

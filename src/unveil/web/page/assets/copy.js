// <unveil-copy text="..." of="JOB">: a line of text with a button that copies it.

import { Built, element } from "./common.js";

class Copy extends Built {
  static observedAttributes = ["text", "of"];

  build() {
    const text = this.getAttribute("text");
    this.line = element("code", { textContent: text, tabIndex: 0 });
    this.button = element("button", { type: "button", className: "u-button", textContent: "Copy" });
    this.button.setAttribute("aria-label", "Copy the command");
    this.button.addEventListener("click", () => this.copy(text));
    this.replaceChildren(this.line, this.button);
  }

  async copy(text) {
    try {
      await navigator.clipboard.writeText(text); // browsers offer it to secure pages only
      this.button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(this.line);
      this.button.textContent = "Selected: press Ctrl+C";
    }
  }
}

customElements.define("unveil-copy", Copy);
